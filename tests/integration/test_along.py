"""Messages and those who said them: one transaction, whatever other processes do to either meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from recountdb.domain.commands.base import Command
from recountdb.domain.commands.common import Delete
from recountdb.domain.commands.conversations import AddMessages
from recountdb.domain.commands.retention import Purge
from recountdb.domain.errors import MessageIdTaken, NotFound
from recountdb.domain.events import Context, Idempotency
from recountdb.domain.messages import Message
from recountdb.eventlog.application import Recount
from recountdb.eventlog.postgres.database import Database
from recountdb.eventlog.write.ports import Outcome
from recountdb.projections.lists.paging import Window
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.users import get_user, list_users
from tests.support.processes import recount_on

Make = Callable[..., Context]


def say(text: str, *users: str, name: str | None = None) -> list[Message]:
    return [Message(id=uuid4(), role="user", content=text, user_id=user, name=name) for user in users]


def saying(text: str, *users: str, thread: str = "t", **more: str) -> AddMessages:
    return AddMessages(kind="thread", name=thread, messages=say(text, *users, **more), meets_users=True)


def send(application: Recount, context: Context, *commands: Command) -> list[Outcome]:
    return [application.execute(command, context) for command in commands]


def known(database: Database) -> list[str]:
    return [user.name for user in list_users(database, "default", Window(1000)).items]


def test_whoever_speaks_is_a_user_with_the_message_as_the_cause(
    application: Recount, database: Database, context: Make
) -> None:
    asked = context(request_id="r", idempotency=Idempotency(key="k", fingerprint="f"))
    (outcome,) = send(application, asked, saying("hi", "ana", "bob", "ana", name="A"))
    assert known(database) == ["ana", "bob"]
    assert get_user(database, "default", "ana").profile.display_name == "A"
    for number, name in enumerate(("ana", "bob"), start=1):
        user = get_user(database, "default", name)
        assert user.number == number
        (stored,) = application.log.select_events(user.id)
        created = application.events.to_event(stored)
        assert (created.request_id, created.causation_id) == ("r", f"{outcome.state.id}/1")
        assert created.idempotency is None
    (repeat,) = send(application, asked, saying("hi", "ana"))
    assert repeat.is_repeat


def test_what_is_refused_makes_nobody_a_user(application: Recount, database: Database, context: Make) -> None:
    (first,) = say("hi", "ana")
    send(application, context(), AddMessages(kind="thread", name="t", messages=[first]))
    other = first.model_copy(update={"content": "other", "user_id": "bob"})
    command = AddMessages(
        kind="thread", name="t", messages=[other], given_ids=frozenset([first.id]), meets_users=True
    )
    with pytest.raises(MessageIdTaken):
        send(application, context(), command)
    assert known(database) == []


def test_a_user_whom_another_process_changed_is_not_in_the_way(
    application: Recount, database: Database, conninfo: str, context: Make
) -> None:
    send(application, context(), saying("1", "ana"))
    with recount_on(conninfo) as other:
        send(other, context(), Delete(kind="user", name="ana"))
        send(application, context(), saying("2", "ana", name="Ana"))
        user = get_user(database, "default", "ana")
        assert (user.is_deleted, user.profile.display_name) == (False, "Ana")
        end = Purge(kind="user", name="ana", expected_version=user.version)
        send(other, context(), end)
        with pytest.raises(NotFound):
            get_user(database, "default", "ana")
        send(application, context(), saying("3", "ana"))
    assert get_user(database, "default", "ana").profile.display_name is None
    page = page_messages(database, "default", "thread", "t", Window())
    assert [message.content for message in page.items] == ["1", "2", "3"]


def test_many_threads_with_the_same_new_users_at_once(
    application: Recount, database: Database, conninfo: str, context: Make
) -> None:
    users = [f"user {number}" for number in range(5)]
    with recount_on(conninfo) as other:
        futures = []
        for number in range(60):
            order = users if number % 2 else users[::-1]
            command = saying("hi", *order, thread=f"t{number}")
            futures.append((application if number % 3 else other).submit(command, context()))
        for future in futures:
            assert len(future.result(timeout=60).events) == 6
    assert sorted(known(database)) == users
    numbers = [user.number for user in list_users(database, "default", Window(1000)).items]
    assert numbers == [1, 2, 3, 4, 5]
