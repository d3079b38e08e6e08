"""Answers to the questions that decisions ask (see domain.commands.base.Facts)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from recountdb.domain.aggregate import Draft
from recountdb.domain.catalog import KINDS
from recountdb.domain.commands.base import Facts, Name
from recountdb.domain.events import Context
from recountdb.domain.messages import MessageState
from recountdb.eventlog.log.event_log import EventLog
from recountdb.eventlog.log.past_messages import restore_messages
from recountdb.eventlog.write.changes import PendingChanges
from recountdb.eventlog.write.ports import Views


class TransactionFacts:
    """Facts about one stream, as of a transaction.

    ``looked_up``: the messages that the decision asked for. ``others``: drafts and facts of the further
    streams that it asked for.
    """

    def __init__(
        self, changes: PendingChanges, views: Views, name: Name, stream_id: UUID, context: Context
    ) -> None:
        self.looked_up: dict[UUID, MessageState] = {}
        self.others: dict[Name, tuple[Draft[Any], TransactionFacts]] = {}
        self._changes = changes
        self._views = views
        self._name = name
        self._stream_id = stream_id
        self._context = context

    def next_number(self) -> int:
        return self._changes.draw_number(self._name)

    def is_taken(self, name: str) -> bool:
        return self._views.find_stream(self._name._replace(name=name)) is not None

    def hold_on_user(self, user_id: str) -> str | None:
        return self._views.find_hold(self._name.project, user_id)

    def is_known(self, user_id: str) -> bool:
        return self._views.user_exists(self._name.project, user_id)

    def count_forks(self) -> int:
        return self._changes.count_forks(self._name.project)

    def is_purged(self, stream_id: UUID) -> bool:
        return not self._views.stream_exists(stream_id)

    def messages(self, ids: Collection[UUID] = (), instants: Collection[datetime] = ()) -> list[MessageState]:
        found = self._views.find_messages(self._stream_id, ids, instants)
        self.looked_up.update((message.id, message) for message in found)
        return found

    def other(self, name: str) -> tuple[Draft[Any], Facts]:
        whole = self._name._replace(name=name)
        if whole not in self.others:
            self.others[whole] = self._open(whole)
        return self.others[whole]

    def _open(self, name: Name) -> tuple[Draft[Any], TransactionFacts]:
        # Decided once and never retried on fresher state, so the cache is not trusted here.
        state, stream_id, _ = self._changes.reload(name)
        # The idempotency key belongs to what the command's own stream records.
        context = replace(self._context, idempotency=None)
        draft = Draft(KINDS[name.kind], state, context, stream_id)
        return draft, TransactionFacts(self._changes, self._views, name, stream_id, context)


class PastFacts:
    """Facts about one stream as of ``version``, to make an earlier decision once more."""

    def __init__(self, log: EventLog, views: Views, stream_id: UUID, version: int) -> None:
        self._log = log
        self._views = views
        self._stream_id = stream_id
        self._version = version

    def next_number(self) -> int:
        return 0  # nobody sees it: the event that gets it is not recorded

    def is_taken(self, name: str) -> bool:
        return False

    def hold_on_user(self, user_id: str) -> str | None:
        return None

    def is_known(self, user_id: str) -> bool:
        return False

    def count_forks(self) -> int:
        return 0

    def is_purged(self, stream_id: UUID) -> bool:
        return False

    def messages(self, ids: Collection[UUID] = (), instants: Collection[datetime] = ()) -> list[MessageState]:
        today = self._views.find_messages(self._stream_id, ids, instants)
        return list(restore_messages(self._log, self._stream_id, self._version, today).values())

    def other(self, name: str) -> tuple[Draft[Any], Facts]:
        raise NotImplementedError("what was decided upon two streams is not decided once more")
