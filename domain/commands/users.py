"""Commands that change users alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from recountdb.domain import aggregate, users
from recountdb.domain.aggregate import Draft
from recountdb.domain.commands.base import Command, Facts, start_stream
from recountdb.domain.users import Profile, User


@dataclass(frozen=True, kw_only=True)
class ChangeUser(Command):
    """Give the named members of a user's profile new values, and merge metadata.

    ``changes``: see domain.users.Profile. ``replaces_metadata``: replace the metadata instead of merging.
    """

    kind: str = User.KIND
    changes: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, JsonValue] | None = None
    replaces_metadata: bool = False

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        users.change_profile(draft, self.changes)
        if self.metadata is not None:
            change = aggregate.replace_metadata if self.replaces_metadata else aggregate.merge_metadata
            change(draft, self.metadata)
        return []


@dataclass(frozen=True, kw_only=True)
class UpsertUser(ChangeUser):
    """Create a user with the members named, or change an existing one."""

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is not None:
            return super().decide(draft, facts)
        profile = Profile.model_validate(self.changes)
        start_stream(self, draft, facts, metadata=self.metadata, profile=profile)
        return []


@dataclass(frozen=True, kw_only=True)
class MeetUser(Command):
    """Create or undelete a user whom a message names, and name one without a name. Never refuses."""

    kind: str = User.KIND
    display_name: str | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is None:
            start_stream(self, draft, facts, profile=Profile(display_name=self.display_name))
        else:
            users.meet(draft, self.display_name)
        return []
