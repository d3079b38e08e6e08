"""Commands that change a stream of any kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from recountdb.domain import aggregate
from recountdb.domain.aggregate import Draft
from recountdb.domain.commands.base import Command, Facts, start_stream
from recountdb.domain.errors import AlreadyExists
from recountdb.domain.memory_functions import Definition
from recountdb.domain.sessions import Session
from recountdb.domain.users import Profile


@dataclass(frozen=True, kw_only=True)
class Start(Command):
    """Begin a session, thread, user or function. Raises AlreadyExists when there is a live or deleted one."""

    metadata: dict[str, JsonValue] | None = None
    user_id: str | None = None  # sessions only
    profile: Profile | None = None  # users only
    definition: Definition | None = None  # functions only

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is not None:
            raise AlreadyExists(self.kind, is_deleted=draft.state.is_deleted)
        payload: dict[str, Any] = {"metadata": self.metadata}
        if self.kind == Session.KIND:
            payload["user_id"] = self.user_id
        if self.profile is not None:
            payload["profile"] = self.profile
        if self.definition is not None:
            payload["definition"] = self.definition
        start_stream(self, draft, facts, **payload)
        return []


@dataclass(frozen=True, kw_only=True)
class MergeMetadata(Command):
    """Merge metadata deeply into the target's. A merge that changes nothing is not recorded."""

    metadata: dict[str, JsonValue]

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        aggregate.merge_metadata(draft, self.metadata)
        return []


@dataclass(frozen=True, kw_only=True)
class TouchMetadata(MergeMetadata):
    """Merge metadata deeply into the target's, and move ``updated_at`` even if that changes nothing."""

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        super().decide(draft, facts)
        if not draft.events:
            draft.record(draft.kind.EVENTS.metadata_merged, metadata=self.metadata)
        return []


@dataclass(frozen=True, kw_only=True)
class SetState(Command):
    """Replace a thread's or user's document under ``key`` (None is its own slot); start a missing one."""

    key: str | None = None
    state: JsonValue

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is None:
            start_stream(self, draft, facts)
        aggregate.set_state(draft, key=self.key, state=self.state)
        return []


@dataclass(frozen=True, kw_only=True)
class Delete(Command):
    reason: str | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        aggregate.delete(draft, reason=self.reason)
        return []


@dataclass(frozen=True, kw_only=True)
class Undelete(Command):
    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        aggregate.undelete(draft)
        return []
