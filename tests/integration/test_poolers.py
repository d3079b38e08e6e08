"""Behind PgBouncer: what works, in which mode, and what is refused before anybody relies upon it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from recountdb.api.app import create_app
from recountdb.api.runtime import migrate_at, open_database
from recountdb.api.settings import Settings
from recountdb.domain.errors import DatabaseUnfit
from recountdb.eventlog.log.subscription import LogSubscription
from recountdb.eventlog.postgres.database import Addresses, connect
from recountdb.projections.followers.follower import measure_lags
from tests.acceptance.test_cli_serve import recount
from tests.support.messages import add_hello
from tests.support.poolers import in_transactions, pooler
from tests.support.postgres import installed_server, new_database
from tests.support.processes import context, recount_on, wait_until
from tests.support.programs import need_postgres_15, need_program
from tests.support.routes import wait_for_rebuild

Pool = Callable[..., Any]


@pytest.fixture(scope="module")
def direct_server() -> Iterator[str]:
    with installed_server(need_postgres_15()) as server:
        yield server


@pytest.fixture
def direct(direct_server: str) -> Iterator[str]:
    """An empty database, reached as it is."""
    with new_database(direct_server) as name:
        yield make_conninfo(direct_server, dbname=name)


@pytest.fixture
def pooled(direct_server: str, direct: str) -> Pool:
    """Starts a pooler of some mode; as a context manager it gives the way through it to the database."""
    program = need_program("pgbouncer", "/usr/sbin/pgbouncer")
    name = direct.partition("dbname=")[2].split()[0]

    @contextmanager
    def start(mode: str, **settings: str | int) -> Iterator[str]:
        with pooler(program, direct_server, mode, **settings) as address:
            yield make_conninfo(address, dbname=name)

    return start


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_all_that_a_server_does_works(pooled: Pool, direct: str, mode: str) -> None:
    with pooled(mode) as through:
        addresses = Addresses(through, direct if mode == "transaction" else through)
        assert migrate_at(addresses)
        with TestClient(create_app(Settings(), addresses), base_url="http://127.0.0.1") as client:
            use_all_at_once(client)
            hook = client.post("/v1/webhooks", json={"url": "https://receiver.example.org/"})
            assert hook.status_code == 201
            assert client.post("/v1/projections/rebuild", json={}).status_code == 202
            assert wait_for_rebuild(client)["state"] == "done"
            receipt = client.post("/v1/sessions/s1/purge", json={})
            assert receipt.status_code == 200, receipt.text
            assert client.get("/v1/sessions/s1").status_code == 404
            database = client.app.state.store.database  # type: ignore[attr-defined]
            wait_until(lambda: all(lag.events == 0 for lag in measure_lags(database)))
            use_all_at_once(client)


def use_all_at_once(client: TestClient) -> None:
    """Reads and writes of several threads, often enough that statements would come to be prepared."""

    def use(number: int) -> None:
        for _ in range(8):
            body = {"messages": [{"role": "user", "content": f"grüße 🦊 {number}"}]}
            assert client.post(f"/v1/sessions/t{number}/messages", json=body).status_code == 201
            page = client.get(f"/v1/sessions/t{number}/messages")
            assert page.status_code == 200, page.text
            assert client.get("/v1/sessions").status_code == 200
            assert client.get("/v1/messages", params={"q": "grüße"}).status_code in (200, 404)
            assert client.get("/v1/ready").status_code == 200

    body = {"messages": [{"role": "user", "content": "to go"}]}
    assert client.post("/v1/sessions/s1/messages", json=body).status_code in (200, 201)
    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(use, number) for number in range(6)]:
            done.result()


def test_the_log_is_followed_around_a_pooler_of_transactions(pooled: Pool, direct: str) -> None:
    with pooled("transaction") as through:
        addresses = Addresses(through, direct)
        migrate_at(addresses)
        with recount_on(addresses) as application:
            subscription = LogSubscription(application.log)
            seen: list[int] = []
            follower = threading.Thread(target=lambda: seen.extend(e.id for e in subscription))
            follower.start()
            for number in range(20):
                application.execute(add_hello(f"s{number % 3}"), context())
            wait_until(lambda: len(seen) >= 23)  # three sessions were started
            subscription.stop()
            follower.join()
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"ignore_startup_parameters": "options,extra_float_digits"}, {"server_round_robin": 1}],
    ids=["as installed", "options ignored", "round robin"],
)
@pytest.mark.parametrize("others", [0, 3], ids=["alone", "beside others"])
def test_a_pooler_of_transactions_alone_is_refused(
    pooled: Pool, direct: str, mode: str, settings: dict[str, str | int], others: int
) -> None:
    with (
        pooled(mode, **settings) as through,
        in_transactions(through, others if mode == "transaction" else 0),
    ):
        for start in (migrate_at, lambda addresses: open_database(addresses, connections_max=2)):
            with pytest.raises(DatabaseUnfit, match=r"pooler .* set RECOUNT_DATABASE_DIRECT_URL"):
                start(Addresses(through))
    with connect(direct) as connection:
        assert connection.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,)


def test_a_direct_address_through_a_pooler_of_transactions_is_refused(pooled: Pool, direct: str) -> None:
    with pooled("transaction") as through, pytest.raises(DatabaseUnfit, match="name PostgreSQL itself there"):
        migrate_at(Addresses(through, make_conninfo(through, application_name="other")))


def test_two_addresses_of_different_databases_are_refused(
    pooled: Pool, direct: str, direct_server: str
) -> None:
    with pooled("transaction") as through, new_database(direct_server) as name:
        other = make_conninfo(direct_server, dbname=name)
        for address in (direct, other):
            migrate_at(Addresses(address))
        open_database(Addresses(through, direct), connections_max=2).close()
        with pytest.raises(DatabaseUnfit, match="lead to different databases"):
            open_database(Addresses(through, other), connections_max=2)


def test_the_program_says_it_in_one_sentence(pooled: Pool, direct: str, tmp_path: Path) -> None:
    with pooled("transaction") as through:
        refused = recount("serve", "--port", "0", RECOUNT_DATABASE_URL=through)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        assert "set RECOUNT_DATABASE_DIRECT_URL" in refused.stderr
        around = {"RECOUNT_DATABASE_URL": through, "RECOUNT_DATABASE_DIRECT_URL": direct}
        assert recount("migrate", **around).returncode == 0
        (tmp_path / "one.jsonl").write_text(
            '{"id": "s", "messages": [{"role": "user", "content": "hello"}]}\n'
        )
        for command in (
            ("import", tmp_path / "one.jsonl"),
            ("messages", "s"),
            ("status",),
            ("rebuild",),
            ("verify",),
            ("purge", "--session", "s"),
            ("log", "export", tmp_path / "log.gz"),
        ):
            ended = recount(*command, **around)
            assert ended.returncode == 0, ended.stderr
