"""Every error Recount raises on purpose. Messages never hold what people said.

RecountError
├─ InvalidInput          the caller's words cannot be taken: ``field`` says which
├─ Refused               a rule said no
│  ├─ AlreadyExists      the name is taken (by a live or a soft-deleted one)
│  ├─ VersionConflict    others kept writing first; nothing was recorded
│  ├─ ExpectationFailed  the caller named a version that is no longer current
│  ├─ MessageIdTaken     a message id came again with other content
│  │  └─ MessageIsDeleted   … or a deletion hides the message that has it
│  ├─ LimitReached       the project has as many of something as a setting allows
│  ├─ KeyReused          an idempotency key came again with another request
│  └─ OnHold             a legal hold keeps it from being purged
├─ NotFound              no such session, thread, user or message, or not as of that moment
├─ RecordUnreadable      a stored payload this program cannot understand: a person must look
└─ Unavailable           the store cannot answer now; trying again later may help
   ├─ DatabaseUnfit      the database, or the way to it, must be set up in another way
   └─ SchemaMismatch     the database's schema is older or newer than this program
"""

from __future__ import annotations


class RecountError(Exception):
    """Root of every error Recount raises on purpose."""


class InvalidInput(RecountError):
    """The input is invalid; ``field`` is the dotted path of the offending member."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Refused(RecountError):
    """A rule said no; nothing was recorded."""


class AlreadyExists(Refused):
    """The name is taken. ``is_deleted``: the one that has it was soft-deleted and can be undeleted."""

    def __init__(self, kind: str, *, is_deleted: bool = False) -> None:
        hint = " (it is deleted: undelete it, or purge it to free the name)" if is_deleted else ""
        super().__init__(f"a {kind} of this name exists already{hint}")
        self.kind = kind
        self.is_deleted = is_deleted


class VersionConflict(Refused):
    """Other writers were faster every time; nothing was recorded and the call may be repeated."""

    def __init__(self, message: str = "others wrote first, again and again; please repeat") -> None:
        super().__init__(message)


class ExpectationFailed(Refused):
    """The caller expected another version; ``current_version`` is the actual one (0: nothing exists)."""

    def __init__(self, expected_version: int, current_version: int) -> None:
        super().__init__(f"expected version {expected_version}, but it is {current_version}")
        self.expected_version = expected_version
        self.current_version = current_version


class MessageIdTaken(Refused):
    """A message id that this conversation knows came again with other content."""

    def __init__(self, message_id: object) -> None:
        super().__init__(f"message {message_id} is recorded already, with other content")
        self.message_id = message_id


class MessageIsDeleted(MessageIdTaken):
    """A message id came again, and a deletion hides the message that has it."""

    def __init__(self, message_id: object) -> None:
        Refused.__init__(
            self,
            f"message {message_id} is recorded already and a deletion hides it: undelete the conversation if"
            " that is deleted, or send the message with another id",
        )
        self.message_id = message_id


class KeyReused(Refused):
    """An Idempotency-Key that was used before came again with a different request."""

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used for a different request")


class LimitReached(Refused):
    """The project has as many of something as a setting allows."""

    def __init__(self, things: str, count_max: int, *, remedy: str) -> None:
        super().__init__(
            f"the project has {count_max:,} {things}, which is the limit: {remedy}, or have"
            f" RECOUNT_{things.upper()}_MAX raised on the server"
        )


class OnHold(Refused):
    """A legal hold on a ``kind`` keeps it, or what it owns, from being purged."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the {kind} is under a legal hold: release it first")
        self.kind = kind


class NotFound(RecountError):
    """There is no such thing in this project, or it is deleted, or was not there at that moment."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"there is no such {kind}")
        self.kind = kind


class RecordUnreadable(RecountError):
    """A stored payload cannot be understood. The error names the stream and version, never the content."""

    def __init__(self, reason: str, *, stream_id: object, version: int, topic: str) -> None:
        super().__init__(f"{topic} at version {version} of stream {stream_id}: {reason}")
        self.stream_id = stream_id
        self.version = version
        self.topic = topic


class Unavailable(RecountError):
    """The store cannot answer now. Nothing is lost; try again after ``retry_after_seconds``.

    ``why``: a sentence for the operator of Recount, shown instead of the one for callers; it may name hosts,
    users and tables.
    """

    def __init__(self, reason: str, *, retry_after_seconds: int = 2, why: str | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds
        self.why = why


class DatabaseUnfit(Unavailable):
    """The database, or the way to it, cannot be used as it is set up; a person must change that."""


class SchemaMismatch(Unavailable):
    """The database's schema is not the one this program knows."""
