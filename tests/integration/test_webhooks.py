"""Webhooks: what is recorded arrives at a receiver, signed, in order, and at least once."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import Response
from standardwebhooks import Webhook as Verifier
from starlette.testclient import TestClient

from recountdb.api.background.webhook_sender import LANES, trust
from recountdb.api.services import keys
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.followers import webhooks
from recountdb.projections.followers.follower import measure_lags
from recountdb.projections.followers.webhooks import (
    ATTEMPTS_MAX,
    DELAY_SECONDS_MAX,
    Lane,
    choose_delay,
    create_webhook,
)
from tests.support.certificates import Authority
from tests.support.http_client import open_client
from tests.support.notes import add_texts, end_connection, lock_holders
from tests.support.processes import PATIENCE_SECONDS, recount_on, wait_until
from tests.support.programs import need_program
from tests.support.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().running() as receiver:
        yield receiver


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again at once."""
    monkeypatch.setattr(webhooks, "FIRST_DELAY_SECONDS", 0.001)
    monkeypatch.setattr(webhooks, "DELAY_FACTOR", 1)
    monkeypatch.setattr("recountdb.api.background.webhook_sender.POLL_SECONDS", 0.02)


@pytest.fixture
def client(conninfo: str) -> Iterator[TestClient]:
    with open_client(conninfo, webhooks_allow_private=True) as client:
        yield client


Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make(client: TestClient, receiver: Receiver) -> Make:
    """Makes a webhook that leads to the receiver."""

    def make(**members: Any) -> dict[str, Any]:
        answer = client.post("/v1/webhooks", json={"url": receiver.url, **members})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    return make


def say(client: TestClient, session: str, *contents: str, **headers: str) -> None:
    for content in contents:
        body = {"messages": [{"role": "user", "content": content}]}
        answer = client.post(f"/v1/sessions/{session}/messages", json=body, headers=headers)
        assert answer.status_code == 201, answer.text


def positions(client: TestClient) -> list[int]:
    return [event["position"] for event in client.get("/v1/events?limit=1000").json()["items"]]


