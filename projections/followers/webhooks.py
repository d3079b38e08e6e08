"""Webhooks, which send a project's events to a URL, in order, each at least once.

The follower ``webhooks`` writes down what is to be sent: one row for each event and webhook, exactly once.
The sender (see api.background.webhook_sender) asks this module what is due, and records the outcome. A
webhook's events are sent one after the other. A failed event is retried with growing delays, and after the
last attempt the webhook is *parked*, with all later events, until it is resumed. A webhook whose receiver
answers that it is gone is *disabled*, and can be resumed, too. Meanwhile no rows are written for it; they
are added when it is resumed.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from recountdb.domain.errors import InvalidInput, LimitReached, NotFound
from recountdb.domain.events import Idempotency
from recountdb.eventlog.log.epoch import load_epochs
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.log.rows import LogEntry, make_entry
from recountdb.eventlog.postgres.channels import notify
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.followers.answered_requests import answer_once, delete_old_answers
from recountdb.projections.followers.follower import create_checkpoint, lock_checkpoint
from recountdb.projections.lists.paging import KEY_MAX, Page, Window, make_page

SQL = Statements(__name__, "webhooks")

CHANNEL = "recount_deliveries"
ATTEMPTS_MAX = 10
FIRST_DELAY_SECONDS = 5
DELAY_FACTOR = 4
DELAY_SECONDS_MAX = 12 * 3600
KEPT_DAYS = 7  # that deliveries are kept after they were made


@dataclass(frozen=True)
class Webhook:
    """Webhook of a project.

    ``types``: None means all. ``starts_after``: a position. ``status``: active, parked or disabled.
    ``pending``: how many events wait to be sent. ``next_attempt_at``: the earliest time of the next attempt.
    """

    number: int
    id: str
    url: str
    types: list[str] | None
    starts_after: int
    status: str
    pending: int
    next_attempt_at: datetime
    created_at: datetime


CREATED = TypeAdapter(tuple[Webhook, str])
CHANGED = TypeAdapter(Webhook)
"""Formats in which answers are kept for a repeat of the request."""


@dataclass(frozen=True)
class Delivery:
    """Delivery of one event to one webhook. ``status``: pending, delivered or skipped.

    ``response_status`` and ``error`` are those of the last attempt; None means that there was no attempt, no
    answer, or no error.
    """

    position: int
    type: str
    recorded_at: datetime
    status: str
    attempts: int
    response_status: int | None
    error: str | None
    attempted_at: datetime | None


@dataclass(frozen=True)
class Due:
    """Event to be sent now. ``attempts``: how many were made already."""

    webhook_id: str
    url: str
    secret: str
    attempts: int
    entry: LogEntry

    @property
    def id(self) -> str:
        """Return the delivery's id: the same at every attempt, so that a receiver recognizes a repeat."""
        return f"{self.webhook_id}_{self.entry.place}"


@dataclass(frozen=True)
class Attempt:
    """Outcome of one attempt.

    ``status``: the status code of the answer; None when there was no answer. ``error``: None on success.
    """

    status: int | None
    error: str | None


class WebhookFollower:
    """Follower that writes down which events are to be sent to which webhooks."""

    name = "webhooks"
    topics = None
    begins_now = True

    def handle(self, connection: Connection, entries: Sequence[LogEntry]) -> None:
        bounds = {
            "positions": [entry.id for entry in entries],
            "projects": [entry.project for entry in entries],
            "topics": [entry.topic for entry in entries],
        }
        if connection.execute(SQL["insert_deliveries"], bounds).rowcount:
            notify(connection, CHANNEL)


FOLLOWER = WebhookFollower()


