"""Webhooks: a project has its events sent to an address, in order, each at least once.

The follower ``webhooks`` writes down what is to be sent: a row for each event and webhook, exactly once.
Who sends them (see api.background.webhook_sender) asks here what is due, and says what became of it. A
webhook's events are sent one after the other; one that is not taken is tried again, later and later, and
after the last attempt the webhook is *parked* with all that comes behind, until it is resumed. One whose
receiver says that it is gone is *disabled*, and can be resumed, too. Meanwhile nothing is written down for
it; when it is resumed, that is made up for.
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
from recountdb.eventlog.log.recorder import LogEntry, entry_from
from recountdb.eventlog.postgres.channels import notify
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.postgres.statements import Statements
from recountdb.projections.followers.follower import begin, lock_checkpoint
from recountdb.projections.queries.paging import KEY_MAX, Page, Window, page_of
from recountdb.projections.queries.repeats import carry_out_once, forget_answers

SQL = Statements(__name__, "webhooks")

CHANNEL = "recount_deliveries"
ATTEMPTS_MAX = 10
FIRST_DELAY_SECONDS = 5
DELAY_FACTOR = 4
DELAY_SECONDS_MAX = 12 * 3600
KEPT_DAYS = 7  # so long what was delivered can be looked at


@dataclass(frozen=True)
class Webhook:
    """``types``: None for all. ``starts_after``: a position. ``status``: active, parked or disabled.

    ``pending``: how many events wait to be sent. ``next_attempt_at``: not before then.
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
"""How answers are kept for a repeat."""