def shown(client: TestClient, webhook: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/webhooks/{webhook['id']}").json()
    return found


def deliveries(client: TestClient, webhook: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/webhooks/{webhook['id']}/deliveries", params={"order": "oldest", **query})
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


class TestSending:
    def test_each_event_comes_once_in_order_as_the_api_shows_it(
        self, client: TestClient, receiver: Receiver, make: Make
    ) -> None:
        webhook = make()
        say(client, "one", "Grüße", "2")
        say(client, "two", "3")
        wait_until(lambda: len(receiver.received) == 5)
        assert receiver.events == client.get("/v1/events").json()["items"]
        wait_until(lambda: shown(client, webhook)["pending"] == 0)
        made = deliveries(client, webhook)
        assert [one["position"] for one in made] == receiver.positions
        assert {(one["status"], one["attempts"], one["response_status"]) for one in made} == {
            ("delivered", 1, 204)
        }

    def test_it_is_signed_as_standard_webhooks_says(
        self, client: TestClient, receiver: Receiver, make: Make
    ) -> None:
        secret = make()["secret"]
        say(client, "one", "Grüße")
        wait_until(lambda: len(receiver.received) == 2)
        for one in receiver.received:
            assert one.path == "/hook?from=recount"
            assert one.headers["content-type"] == "application/json"
            assert abs(int(one.headers["webhook-timestamp"]) - time.time()) < 60
            assert one.is_signed_with(secret)
            assert not one.is_signed_with("whsec_" + "A" * 44)
            Verifier(secret).verify(one.body, one.headers)
        assert len({one.id for one in receiver.received}) == 2

    def test_a_secret_is_shown_once(self, client: TestClient, make: Make) -> None:
        webhook = make()
        assert webhook["secret"].startswith("whsec_")
        for path in ("/v1/webhooks", f"/v1/webhooks/{webhook['id']}"):
            assert webhook["secret"] not in client.get(path).text
        assert make()["secret"] != webhook["secret"]

    def test_only_wanted_types_come(self, client: TestClient, receiver: Receiver, make: Make) -> None:
        make(types=["session.message-added", "session.deleted"])
        say(client, "one", "1")
        client.delete("/v1/sessions/one")
        wait_until(lambda: len(receiver.received) == 2)
        assert [event["type"] for event in receiver.events] == ["session.message-added", "session.deleted"]

    def test_from_a_position_on(self, client: TestClient, receiver: Receiver, make: Make) -> None:
        say(client, "one", "1", "2")
        make(**{"from": 2})
        say(client, "one", "3")
        wait_until(lambda: len(receiver.received) == 2)
        assert receiver.positions == positions(client)[2:]

    def test_from_now_on(self, client: TestClient, receiver: Receiver, make: Make) -> None:
        say(client, "one", "1", "2")
        webhook = make(**{"from": "now"})
        assert webhook["from"] == 3
        say(client, "one", "3")
        wait_until(lambda: len(receiver.received) == 1)
        assert receiver.positions == positions(client)[3:]

    def test_from_the_start_while_others_write(
        self, client: TestClient, receiver: Receiver, make: Make
    ) -> None:
        """Wherever the follower is just then: nothing is left out, nothing comes twice."""
        say(client, "one", *"12345")
        writer = threading.Thread(target=say, args=(client, "two", *"abcdefghij"))
        writer.start()
        make(**{"from": 0})
        writer.join()
        wait_until(lambda: receiver.positions == positions(client))

    def test_a_position_that_is_not_there_yet_is_refused(
        self, client: TestClient, receiver: Receiver
    ) -> None:
        say(client, "one", "1")
        refused = client.post("/v1/webhooks", json={"url": receiver.url, "from": 3})
        assert (refused.status_code, refused.json()["detail"]) == (422, "from: the log goes up to position 2")

    def test_another_projects_events_do_not_come(
        self, client: TestClient, receiver: Receiver, database: Database
    ) -> None:
        ours, theirs = (
            {"X-API-Key": keys.create_key(database, project=name, scopes=["admin"])[1]}
            for name in ("ours", "theirs")
        )
        body = {"url": receiver.url, "from": 0}
        assert client.post("/v1/webhooks", json=body, headers=ours).status_code == 201
        say(client, "one", "theirs", **theirs)
        say(client, "one", "ours", **ours)
        wait_until(lambda: len(receiver.received) == 2)
        assert [event["payload"].get("message", {}).get("content") for event in receiver.events] == [
            None,
            "ours",
        ]

    def test_a_deleted_webhook_gets_nothing_more(
        self, client: TestClient, receiver: Receiver, make: Make
    ) -> None:
        webhook, other = make(), make()
        say(client, "one", "1")
        wait_until(lambda: len(receiver.received) == 4)
        assert client.delete(f"/v1/webhooks/{webhook['id']}").status_code == 200
        say(client, "one", "2")
        wait_until(lambda: shown(client, other)["pending"] == 0 and len(receiver.received) >= 5)
        assert [one.id.rpartition("_")[0] for one in receiver.received[4:]] == [other["id"]]
        assert client.get(f"/v1/webhooks/{webhook['id']}").status_code == 404

    def test_many_webhooks_each_have_their_turn(
        self, client: TestClient, receiver: Receiver, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("recountdb.api.background.webhook_sender.LANES", (Lane(2, 8), Lane(1, 1)))
        made = [make()["id"] for _ in range(5)]
        say(client, "one", *"1234")
        wait_until(lambda: len(receiver.received) == 25)
        for webhook_id in made:
            own = [one.event["position"] for one in receiver.received if one.id.startswith(webhook_id)]
            assert own == positions(client)


@contextmanager
def silence() -> Iterator[str]:
    """The address of somebody who never answers, however many ask."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


def sends_under_way() -> int:
    return sum(thread.name == "recount-post" for thread in threading.enumerate())


class TestFairness:
    def test_dead_receivers_of_a_project_hold_up_nobody_elses(
        self, client: TestClient, receiver: Receiver, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The event of the quiet project arrives while not one of the others' attempts has ended."""
        monkeypatch.setattr(
            "recountdb.api.background.webhook_sender.ANSWER_SECONDS_MAX", 10 * PATIENCE_SECONDS
        )
        noisy, quiet = (
            {"X-API-Key": keys.create_key(database, project=name, scopes=["admin"])[1]}
            for name in ("noisy", "quiet")
        )
        with silence() as dead:
            for _ in range(100):
                answer = client.post("/v1/webhooks", json={"url": dead}, headers=noisy)
                assert answer.status_code == 201, answer.text
            say(client, "one", "1", **noisy)
            wait_until(lambda: sends_under_way() >= LANES[0].each)
            assert client.post("/v1/webhooks", json={"url": receiver.url}, headers=quiet).status_code == 201
            say(client, "one", "1", **quiet)
            wait_until(lambda: len(receiver.received) == 2)
            assert sends_under_way() <= LANES[0].each + LANES[1].each
        assert receiver.positions == [
            event["position"] for event in client.get("/v1/events", headers=quiet).json()["items"]
        ]

    def test_nor_do_those_of_many_projects(
        self, client: TestClient, receiver: Receiver, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those that take long make room, though all would be waited for much longer."""
        monkeypatch.setattr(
            "recountdb.api.background.webhook_sender.ANSWER_SECONDS_MAX", 10 * PATIENCE_SECONDS
        )
        *noisy, quiet = (
            {"X-API-Key": keys.create_key(database, project=f"p{number}", scopes=["admin"])[1]}
            for number in range(13)
        )
        with silence() as dead:
            for headers in noisy:
                for _ in range(8):
                    client.post("/v1/webhooks", json={"url": dead}, headers=headers)
                say(client, "one", "1", **headers)
            wait_until(lambda: sends_under_way() >= LANES[0].at_once)
            client.post("/v1/webhooks", json={"url": receiver.url}, headers=quiet)
            say(client, "one", "1", **quiet)
            wait_until(lambda: len(receiver.received) == 2)

    @pytest.mark.usefixtures("soon")
    def test_who_did_not_answer_goes_by_a_lane_of_its_own(
        self, client: TestClient, receiver: Receiver, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Though it is tried again at once, and has a place to be tried in, it leaves the others theirs."""
        monkeypatch.setattr("recountdb.api.background.webhook_sender.LANES", (Lane(1, 1), Lane(1, 1)))
        monkeypatch.setattr("recountdb.api.background.webhook_sender.SLOW_SECONDS", 0.2)
        monkeypatch.setattr("recountdb.api.background.webhook_sender.ANSWER_SECONDS_MAX", 1.0)
        monkeypatch.setattr(webhooks, "ATTEMPTS_MAX", 1000)
        with silence() as dead:
            for _ in range(3):
                make(url=dead)
            say(client, "one", "1")
            wait_until(lambda: sends_under_way() == 2)
            monkeypatch.setattr(
                "recountdb.api.background.webhook_sender.ANSWER_SECONDS_MAX", 10 * PATIENCE_SECONDS
            )
            make()
            say(client, "one", "2", "3")
            wait_until(lambda: len(receiver.received) == 2)

    def test_who_has_fewer_under_way_comes_first(
        self, client: TestClient, receiver: Receiver, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where each place is taken by a project that asked earlier."""
        monkeypatch.setattr("recountdb.api.background.webhook_sender.LANES", (Lane(1, 8), Lane(1, 1)))
        busy, late = (
            {"X-API-Key": keys.create_key(database, project=name, scopes=["admin"])[1]}
            for name in ("busy", "late")
        )
        body = {"url": receiver.url, "types": ["session.message-added"]}
        for _ in range(20):
            client.post("/v1/webhooks", json=body, headers=busy)
        client.post("/v1/webhooks", json=body, headers=late)
        receiver.delay_seconds = 0.2
        say(client, "one", "1", **busy)
        wait_until(lambda: len(receiver.received) > 0)
        say(client, "one", "1", **late)
        wait_until(lambda: len(receiver.received) == 21)
        order = [event["position"] for event in receiver.events]
        assert max(order) in order[:-5], "it did not wait for all that came before"

    def test_large_events_are_read_a_few_at_a_time(
        self, client: TestClient, receiver: Receiver, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("recountdb.api.background.webhook_sender.WEIGHT_MAX", 1)
        monkeypatch.setattr("recountdb.api.background.webhook_sender.BYTES_MAX", 300_000)
        for _ in range(5):
            make(types=["session.message-added"])
        say(client, "one", "x" * 100_000)
        wait_until(lambda: len(receiver.received) == 5)


@pytest.mark.usefixtures("soon")
class TestFailing:
    def test_it_is_tried_again_under_the_same_id(
        self, client: TestClient, receiver: Receiver, make: Make
    ) -> None:
        receiver.refuse(500, 3)
        webhook = make()
        say(client, "one", "1")
        wait_until(lambda: len(receiver.received) == 5)
        assert receiver.positions == [1, 1, 1, 1, 2]
        assert len({one.id for one in receiver.received[:4]}) == 1
        wait_until(lambda: shown(client, webhook)["pending"] == 0)
        assert [one["attempts"] for one in deliveries(client, webhook)] == [4, 1]

    def test_after_the_last_attempt_it_is_parked_and_goes_on_when_resumed(
        self, client: TestClient, receiver: Receiver, make: Make
    ) -> None:
        receiver.refuse(503)
        webhook, other = make(), make(types=["user.created"])
        say(client, "one", "1")
        wait_until(lambda: shown(client, webhook)["status"] == "parked")
        assert receiver.positions == [1] * ATTEMPTS_MAX
        say(client, "one", "2")  # nothing is written down for it meanwhile
        wait_until(lambda: lags_are_none(client))
        assert shown(client, webhook)["pending"] == 2
        first, *_ = deliveries(client, webhook)
        assert (first["status"], first["error"]) == ("pending", "answered 503")
        receiver.refuse(0, 0)
        receiver.received.clear()
        client.post("/v1/users", json={"user_id": "ana"})
        wait_until(lambda: len(receiver.received) == 1)
        assert receiver.received[0].id.startswith(other["id"]), "others go on"
        answer = client.post(f"/v1/webhooks/{webhook['id']}/resume")
        assert (answer.status_code, answer.json()["status"]) == (200, "active")
        wait_until(lambda: len(receiver.received) == 5)
        assert receiver.positions[1:] == [1, 2, 3, 4]

    def test_resumed_it_may_leave_out_what_cannot_be_sent(
        self, client: TestClient, receiver: Receiver, make: Make
    ) -> None:
        receiver.refuse(400)
        webhook = make()
        say(client, "one", "1", "2")
        wait_until(lambda: shown(client, webhook)["status"] == "parked")
        receiver.refuse(0, 0)
        receiver.received.clear()
        client.post(f"/v1/webhooks/{webhook['id']}/resume?skip=true")
        wait_until(lambda: shown(client, webhook)["pending"] == 0)
        assert receiver.positions == [2, 3]
        assert [one["status"] for one in deliveries(client, webhook)] == ["skipped", "delivered", "delivered"]

    def test_an_active_one_that_is_resumed_stays_as_it_is(
        self, client: TestClient, receiver: Receiver, make: Make
    ) -> None:
        webhook = make()
        say(client, "one", "1")
        wait_until(lambda: shown(client, webhook)["pending"] == 0 and len(receiver.received) == 2)
        client.post(f"/v1/webhooks/{webhook['id']}/resume?skip=true")
        say(client, "one", "2")
        wait_until(lambda: len(receiver.received) == 3)
        assert receiver.positions == [1, 2, 3]

    def test_one_that_is_gone_is_disabled_at_once(
        self, client: TestClient, receiver: Receiver, make: Make
    ) -> None:
        receiver.refuse(410)
        webhook = make()
        say(client, "one", "1")
        wait_until(lambda: shown(client, webhook)["status"] == "disabled")
        assert receiver.positions == [1]
        receiver.refuse(0, 0)
        client.post(f"/v1/webhooks/{webhook['id']}/resume")
        wait_until(lambda: receiver.positions == [1, 1, 2])

    def test_redirects_are_not_followed(self, client: TestClient, receiver: Receiver, make: Make) -> None:
        receiver.refuse(302, 1)
        receiver.headers = {"Location": f"{receiver.url}&redirected"}
        webhook = make(types=["session.started"])
        say(client, "one", "1")
        wait_until(lambda: len(receiver.received) == 2)
        wait_until(lambda: shown(client, webhook)["pending"] == 0)
        assert [one.path for one in receiver.received] == ["/hook?from=recount"] * 2

    @pytest.mark.parametrize("how", ["delay_seconds", "drip_seconds"])
    def test_a_receiver_that_is_too_slow(
        self, client: TestClient, receiver: Receiver, make: Make, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        """Also one that sends its answer letter by letter, each of them in time."""
        monkeypatch.setattr("recountdb.api.background.webhook_sender.ANSWER_SECONDS_MAX", 0.3)
        setattr(receiver, how, 0.25 if how == "drip_seconds" else 0.6)
        webhook = make(types=["session.started"])
        say(client, "one", "1")
        wait_until(lambda: error_of(client, webhook) is not None)
        assert error_of(client, webhook) == "no answer within 0 seconds"
        receiver.delay_seconds = receiver.drip_seconds = 0
        wait_until(lambda: shown(client, webhook)["pending"] == 0)
        assert error_of(client, webhook) is None

    def test_why_there_was_no_answer_is_told_in_our_words(self, client: TestClient, make: Make) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        refused = make(url=f"http://127.0.0.1:{port}/")
        with talking_nonsense() as port:
            no_tls = make(url=f"https://127.0.0.1:{port}/")
            no_http = make(url=f"http://127.0.0.1:{port}/")
            say(client, "one", "1")
            wait_until(lambda: all(error_of(client, one) for one in (refused, no_tls, no_http)))
            assert error_of(client, refused) == "the connection was refused"
            assert error_of(client, no_tls) == "no TLS connection came about"
            assert error_of(client, no_http) == "the answer is not HTTP"

    @pytest.mark.usefixtures("soon")
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_a_connection_that_is_reset_leaves_no_socket_open(
        self, client: TestClient, make: Make, scheme: str
    ) -> None:
        """One left open would be told by Python as it is collected, which fails the test."""
        with hanging_up() as port:
            webhook = make(url=f"{scheme}://127.0.0.1:{port}/", types=["session.started"])
            say(client, "one", "1")
            wait_until(lambda: shown(client, webhook)["status"] == "parked")
            assert error_of(client, webhook) == "the connection broke, or did not come about"


@contextmanager
def talking_nonsense() -> Iterator[int]:
    """Listens on a port, and answers whatever is said to it with words that are no protocol."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):  # it is closed
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.recv(100_000)
                        connection.sendall(b"sherry in the cellar\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def hanging_up() -> Iterator[int]:
    """Listens on a port, and resets every connection as soon as it is there."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def reset() -> None:
            with suppress(OSError):  # it is closed
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=reset)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def error_of(client: TestClient, webhook: dict[str, Any]) -> Any:
    return next((one["error"] for one in deliveries(client, webhook)), None)


def lags_are_none(client: TestClient) -> bool:
    database: Database = client.app.state.store.database  # type: ignore[attr-defined]
    return {lag.follower: lag.events for lag in measure_lags(database)}["webhooks"] == 0


class TestTls:
    @pytest.fixture
    def make_authority(self, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Authority]:
        return lambda: Authority(tmp_path_factory.mktemp("authority"), need_program("openssl"))

    @pytest.fixture
    def authority(self, make_authority: Callable[[], Authority]) -> Authority:
        return make_authority()

    @pytest.fixture(autouse=True)
    def _trusted(self, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """The sender trusts the authority, by OpenSSL's own variable."""
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        trust.cache_clear()
        yield
        trust.cache_clear()

    def test_who_is_vouched_for_gets_all(self, client: TestClient, authority: Authority, make: Make) -> None:
        with Receiver(authority.vouch_for("127.0.0.1")).running() as receiver:
            webhook = make(url=receiver.url)
            say(client, "one", "Grüße")
            wait_until(lambda: receiver.positions == positions(client))
            assert all(one.is_signed_with(webhook["secret"]) for one in receiver.received)
            wait_until(lambda: shown(client, webhook)["pending"] == 0)

    @pytest.mark.usefixtures("soon")
    @pytest.mark.parametrize("wrong", ["of a stranger", "of another address"])
    def test_a_wrong_certificate_is_told_nothing_and_tried_again(
        self,
        client: TestClient,
        authority: Authority,
        make_authority: Callable[[], Authority],
        make: Make,
        wrong: str,
    ) -> None:
        if wrong == "of a stranger":
            context = make_authority().vouch_for("127.0.0.1")
        else:
            context = authority.vouch_for("127.0.0.2")
        with Receiver(context).running() as receiver:
            webhook = make(url=receiver.url, types=["session.started"])
            say(client, "one", "1")
            wait_until(lambda: attempts_at(client, webhook) > 1)
            assert error_of(client, webhook) == "the certificate cannot be trusted"
            assert receiver.received == []


def attempts_at(client: TestClient, webhook: dict[str, Any]) -> int:
    """Made at the first event so far."""
    return next((one["attempts"] for one in deliveries(client, webhook)), 0)


class TestPrivateAddresses:
    @pytest.fixture
    def strict(self, conninfo: str) -> Iterator[TestClient]:
        with open_client(conninfo) as client:
            yield client

    def refusal(self, answer: Response) -> str:
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert error["field"] == "url"
        reason: str = error["reason"]
        return reason

    def test_they_are_refused_with_what_to_do(self, strict: TestClient, receiver: Receiver) -> None:
        for url in (receiver.url, "https://10.1.2.3/", "https://localhost/", "https://[::ffff:10.0.0.1]/"):
            reason = self.refusal(strict.post("/v1/webhooks", json={"url": url}))
            assert "leads into a private network: set RECOUNT_WEBHOOKS_ALLOW_PRIVATE=true" in reason

    def test_a_name_that_leads_there_is_found_out_when_it_is_used(
        self, strict: TestClient, database: Database, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look_up = socket.getaddrinfo
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *others, **more: look_up(
                "127.0.0.1" if host == "x.example" else host, *others, **more
            ),
        )
        port = receiver.url.split(":")[2].split("/")[0]
        answer = strict.post("/v1/webhooks", json={"url": f"https://x.example:{port}/"})
        assert answer.status_code == 201, "nobody looked it up"
        webhook = answer.json()
        say(strict, "one", "1")
        wait_until(lambda: error_of(strict, webhook) is not None)
        assert error_of(strict, webhook).startswith("the address leads into a private network")
        assert receiver.received == []


class TestServers:
    def test_two_on_one_database_send_each_event_once(
        self, client: TestClient, conninfo: str, receiver: Receiver, make: Make
    ) -> None:
        make()
        with open_client(conninfo, webhooks_allow_private=True) as other:
            for number in range(10):
                say((client, other)[number % 2], "one", str(number))
            wait_until(lambda: len(receiver.received) == 11)
            time.sleep(0.1)
            assert receiver.positions == positions(client)

    def test_what_was_recorded_while_none_ran_is_sent_by_the_next(
        self, conninfo: str, receiver: Receiver, database: Database
    ) -> None:
        create_webhook(database, "default", url=receiver.url, types=None, after=None)
        with recount_on(conninfo) as application:
            add_texts(application, "one", "1")
        with open_client(conninfo, webhooks_allow_private=True) as client:
            wait_until(lambda: receiver.positions == positions(client))

    @pytest.mark.usefixtures("soon")
    def test_leads_that_are_lost_lose_no_event_and_keep_the_order(
        self, client: TestClient, conninfo: str, receiver: Receiver, make: Make, database: Database
    ) -> None:
        """What was sent again was sent under the same id, and after nothing that came later."""
        make()
        receiver.delay_seconds = 0.01
        with open_client(conninfo, webhooks_allow_private=True):
            for number in range(30):
                say(client, f"s{number % 3}", "x")
                if number % 10 == 5:
                    for pid in lock_holders(database):
                        end_connection(database, pid)
            wait_until(lambda: set(receiver.positions) == set(positions(client)))
        firsts = list(dict.fromkeys(receiver.positions))
        assert firsts == positions(client)
        assert len({one.id for one in receiver.received}) == len(firsts)


def test_a_standing_backlog_ends_with_the_server(conninfo: str, database: Database) -> None:
    """A server that is told to end does not wait for a receiver that does not answer."""
    with Receiver().running() as receiver:
        receiver.delay_seconds = PATIENCE_SECONDS
        create_webhook(database, "default", url=receiver.url, types=None, after=0)
        with open_client(conninfo, webhooks_allow_private=True) as client:
            say(client, "one", "1")
            wait_until(lambda: len(receiver.received) == 1)
        assert "recount-sender" not in {thread.name for thread in threading.enumerate()}
        assert set(database.fetch("SELECT status, attempts FROM deliveries")) == {("pending", 0)}


def test_old_deliveries_are_forgotten_but_none_that_is_pending(
    database: Database, client: TestClient
) -> None:
    webhook, _ = create_webhook(database, "default", url="https://hooks.example/", types=None, after=0)
    database.fetch("UPDATE webhooks SET next_attempt_at = now() + interval '1 hour' RETURNING id")
    say(client, "one", "1", "2")
    wait_until(lambda: shown(client, {"id": webhook.id})["pending"] == 3)
    for position, status, days in ((1, "delivered", 8), (2, "pending", 8), (3, "delivered", 6)):
        database.fetch(
            "UPDATE deliveries SET status = %s, attempted_at = now() - make_interval(days => %s)"
            " WHERE position = %s RETURNING 1",
            (status, days, position),
        )
    with database.connection() as connection:
        webhooks.delete_old_deliveries(connection)
    assert [one["position"] for one in deliveries(client, {"id": webhook.id})] == [2, 3]


def test_attempts_come_later_and_later_but_not_too_late() -> None:
    longest = [choose_delay(attempt, 1) for attempt in range(1, ATTEMPTS_MAX)]
    assert longest == [5, 20, 80, 320, 1280, 5120, 20480, DELAY_SECONDS_MAX, DELAY_SECONDS_MAX]
    assert [choose_delay(attempt, 0) for attempt in range(1, ATTEMPTS_MAX)] == [d / 2 for d in longest]


def test_ids_do_not_tell_projects_apart(client: TestClient, database: Database) -> None:
    theirs, _ = create_webhook(
        database, f"p-{uuid4().hex[:8]}", url="https://hooks.example/", types=None, after=None
    )
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/resume"), ("GET", "/deliveries")):
        assert client.request(method, f"/v1/webhooks/{theirs.id}{path}").status_code == 404
    assert client.get("/v1/webhooks").json()["items"] == []


def test_deleting_one_while_an_attempt_at_it_is_noted(
    database: Database, client: TestClient, make: Make
) -> None:
    """Each wants the webhook and its delivery: none may have one of them and wait for the other."""
    webhook = make(url="https://hooks.invalid/", types=["session.started"])
    say(client, "one", "1")
    wait_until(lambda: error_of(client, webhook) is not None)
    answers: list[Response] = []

    def delete() -> None:
        answers.append(client.delete(f"/v1/webhooks/{webhook['id']}"))

    with database.connection() as connection, connection.transaction():
        connection.execute("SELECT FROM deliveries FOR UPDATE")
        database.fetch("UPDATE webhooks SET next_attempt_at = now() RETURNING id")
        wait_until(lambda: waiting(database) == 1)  # the note
        deletion = threading.Thread(target=delete)
        deletion.start()
        wait_until(lambda: waiting(database) == 2)
    deletion.join()
    assert [answer.status_code for answer in answers] == [200]


def waiting(database: Database) -> int:
    """How many wait for a lock."""
    ((found,),) = database.fetch(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return int(found)
