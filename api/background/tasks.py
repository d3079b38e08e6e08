"""The background tasks of a server: the followers of the log, the sender of webhooks, and the eraser.

Every server process stands by for each task; one process at a time does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from recountdb.api.background.webhook_sender import Sender
from recountdb.api.services.read_audit import forget_reads
from recountdb.domain.errors import NotFound, Unavailable
from recountdb.eventlog.postgres.clock import Clock
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.followers.eraser import follow_erasures
from recountdb.projections.followers.follower import Follower, Lag, follow_log, measure_lags
from recountdb.projections.followers.leader import Leader
from recountdb.projections.followers.webhooks import FOLLOWER as WEBHOOKS

FOLLOWERS: Sequence[Follower] = (WEBHOOKS,)


def find_follower(name: str) -> Follower:
    """Return the follower with this name. Raises NotFound."""
    for follower in FOLLOWERS:
        if follower.name == name:
            return follower
    raise NotFound("follower")


def known_lags(database: Database) -> list[Lag]:
    """Return how far each follower is behind; an empty list while the database does not answer."""
    try:
        return measure_lags(database)
    except Unavailable:
        return []


class BackgroundTasks:
    """The threads of one process that stand by for background tasks."""

    def __init__(self, conninfo: str, clock: Clock, *, allow_private: bool) -> None:
        self._leaders = [
            Leader(conninfo, f"follower {follower.name}", partial(follow_log, follower=follower))
            for follower in FOLLOWERS
        ]
        self._leaders.append(Leader(conninfo, "sender", Sender(clock, allow_private=allow_private)))
        self._leaders.append(Leader(conninfo, "erasure", partial(follow_erasures, forget=forget_reads)))

    def start(self) -> None:
        for leader in self._leaders:
            leader.start()

    def stop(self) -> None:
        """Tell all threads to end, and wait for them."""
        for leader in self._leaders:
            leader.tell_to_stop()
        for leader in self._leaders:
            leader.stop()
