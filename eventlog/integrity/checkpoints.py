"""Checkpoints over the whole log, which reveal a dropped stream or a tail that was cut off.

Each covers the events after the one before it, up to a settled position, in order of position:

    leaf    = SHA-256(0x00 ‖ position ‖ link)
    root    = the Merkle tree hash of the leaves (RFC 9162, section 2.1.1)
    digest  = SHA-256(digest before it ‖ epoch ‖ position ‖ number of events ‖ root)

Positions and numbers are 8 bytes, big-endian; the digest before the first is 32 zero bytes; the epoch is
the 16 bytes of the id of the log's epoch (see eventlog/log/epoch.py). A digest that is kept elsewhere can
prove later what the log was at that time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from recountdb.eventlog.integrity.chain import GENESIS
from recountdb.eventlog.log.epoch import is_standby, read_settled
from recountdb.eventlog.postgres.advisory_locks import CHECKPOINT_LOCK
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "checkpoints")

EVENTS_MAX = 1000
"""Events under one checkpoint at most: a wrong root narrows the fault down to this many events."""

BEGINNING = -(2**63)
"""A number below every possible position, including those that no sequence drew."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint over ``events`` events, the last of them at ``position``. ``epoch`` is an epoch's id."""

    epoch: UUID
    position: int
    events: int
    root: bytes
    digest: bytes


Leaf = tuple[int, bytes]
"""The position and the link of an event."""


def leaf_hash(position: int, link: bytes) -> bytes:
    return sha256(b"\x00" + position.to_bytes(8, "big") + link).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """Return the root over one or more leaf hashes."""
    if len(leaves) == 1:
        return leaves[0]
    middle = split(len(leaves))
    return node_hash(tree_hash(leaves[:middle]), tree_hash(leaves[middle:]))


def audit_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the hashes that lead from the leaf at ``index`` up to the root (RFC 9162, section 2.1.3.1)."""
    if len(leaves) == 1:
        return []
    middle = split(len(leaves))
    if index < middle:
        return [*audit_path(index, leaves[:middle]), tree_hash(leaves[middle:])]
    return [*audit_path(index - middle, leaves[middle:]), tree_hash(leaves[:middle])]


def split(count: int) -> int:
    """Return the largest power of two below ``count``, which must be at least 2."""
    return int(1 << ((count - 1).bit_length() - 1))


def _digest_after(previous: bytes, epoch: UUID, position: int, events: int, root: bytes) -> bytes:
    numbers = position.to_bytes(8, "big") + events.to_bytes(8, "big")
    return sha256(previous + epoch.bytes + numbers + root).digest()


def checkpoint_after(previous: bytes, epoch: UUID, leaves: Sequence[Leaf]) -> Checkpoint:
    """Return the checkpoint over ``leaves`` (at least one, in order of position), taken in ``epoch``."""
    root = tree_hash([leaf_hash(*leaf) for leaf in leaves])
    position = leaves[-1][0]
    digest = _digest_after(previous, epoch, position, len(leaves), root)
    return Checkpoint(epoch, position, len(leaves), root, digest)


def take_checkpoints(database: Database) -> int:
    """Cover all events that are settled and not covered yet; return how many there were.

    Return 0 also when another process is taking one, and on a standby, which receives its primary's.
    """
    with database.connection() as connection:
        if is_standby(connection):
            return 0
        settled, epochs = read_settled(connection)
        covered = 0
        while count := _take_checkpoint(connection, settled, epochs.current.id):
            covered += count
        return covered


def _take_checkpoint(connection: Connection, settled: int, epoch: UUID) -> int:
    """Take one checkpoint, up to ``settled`` at most; return how many events it covers."""
    with connection.transaction():
        ((is_ours,),) = connection.execute(SQL["try_lock"], [CHECKPOINT_LOCK]).fetchall()
        if not is_ours:
            return 0
        last = last_checkpoint(connection)
        position, digest = (last.position, last.digest) if last else (BEGINNING, GENESIS)
        leaves = leaves_between(connection, position, settled)
        if not leaves:
            return 0
        taken = checkpoint_after(digest, epoch, leaves)
        row = [taken.position, taken.events, taken.root, taken.digest, taken.epoch]
        connection.execute(SQL["insert_checkpoint"], row)
        return taken.events


def last_checkpoint(connection: Connection) -> Checkpoint | None:
    for row in connection.execute(SQL["select_last_checkpoint"]):
        return Checkpoint(*row)
    return None


def leaves_between(connection: Connection, gt: int, lte: int, *, limit: int = EVENTS_MAX) -> list[Leaf]:
    """Return the leaves of events with positions above ``gt``, up to ``lte``, in order."""
    return list(connection.execute(SQL["select_leaves"], [gt, lte, limit]))


def checkpoints(connection: Connection) -> Iterator[Checkpoint]:
    """Yield all checkpoints, oldest first."""
    for row in connection.execute(SQL["select_checkpoints"]):
        yield Checkpoint(*row)
