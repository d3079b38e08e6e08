"""A user: a profile that sessions and messages may point to by name, with state documents beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from recountdb.domain import aggregate
from recountdb.domain.aggregate import Aggregate, Draft, Family, Started, Undeleted, revive_for_writing
from recountdb.domain.events import Event
from recountdb.domain.values import Text


class Profile(BaseModel):
    """A person's profile. None: not known. ``tags``: free words, in the caller's order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    display_name: Text | None = None
    email: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    tags: list[Text] = []


class UserCreated(Started):
    TOPIC: ClassVar[str] = "user.created"
    profile: Profile = Profile()


class ProfileReplaced(Event):
    """The profile as a whole is now ``profile``."""

    TOPIC: ClassVar[str] = "user.profile-replaced"
    profile: Profile


class MetadataMerged(aggregate.MetadataMerged):
    TOPIC: ClassVar[str] = "user.metadata-merged"


class MetadataReplaced(aggregate.MetadataReplaced):
    TOPIC: ClassVar[str] = "user.metadata-replaced"


class StateSet(aggregate.StateSet):
    TOPIC: ClassVar[str] = "user.state-set"


class UserDeleted(aggregate.Deleted):
    TOPIC: ClassVar[str] = "user.deleted"


class UserUndeleted(aggregate.Undeleted):
    TOPIC: ClassVar[str] = "user.undeleted"


class HoldPlaced(aggregate.HoldPlaced):
    TOPIC: ClassVar[str] = "user.hold-placed"


class HoldReleased(aggregate.HoldReleased):
    TOPIC: ClassVar[str] = "user.hold-released"


class UserPurged(aggregate.Purged):
    TOPIC: ClassVar[str] = "user.purged"


@dataclass(frozen=True, kw_only=True)
class User(Aggregate):
    """A user. State documents up to ``hidden_through`` stayed deleted when a write revived the user."""

    KIND: ClassVar[str] = "user"
    EVENTS: ClassVar[Family] = Family(
        started=UserCreated,
        metadata_merged=MetadataMerged,
        metadata_replaced=MetadataReplaced,
        deleted=UserDeleted,
        undeleted=UserUndeleted,
        hold_placed=HoldPlaced,
        hold_released=HoldReleased,
        purged=UserPurged,
    )
    STATE_SET: ClassVar[type[StateSet]] = StateSet

    profile: Profile = field(default_factory=Profile)
    hidden_through: int = 0

    @classmethod
    def from_started(cls, event: Started, **more: Any) -> Self:
        assert isinstance(event, UserCreated)
        return super().from_started(event, profile=event.profile, **more)

    def evolve(self, event: Event) -> Self:
        match event:
            case ProfileReplaced():
                return self.then(event, profile=event.profile)
            case Undeleted(restores_content=False) if self.deleted_version is not None:
                hidden = {"hidden_through": self.deleted_version}
                return self.then(event, deleted_at=None, deleted_version=None, **hidden)
            case _:
                return super().evolve(event)


def change_profile(draft: Draft[User], changes: dict[str, Any]) -> None:
    """Give the named members of the profile new values; the others stay."""
    profile = draft.existing().profile
    revive_for_writing(draft)
    changed = Profile.model_validate({**profile.model_dump(), **changes})
    if changed != profile:
        draft.record(ProfileReplaced, profile=changed)


def meet(draft: Draft[User], display_name: str | None) -> None:
    """Undelete a known user who spoke, and set their ``display_name`` if they have none."""
    revive_for_writing(draft)
    if display_name is not None and draft.existing().profile.display_name is None:
        change_profile(draft, {"display_name": display_name})
