"""Idempotency of requests that record no event: each is carried out once, and its answer kept for a week.

Events keep the idempotency keys of their requests in the log (see projections.views.idempotency). For
requests that record none, such as those about webhooks, a row keeps the key, the request's fingerprint and
the answer. It is written in the transaction that carries out the request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import TypeAdapter

from recountdb.domain.errors import KeyReused
from recountdb.domain.events import Idempotency
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "answered_requests")

KEPT_DAYS = 7

T = TypeVar("T")


def answer_once(
    connection: Connection,
    project: str,
    idempotency: Idempotency | None,
    work: Callable[[], T],
    kind: TypeAdapter[T],
) -> T:
    """Return what ``work`` returns, or what it returned when the same request was carried out before.

    Call it within a transaction. ``kind``: the format of the kept answer. Raises KeyReused when the key came
    with another request.
    """
    if idempotency is None:
        return work()
    key = {"project": project, "key": idempotency.key}
    began = connection.execute(SQL["begin_request"], key | {"fingerprint": idempotency.fingerprint})
    if began.fetchone() is None:
        return _first_answer(connection, key, idempotency, kind)
    ((is_in_log,),) = connection.execute(SQL["is_in_log"], key).fetchall()
    if is_in_log:
        raise KeyReused
    answer = work()
    connection.execute(SQL["keep_answer"], key | {"answer": kind.dump_json(answer).decode()})
    return answer


def _first_answer(
    connection: Connection, key: dict[str, str], idempotency: Idempotency, kind: TypeAdapter[T]
) -> T:
    """Return the answer that the request got before. Raises KeyReused."""
    ((fingerprint, answer),) = connection.execute(SQL["select_answer"], key).fetchall()
    if fingerprint != idempotency.fingerprint:
        raise KeyReused
    return kind.validate_json(answer)


def delete_old_answers(connection: Connection) -> None:
    """Delete the answers that are older than KEPT_DAYS."""
    connection.execute(SQL["forget_answers"], {"days": KEPT_DAYS})
