"""The log's epochs: which history a position belongs to.

A database that failed over to a standby that had not received everything, or that was restored from a
backup, goes on from an earlier point: positions are drawn again, and carry other events than before. From
then on the log is in another *epoch*. Which epoch it is in is found out from where the log lies: the
database cluster, the table, and PostgreSQL's timeline, which changes whenever a standby is promoted or a
backup is recovered. A writer looks before its first append on a connection, and no connection outlives a
change of timeline, so the row of an epoch is there before any event of it.

An epoch has a name, such as ``2-3f9a0c1b``: its number, and the beginning of an id drawn by chance. A
position is written down together with the name, as ``2-3f9a0c1b:4711``; one of the first epoch by itself.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg import errors

from recountdb.domain.errors import RecountError, Unavailable
from recountdb.eventlog.log.order import settled_position
from recountdb.eventlog.postgres.advisory_locks import APPEND_LOCK
from recountdb.eventlog.postgres.database import Connection
from recountdb.eventlog.postgres.failures import READ_ONLY
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "epoch")

UNKNOWN = "-"  # a cluster that the role may not identify
POSITION = re.compile(r"(?:([1-9][0-9]{0,8}-[0-9a-f]{8}):)?([0-9]{1,19})")
POSITION_MAX = 2**63 - 1

logger = logging.getLogger(__name__)


class LogPosition(NamedTuple):
    """A position and the name of the epoch that it was given out in; None means the first epoch."""

    epoch: str | None
    position: int


def read_position(text: str) -> LogPosition:
    """Return the position that ``text`` spells. Raises ValueError when it spells none."""
    match = POSITION.fullmatch(text) if text.isascii() else None
    if match is None or int(match[2]) > POSITION_MAX:
        raise ValueError("is not a position of the log")
    return LogPosition(match[1], int(match[2]))


@dataclass(frozen=True)
class Epoch:
    """An epoch of the log.

    ``origin``: where the log lay, None before the first event. ``shared_through``: up to this position the
    events are certainly those of the epoch before. ``begins_after``: its own events have greater positions.
    """

    number: int
    id: UUID
    origin: str | None
    shared_through: int
    begins_after: int
    began_at: datetime

    @property
    def name(self) -> str:
        return f"{self.number}-{self.id.hex[:8]}"


class OlderEpoch(RecountError):
    """A position was given out in another epoch than the log is in now.

    ``epoch`` is the name of the present one. ``position`` is the one to go on after in it; ``cursor`` is the
    same for a list, None when the position did not come from a list.
    """

    cursor: str | None = None

    def __init__(self, epochs: Epochs, shared_through: int | None, position: int) -> None:
        self.epoch = epochs.current.name
        self.position = 0 if shared_through is None else min(shared_through, position)
        self.resume_from = epochs.spell(self.position)
        if shared_through is None:
            message = (
                "this position is of another log, or of an epoch that this one does not know: read it anew"
            )
        else:
            message = (
                f"since this position was given out, the database failed over or was restored: events after"
                f" position {shared_through} may be gone or be others. Go on after position {self.position}"
            )
        super().__init__(f"{message} (see resume_from)")


@dataclass(frozen=True)
class Epochs:
    """All epochs of a log, the oldest first; there is at least one."""

    all: Sequence[Epoch]

    @property
    def current(self) -> Epoch:
        return self.all[-1]

    def epoch_of(self, position: int) -> Epoch:
        """Return the epoch that an event at ``position`` was recorded in."""
        return next((one for one in reversed(self.all) if one.begins_after < position), self.all[0])

    def spell(self, position: int, epoch: Epoch | None = None) -> str:
        """Return ``position`` as it is written in ``epoch``; default: the present one."""
        epoch = epoch or self.current
        return str(position) if epoch is self.all[0] else f"{epoch.name}:{position}"

    def shared_through(self, name: str | None) -> int | None:
        """Return up to where the epoch called ``name`` had the same events; None when it is unknown here."""
        names = [one.name for one in self.all]
        if name is not None and name not in names:
            return None
        later = self.all[1 if name is None else names.index(name) + 1 :]
        return min((one.shared_through for one in later), default=POSITION_MAX)

    def is_current(self, name: str | None) -> bool:
        return self.current is self.all[0] if name is None else name == self.current.name

    def check(self, place: LogPosition) -> int:
        """Return the position. Raises OlderEpoch unless it was given out in the present epoch."""
        if not self.is_current(place.epoch):
            raise OlderEpoch(self, self.shared_through(place.epoch), place.position)
        return place.position


class Settled(NamedTuple):
    """The settled position of the log (see eventlog.log.order), and the epochs that it belongs to."""

    position: int
    epochs: Epochs


def read_settled(connection: Connection) -> Settled:
    """Return how far the log is settled, with the epochs of events that are later read up to there."""
    # The order matters: an epoch that begins in between also has all events up to the position.
    position = settled_position(connection)
    return Settled(position, load_epochs(connection))


def load_epochs(connection: Connection) -> Epochs:
    return Epochs([Epoch(*row) for row in connection.execute(SQL["select_epochs"]).fetchall()])


def is_standby(connection: Connection) -> bool:
    """Return whether the database replays another one's writes, and takes none itself."""
    return connection.execute(SQL["is_standby"]).fetchone() == (True,)