@dataclass(frozen=True)
class Delivery:
    """What became of one event. ``status``: pending, delivered or skipped.

    ``response_status`` and ``error`` are of the last attempt; None: there was none, or no answer, or no
    error.
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
    """An event to be sent now. ``attempts``: those made already."""

    webhook_id: str
    url: str
    secret: str
    attempts: int
    entry: LogEntry

    @property
    def id(self) -> str:
        """The same at every attempt, so that a receiver knows a repeat."""
        return f"{self.webhook_id}_{self.entry.place}"


@dataclass(frozen=True)
class Attempt:
    """What came of sending. ``status``: of the answer; None: there was none. ``error`` None: it went well."""

    status: int | None
    error: str | None


class WebhookFollower:
    """Writes down what is to be sent to whom. See projections.followers.follower.Follower."""

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
    """Make a webhook for the events after the position ``after``; None: for those recorded from now on.

    Returns it and its secret, which cannot be had again but by a repeat under the same idempotency key.
    ``webhooks_max``: how many the project may have. Raises InvalidInput, LimitReached, KeyReused.
    """

    def create() -> tuple[Webhook, str]:
        # The follower stands still meanwhile: what lies behind it is ours to write down, what lies
        # before it is its own. Whoever else makes a webhook waits, too, so they can be counted.
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
        begin(connection, FOLLOWER)
        with connection.transaction():
            return carry_out_once(connection, project, idempotency, create, CREATED)


def _refuse_more_webhooks(connection: Connection, project: str, webhooks_max: int | None) -> None:
    """Raise LimitReached where the project has as many webhooks as it may."""
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
    """Write down what a webhook is to be sent of what the follower has passed already."""
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
    """In the order they were made."""
    sql = SQL["page_webhooks_descending" if window.order == "newest" else "page_webhooks"]
    rows = database.fetch(sql, {"project": project, **_bounds_of(window)})
    return page_of([Webhook(*row) for row in rows], window, lambda webhook: webhook.number)


def _bounds_of(window: Window) -> dict[str, int]:
    after = window.after()
    end = KEY_MAX if window.order == "newest" else 0
    return {"after": end if after is None else after, "limit": window.limit + 1}


def delete_webhook(
    database: Database, project: str, webhook_id: str, *, idempotency: Idempotency | None = None
) -> Webhook:
    """Send it nothing more, and forget what was sent; returns what it was. Raises NotFound, KeyReused."""

    def delete() -> Webhook:
        webhook = _find_webhook(connection, project, webhook_id)
        deleted = connection.execute(SQL["delete_webhook"], {"project": project, "id": webhook_id})
        if not deleted.rowcount:
            raise NotFound("webhook")
        return webhook

    with database.connection() as connection, connection.transaction():
        return carry_out_once(connection, project, idempotency, delete, CHANGED)


def resume_webhook(
    database: Database,
    project: str,
    webhook_id: str,
    *,
    skip: bool,
    idempotency: Idempotency | None = None,
) -> Webhook:
    """Send again, beginning with what could not be sent, or with ``skip`` behind it.

    One that is active is left as it is. Raises NotFound, KeyReused.
    """
    key = {"project": project, "id": webhook_id}

    def resume() -> Webhook:
        position = lock_checkpoint(connection, FOLLOWER.name)
        for (last,) in connection.execute(SQL["resume_webhook"], key).fetchall():
            _make_up(connection, webhook_id, last, position)
            connection.execute(SQL["skip_head" if skip else "retry_head"], {"webhook_id": webhook_id})
        return _find_webhook(connection, project, webhook_id)

    with database.connection() as connection:
        begin(connection, FOLLOWER)
        with connection.transaction():
            return carry_out_once(connection, project, idempotency, resume, CHANGED)


def page_deliveries(database: Database, project: str, webhook_id: str, window: Window) -> Page[Delivery]:
    """What was sent to a webhook and is to be sent, by position. Raises NotFound."""
    get_webhook(database, project, webhook_id)
    sql = SQL["page_deliveries_descending" if window.order == "newest" else "page_deliveries"]
    rows = database.fetch(sql, {"webhook_id": webhook_id, **_bounds_of(window)})
    return page_of([Delivery(*row) for row in rows], window, lambda delivery: delivery.position)


@dataclass(frozen=True)
class Lane:
    """How many are sent at once: ``at_once`` in all, ``each`` of one project."""

    at_once: int
    each: int


def due_deliveries(
    connection: Connection,
    *,
    but: Sequence[str],
    slow: Sequence[str],
    served: Sequence[str],
    lanes: tuple[Lane, Lane],
    weight_max: int,
) -> list[Due]:
    """Return the next event of each active webhook whose time has come, but not of those under way.

    ``but``: the webhooks under way. ``slow``: those that go by the second of ``lanes``, under way or not.
    Who has fewer under way comes first, and then who is not among those ``served`` lately, or stands earlier
    there. ``weight_max`` bounds the bytes that are read.
    """
    quick_lane, slow_lane = lanes
    bounds: dict[str, Any] = {"but": list(but), "slow": list(slow), "served": list(served)}
    bounds |= {"quick_at_once": quick_lane.at_once, "quick_each": quick_lane.each}
    bounds |= {"slow_at_once": slow_lane.at_once, "slow_each": slow_lane.each, "weight_max": weight_max}
    rows = connection.execute(SQL["select_due"], bounds).fetchall()
    epochs = load_epochs(connection) if rows else None
    return [
        Due(webhook_id, url, secret, attempts, entry_from(tuple(entry), epochs))
        for webhook_id, url, secret, attempts, *entry in rows
    ]


def record_attempt(connection: Connection, due: Due, attempt: Attempt, *, delay_seconds: float) -> None:
    """Say what came of it.

    After a failure the next attempt is due in ``delay_seconds``; a webhook that took its event goes behind
    the others whose time has come, so that each has its turn.
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
    """What a webhook is after a failure."""
    if attempt.status == 410:
        return "disabled"
    return "parked" if due.attempts + 1 >= ATTEMPTS_MAX else "active"


def delay_seconds(attempts: int, chance: float) -> float:
    """How long to wait after so many ``attempts``, from half of the full time to all of it.

    ``chance``, 0 to 1, says where between: those who failed together are not to come back together.
    """
    full: float = min(FIRST_DELAY_SECONDS * DELAY_FACTOR ** (attempts - 1), DELAY_SECONDS_MAX)
    return full * (0.5 + chance / 2)


def forget_delivered(connection: Connection) -> None:
    """Delete what was sent, or skipped, longer than a week ago, and what requests were answered then."""
    connection.execute(SQL["delete_old_deliveries"], {"days": KEPT_DAYS})
    forget_answers(connection)