def create_webhook(
    database: Database,
    project: str,
    *,
    url: str,
    types: Sequence[str] | None,
    after: int | None,
    webhooks_max: int | None = None,
    idempotency: Idempotency | None = None,
) -> tuple[Webhook, str]:
    """Create a webhook for the events after position ``after``, or from now on (None).

    Returns the webhook and its secret, which only a repeat under the same idempotency key returns again.
    ``webhooks_max``: how many webhooks the project may have. Raises InvalidInput, LimitReached, KeyReused.
    """

    def create() -> tuple[Webhook, str]:
        # The lock stops the follower: deliveries up to its position are written here, later ones by it.
        # Other requests that create a webhook wait, too, so that the webhooks can be counted.
        position = lock_checkpoint(connection, FOLLOWER.name)
        _refuse_more_webhooks(connection, project, webhooks_max)
        settled = settled_position(connection)
        if after is not None and after > settled:
            raise InvalidInput("from", f"the log goes up to position {settled}")
        start = settled if after is None else after
        webhook_id, secret = _insert_webhook(connection, project, url, types, start)
        _make_up(connection, webhook_id, start, position)
        return _find_webhook(connection, project, webhook_id), secret

    with database.connection() as connection:
        create_checkpoint(connection, FOLLOWER)
        with connection.transaction():
            return answer_once(connection, project, idempotency, create, CREATED)


def _refuse_more_webhooks(connection: Connection, project: str, webhooks_max: int | None) -> None:
    """Raise LimitReached when the project has as many webhooks as it may have."""
    ((count,),) = connection.execute(SQL["count_webhooks"], {"project": project}).fetchall()
    if webhooks_max is not None and count >= webhooks_max:
        raise LimitReached("webhooks", webhooks_max, remedy="delete one")


def _insert_webhook(
    connection: Connection, project: str, url: str, types: Sequence[str] | None, starts_after: int
) -> tuple[str, str]:
    """Insert a new webhook. Return its id and its secret."""
    webhook_id = f"wh_{secrets.token_hex(8)}"
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    row: dict[str, Any] = {"id": webhook_id, "project": project, "url": url, "secret": secret}
    row |= {"types": None if types is None else list(types), "starts_after": starts_after}
    connection.execute(SQL["insert_webhook"], row)
    return webhook_id, secret


def _make_up(connection: Connection, webhook_id: str, gt: int, lte: int) -> None:
    """Insert the deliveries of a webhook for events that the follower has passed already."""
    bounds = {"webhook_id": webhook_id, "gt": gt, "lte": lte}
    connection.execute(SQL["insert_past_deliveries"], bounds)
    notify(connection, CHANNEL)


def get_webhook(database: Database, project: str, webhook_id: str) -> Webhook:
    """Return a webhook of the project. Raises NotFound."""
    return database.read(lambda connection: _find_webhook(connection, project, webhook_id))


def _find_webhook(connection: Connection, project: str, webhook_id: str) -> Webhook:
    """Return a webhook of the project. Raises NotFound."""
    for row in connection.execute(SQL["select_webhook"], {"project": project, "id": webhook_id}):
        return Webhook(*row)
    raise NotFound("webhook")


def list_webhooks(database: Database, project: str, window: Window) -> Page[Webhook]:
    """Return a page of the project's webhooks, in the order in which they were created."""
    sql = SQL["page_webhooks_descending" if window.order == "newest" else "page_webhooks"]
    rows = database.fetch(sql, {"project": project, **_bounds_of(window)})
    return make_page([Webhook(*row) for row in rows], window, lambda webhook: webhook.number)


def _bounds_of(window: Window) -> dict[str, int]:
    after = window.after()
    end = KEY_MAX if window.order == "newest" else 0
    return {"after": end if after is None else after, "limit": window.limit + 1}


def delete_webhook(
    database: Database, project: str, webhook_id: str, *, idempotency: Idempotency | None = None
) -> Webhook:
    """Delete a webhook with all its deliveries, and return it as it was. Raises NotFound, KeyReused."""

    def delete() -> Webhook:
        webhook = _find_webhook(connection, project, webhook_id)
        deleted = connection.execute(SQL["delete_webhook"], {"project": project, "id": webhook_id})
        if not deleted.rowcount:
            raise NotFound("webhook")
        return webhook

    with database.connection() as connection, connection.transaction():
        return answer_once(connection, project, idempotency, delete, CHANGED)