def enter_epoch(connection: Connection) -> Epochs:
    """Return the log's epochs, after beginning another one when the log lies elsewhere than before.

    Call this before appending through ``connection``, with no transaction open. Raises Unavailable on a
    standby.
    """
    if is_standby(connection):
        raise Unavailable(READ_ONLY)
    origin = find_origin(connection)
    epochs = load_epochs(connection)
    if origin is None or is_same(origin, epochs.current.origin):
        return epochs
    with appends_locked_out(connection):
        before = load_epochs(connection).current.origin
        if before is None:
            connection.execute(SQL["set_origin"], [origin])
        elif not is_same(origin, before):
            connection.execute(SQL["begin_epoch"], [origin])
            _log_beginning(load_epochs(connection).current)
        return load_epochs(connection)


def begin_epoch(connection: Connection) -> Epochs:
    """Begin another epoch, whatever the log's origin; return all epochs. Raises Unavailable on a standby."""
    if is_standby(connection):
        raise Unavailable(READ_ONLY)
    origin = find_origin(connection)
    with appends_locked_out(connection):
        connection.execute(SQL["begin_epoch"], [origin])
        return load_epochs(connection)


@contextmanager
def appends_locked_out(connection: Connection) -> Iterator[None]:
    """Open a transaction in which no append begins, after those under way have ended."""
    with connection.transaction():
        connection.execute(SQL["lock_appends"], [APPEND_LOCK])
        yield


def find_origin(connection: Connection) -> str | None:
    """Return where the log lies: cluster, database, table and timeline; None if PostgreSQL does not say."""
    for statement in ("select_origin", "select_origin_without_cluster"):
        try:
            ((origin,),) = connection.execute(SQL[statement]).fetchall()
            return str(origin)
        except (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.UndefinedFunction):
            continue  # some hosted databases have no timelines, and lose nothing when they fail over
    return None


def is_same(origin: str, other: str | None) -> bool:
    """Return whether both origins are one place; an unknown cluster is assumed to be the other's."""
    if other is None:
        return False
    (cluster, place), (other_cluster, other_place) = origin.split("/", 1), other.split("/", 1)
    return place == other_place and (cluster == other_cluster or UNKNOWN in (cluster, other_cluster))


def _log_beginning(epoch: Epoch) -> None:
    logger.warning(
        "the database failed over or was restored: the log is in epoch %s from position %s on; what was"
        " recorded after position %s before may be lost, and cursors given out before are refused",
        *(epoch.name, epoch.begins_after + 1, epoch.shared_through),
    )


def note_settled(connection: Connection, position: int) -> None:
    """Record that the log is settled up to ``position``, for standbys, which cannot find that out."""
    connection.execute(SQL["note_settled"], {"position": position}, prepare=True)
