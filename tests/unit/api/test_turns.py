"""Turns: whoever asks for much waits for itself, and nobody else does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from recountdb.api.http.turns import NEIGHBOUR_SECONDS, FairThreads, Neighbours, Turns


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 60))


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_project_has_its_share_and_leaves_the_rest_to_others() -> None:
    async def scene() -> None:
        turns = Turns(at_once=4, each=2)
        loud = [asyncio.create_task(turns.take("loud")) for _ in range(100)]
        await settled()
        assert sum(task.done() for task in loud) == 2
        await turns.take("quiet")
        await turns.take("quiet")
        for _ in range(98):
            turns.give_back("loud")
            await settled()
        assert all(task.done() for task in loud)

    run(scene())


def test_those_who_wait_take_turns_whatever_each_of_them_asks_for() -> None:
    async def scene() -> None:
        turns, order = Turns(at_once=1, each=1), list[str]()

        async def one(project: str) -> None:
            await turns.take(project)
            order.append(project)
            await asyncio.sleep(0)
            turns.give_back(project)

        await asyncio.gather(*map(one, ["a"] * 50 + ["b"] * 2 + ["c"]))
        assert order[:6] == ["a", "a", "b", "c", "a", "b"]

    run(scene())


def test_a_project_has_less_while_others_send_requests_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("recountdb.api.http.turns.time.monotonic", lambda: now)

    async def scene() -> None:
        nonlocal now
        turns = Turns(at_once=100, each=8, each_beside=2, neighbours=Neighbours())
        loud = [asyncio.create_task(turns.take("loud")) for _ in range(20)]
        await settled()
        assert sum(task.done() for task in loud) == 8
        await turns.take("quiet")
        for _ in range(6):
            turns.give_back("loud")
        await settled()
        assert sum(task.done() for task in loud) == 8  # 2 are under way
        turns.give_back("loud")
        await settled()
        assert sum(task.done() for task in loud) == 9
        now = NEIGHBOUR_SECONDS
        turns.give_back("loud")
        await settled()
        assert sum(task.done() for task in loud) == 9 + 7  # 8 are under way again

    run(scene())


@pytest.mark.parametrize("is_due", [False, True], ids=["waiting", "due"])
def test_who_hangs_up_keeps_no_turn(is_due: bool) -> None:
    async def scene() -> None:
        turns = Turns(at_once=1, each=1)
        await turns.take("a")
        left = asyncio.create_task(turns.take("b"))
        await settled()
        if is_due:
            turns.give_back("a")
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        if not is_due:
            turns.give_back("a")
        await turns.take("c")

    run(scene())


def test_a_thread_that_goes_on_after_its_caller_hung_up_still_counts() -> None:
    async def scene() -> None:
        with ThreadPoolExecutor(4) as threads:
            fair, go_on = FairThreads(threads, Turns(at_once=4, each=1)), threading.Event()
            left = asyncio.create_task(fair.call("a", go_on.wait))
            await settled()
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            behind = asyncio.create_task(fair.call("a", lambda: "done"))
            assert await fair.call("b", lambda: "mine") == "mine"
            await settled()
            assert not behind.done()
            go_on.set()
            assert await behind == "done"

    run(scene())


def test_what_a_thread_raises_is_raised_and_its_turn_given_back() -> None:
    async def scene() -> None:
        with ThreadPoolExecutor(1) as threads:
            fair = FairThreads(threads, Turns(at_once=1, each=1))
            for _ in range(3):
                with pytest.raises(ZeroDivisionError):
                    await fair.call("a", lambda: 1 // 0)

    run(scene())
