"""Commands that keep data from being purged, and that have it erased."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from recountdb.domain import aggregate, conversation
from recountdb.domain.aggregate import Draft
from recountdb.domain.commands.base import Command, Facts, start_stream
from recountdb.domain.users import User


@dataclass(frozen=True, kw_only=True)
class PlaceHold(Command):
    """Keep a session, thread, user or function from being purged; a user's hold covers all that is theirs.

    A user who is known but has no profile gets one, to place the hold on.
    """

    STANDS_ALONE: ClassVar[bool] = True

    reason: str

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        if draft.state is None and self.kind == User.KIND and facts.is_known(self.name):
            start_stream(self, draft, facts)
        aggregate.place_hold(draft, reason=self.reason)
        return []


@dataclass(frozen=True, kw_only=True)
class ReleaseHold(Command):
    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        aggregate.release_hold(draft)
        return []


@dataclass(frozen=True, kw_only=True)
class Purge(Command):
    """End a session, thread, user or function and have all its payloads erased. Raises OnHold.

    ``messages``: how many it holds at ``expected_version``, hidden ones included.
    """

    STANDS_ALONE: ClassVar[bool] = True

    messages: int = 0
    reason: str | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        state = draft.existing()
        owner = state.name if self.kind == User.KIND else getattr(state, "user_id", None)
        if owner is not None:
            aggregate.refuse_hold(User.KIND, facts.hold_on_user(owner))
        aggregate.purge(draft, messages=self.messages, reason=self.reason)
        return []


@dataclass(frozen=True, kw_only=True)
class EraseMessages(Command):
    """Have some messages of a conversation, deleted or live, erased. Raises OnHold.

    ``versions``: those of all events about the messages, as of ``expected_version``.
    """

    STANDS_ALONE: ClassVar[bool] = True

    message_ids: Collection[UUID]
    versions: Sequence[int]
    reason: str | None = None

    def decide(self, draft: Draft[Any], facts: Facts) -> list[UUID]:
        owner = getattr(draft.existing(), "user_id", None)
        found = facts.messages(self.message_ids)
        for user_id in {owner, *(message.user_id for message in found)}:
            if user_id is not None:
                aggregate.refuse_hold(User.KIND, facts.hold_on_user(user_id))
        if found:
            conversation.erase_messages(draft, found, self.versions, reason=self.reason)
        return []