def resume_webhook(
    database: Database,
    project: str,
    webhook_id: str,
    *,
    skip: bool,
    idempotency: Idempotency | None = None,
) -> Webhook:
    """Resume a webhook with the event that could not be sent, or with ``skip`` with the event after it.

    An active webhook is left as it is. Raises NotFound, KeyReused.
    """
    key = {"project": project, "id": webhook_id}

    def resume() -> Webhook:
        position = lock_checkpoint(connection, FOLLOWER.name)
        for (last,) in connection.execute(SQL["resume_webhook"], key).fetchall():
            _make_up(connection, webhook_id, last, position)
            connection.execute(SQL["skip_head" if skip else "retry_head"], {"webhook_id": webhook_id})
        return _find_webhook(connection, project, webhook_id)

    with database.connection() as connection:
        create_checkpoint(connection, FOLLOWER)
        with connection.transaction():
            return answer_once(connection, project, idempotency, resume, CHANGED)


def page_deliveries(database: Database, project: str, webhook_id: str, window: Window) -> Page[Delivery]:
    """Return a page of the deliveries of a webhook, made or pending, by position. Raises NotFound."""
    get_webhook(database, project, webhook_id)
    sql = SQL["page_deliveries_descending" if window.order == "newest" else "page_deliveries"]
    rows = database.fetch(sql, {"webhook_id": webhook_id, **_bounds_of(window)})
    return make_page([Delivery(*row) for row in rows], window, lambda delivery: delivery.position)


@dataclass(frozen=True)
class Lane:
    """Limits on simultaneous deliveries: ``at_once`` in all, ``each`` for one project."""

    at_once: int
    each: int


def find_due_deliveries(
    connection: Connection,
    *,
    but: Sequence[str],
    slow: Sequence[str],
    served: Sequence[str],
    lanes: tuple[Lane, Lane],
    weight_max: int,
) -> list[Due]:
    """Return the next event of each active webhook that is due, except webhooks under way.

    ``but``: the webhooks under way. ``slow``: those that use the second of ``lanes``, under way or not.
    Projects with fewer deliveries under way come first, then those that are not in ``served``, then those
    that come earlier there. ``weight_max`` bounds the bytes that are read.
    """
    quick_lane, slow_lane = lanes
    bounds: dict[str, Any] = {"but": list(but), "slow": list(slow), "served": list(served)}
    bounds |= {"quick_at_once": quick_lane.at_once, "quick_each": quick_lane.each}
    bounds |= {"slow_at_once": slow_lane.at_once, "slow_each": slow_lane.each, "weight_max": weight_max}
    rows = connection.execute(SQL["select_due"], bounds).fetchall()
    epochs = load_epochs(connection) if rows else None
    return [
        Due(webhook_id, url, secret, attempts, make_entry(tuple(entry), epochs))
        for webhook_id, url, secret, attempts, *entry in rows
    ]


def record_attempt(connection: Connection, due: Due, attempt: Attempt, *, delay_seconds: float) -> None:
    """Record the outcome of an attempt.

    After a failure the next attempt is due in ``delay_seconds``. After a success the webhook goes behind the
    others that are due, so that each has its turn.
    """
    is_taken = attempt.error is None
    made = {
        "webhook_id": due.webhook_id,
        "webhook_status": None if is_taken else _status_after(due, attempt),
        "delay": 0 if is_taken else delay_seconds,
        "position": due.entry.id,
        "status": "delivered" if is_taken else "pending",
        "response_status": attempt.status,
        "error": attempt.error,
    }
    connection.execute(SQL["record_attempt"], made)


def _status_after(due: Due, attempt: Attempt) -> str:
    """Return the status of a webhook after a failed attempt."""
    if attempt.status == 410:
        return "disabled"
    return "parked" if due.attempts + 1 >= ATTEMPTS_MAX else "active"


def choose_delay(attempts: int, chance: float) -> float:
    """Return how long to wait after ``attempts`` failures: between half of the full delay and all of it.

    ``chance``, 0 to 1, chooses the point in between, so that deliveries that failed together are not retried
    together.
    """
    full: float = min(FIRST_DELAY_SECONDS * DELAY_FACTOR ** (attempts - 1), DELAY_SECONDS_MAX)
    return full * (0.5 + chance / 2)


def delete_old_deliveries(connection: Connection) -> None:
    """Delete deliveries that were made or skipped more than KEPT_DAYS ago, and answers kept that long."""
    connection.execute(SQL["delete_old_deliveries"], {"days": KEPT_DAYS})
    delete_old_answers(connection)
