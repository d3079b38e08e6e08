"""Proofs that let somebody without the store check what was said in one stream, and when.

A proof holds the stream's events with their salts, and the path from its last covered event to a
checkpoint of the whole log. ``eventlog/integrity/check_proof.py`` checks it with Python alone; the hashes are
described in eventlog/integrity/chain.py and eventlog/integrity/checkpoints.py.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from recountdb.eventlog.integrity.chain import EPOCH, GENESIS, MICROSECOND
from recountdb.eventlog.integrity.checkpoints import SQL as CHECKPOINTS
from recountdb.eventlog.integrity.checkpoints import audit_path, leaf_hash, leaves_between
from recountdb.eventlog.integrity.verify import StoredLink, commitment_of
from recountdb.eventlog.postgres.database import Connection, Database
from recountdb.eventlog.postgres.statements import Statements

SQL = Statements(__name__, "verify")

FORMAT = "recount-proof/1"


def proof_of(database: Database, stream_id: UUID) -> dict[str, Any]:
    """Return the proof of a stream, ready to be written as JSON; bytes are hexadecimal."""
    with database.connection() as connection:
        rows = [StoredLink(*row) for row in connection.execute(SQL["select_stream_links"], [stream_id])]
        covers = (_checkpoint_over(connection, row) for row in reversed(rows))
        return {
            "format": FORMAT,
            "stream_id": str(stream_id),
            "events": [_event_of(row) for row in rows],
            "checkpoint": next(filter(None, covers), None),
        }


def _event_of(row: StoredLink) -> dict[str, Any]:
    """Return an event of a proof. ``payload`` and ``salt`` are null when erased; its commitment stays."""
    commitment = commitment_of(row)
    return {
        "version": row.originator_version,
        "topic": row.topic,
        "project": row.project,
        "recorded_at": (row.recorded_at - EPOCH) // MICROSECOND,
        "payload": None if row.salt is None else row.state,
        "salt": None if row.salt is None else row.salt.hex(),
        "commitment": None if commitment is None else commitment.hex(),
        "link": row.link.hex(),
    }


def _checkpoint_over(connection: Connection, row: StoredLink) -> dict[str, Any] | None:
    """Return the checkpoint that covers an event, and the path to it; None when none covers it yet."""
    for place in connection.execute(CHECKPOINTS["select_checkpoint_over"], [row.notification_id]):
        epoch, position, events, root, digest, before, digest_before = place
        leaves = leaves_between(connection, before, position, limit=events)
        index = [leaf for leaf, _ in leaves].index(row.notification_id)
        path = audit_path(index, [leaf_hash(*leaf) for leaf in leaves])
        return {
            "version": row.originator_version,
            "event_position": row.notification_id,
            "index": index,
            "path": [node.hex() for node in path],
            "epoch": str(epoch),
            "position": position,
            "events": events,
            "root": root.hex(),
            "digest_before": (digest_before or GENESIS).hex(),
            "digest": digest.hex(),
        }
    return None
