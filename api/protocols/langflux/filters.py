"""Recount's filters for what the parameters of a request select."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

from fastapi import Request

from recountdb.api.http.middleware import IN_NO_NAME, SLASH_IN_SEGMENT
from recountdb.api.protocols.langflux.errors import FlowiseRefusal
from recountdb.api.protocols.langflux.shapes.messages import DEFAULT_CHAT_TYPE, KEY, find_scope
from recountdb.api.transfer.cleaning import loads
from recountdb.domain.values import check_text, to_utc
from recountdb.projections.queries.recent_messages import Label, RecentFilter

KNOWN = {
    *("sessionId", "chatId", "memoryType", "messageId", "chatType", "startDate", "endDate", "feedbackType"),
    *("order", "sort", "feedback", "page", "limit", "hardDelete", "isClearFromViewMessageDialog"),
}
"""The parameters that a deletion may have; an unknown one is refused, as it may mean to delete less."""

MANY = {"chatType", "feedbackType"}
"""The parameters that may be repeated."""

INDEX = re.compile(r"\[\d*\]$")
WHOLE = re.compile(r"\s*[+-]?\d+")
"""The part of a text that JavaScript's parseInt reads."""

DATES = (
    *("%Y", "%Y-%m", "%Y/%m/%d", "%m/%d/%Y", "%b %d, %Y"),
    *("%a %b %d %Y", "%a %b %d %Y %H:%M:%S GMT%z"),
)
"""The formats that JavaScript's Date parses besides ISO 8601 and RFC 5322; it writes the last two itself."""

MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Selection:
    """A selection of a chatflow's messages: a filter for the store, and what to select from its result.

    ``ratings``: only messages with these ratings, each with the message just before it; None for all.
    ``page``, ``limit``: the page of sessions, and its size; 0 for all.
    """

    said: RecentFilter
    ratings: Collection[str] | None = None
    page: int = 0
    limit: int = 0

    @property
    def is_paged(self) -> bool:
        is_of_one = self.said.session is not None or self.said.message_id is not None
        return self.page > 0 and self.limit > 0 and not is_of_one


class ExpressQuery:
    """Query parameters as Express reads them: one may be repeated, or have ``[]`` or ``[0]`` in its name."""

    def __init__(self, request: Request) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            try:
                self._values.setdefault(INDEX.sub("", name), []).append(check_text(value))
            except ValueError:
                raise FlowiseRefusal(400, f"{name[:100]!r} cannot be read") from None

    def one(self, name: str) -> str | None:
        """Return the first value of a parameter; None if there is none."""
        values = self._values.get(name)
        return values[0] if values else None

    def many(self, name: str) -> list[str]:
        """Return the values of a parameter that may be repeated, or be a JSON array."""
        return expand_values(self._values.get(name, ()))

    def time(self, name: str) -> datetime | None:
        """Return a time, None if there is none. Raises a refusal."""
        value = self.one(name)
        return parse_time(name, value) if value else None

    def count(self, name: str) -> int:
        """Return a number, 0 if there is none. Raises a refusal for a negative one."""
        digits = WHOLE.match((self.one(name) or "")[:20])
        number = int(digits[0]) if digits else 0
        if number < 0:
            raise FlowiseRefusal(412, f"Error: {name} cannot be negative!")
        return min(number, 2**31)

    @property
    def is_descending(self) -> bool:
        """Return whether ``order``, or else ``sort``, its name in the documentation, is exactly ``DESC``."""
        order = self.one("order")
        return (self.one("sort") if order is None else order) == "DESC"

    def refuse_unclear(self) -> None:
        """Raise a refusal if it is not clear what a deletion is about."""
        for name, values in self._values.items():
            if name not in KNOWN:
                raise FlowiseRefusal(400, f"there is no parameter {name[:100]!r}; nothing was deleted")
            if len(values) > 1 and name not in MANY:
                raise FlowiseRefusal(400, f"the parameter {name!r} is there twice; nothing was deleted")

    def select(
        self,
        scope: str,
        *,
        has_feedback: bool,
        is_strict: bool = False,
        chat_types: list[str] | None = None,
    ) -> Selection:
        """Return the selection that the parameters ask for. Raises a refusal if one of them is invalid.

        Ratings and pages count with ``has_feedback`` only; then empty values filter nothing, unless
        ``is_strict``. ``chat_types``: overrides the parameter ``chatType``.
        """
        equal = {name: self.one(name) for name in ("sessionId", "chatId", "memoryType", "messageId")}
        if has_feedback and not is_strict:
            equal = {name: value or None for name, value in equal.items()}
        until = self.time("endDate")
        said = build_filter(
            scope,
            equal,
            chat_types=chat_types or self.many("chatType"),
            since=self.time("startDate"),
            until=until,
        )
        ratings = self.many("feedbackType") if has_feedback else []
        page, limit = self.count("page"), self.count("limit")  # validated even where they are ignored
        return Selection(said, ratings or None, page, limit) if has_feedback else Selection(said)


def build_filter(
    scope: str,
    equal: Mapping[str, str | None],
    *,
    chat_types: Sequence[str],
    since: datetime | None,
    until: datetime | None,
) -> RecentFilter:
    """Return the filter for the messages of a chatflow with these members; None in ``equal`` filters nothing.

    ``since`` and ``until`` are both inclusive, to the millisecond.
    """
    message_id, session = equal.get("messageId"), equal.get("sessionId")
    own: dict[str, Any] = {
        name: equal[name] for name in ("chatId", "memoryType") if equal.get(name) is not None
    }
    if session == "":  # no session has an empty name
        session, own["sessionId"] = None, ""
    return RecentFilter(
        # An invalid message id belongs to no message.
        scope=scope if message_id is None or find_scope(message_id) else IN_NO_NAME,
        session=session,
        message_id=read_uuid(message_id),
        metadata={KEY: own} if own else None,
        without={KEY: {"sessionId": None}} if session is not None else None,
        label=_filter_by_chat_type(chat_types) if chat_types else None,
        since=since,
        until=None if until is None else until + MILLISECOND,
    )


def expand_values(values: Iterable[str]) -> list[str]:
    """Return all values, with a JSON array replaced by its items, and without empty texts."""
    expanded: list[str] = []
    for value in values:
        document: Any = value
        with suppress(ValueError):
            document = loads(value)
        expanded += map(str, document) if isinstance(document, list) else [value]
    return [value for value in expanded if value]


def read_uuid(text: str | None) -> UUID | None:
    """Return a text as a UUID; None if it is not one."""
    scope = None if text is None else find_scope(text)
    return None if scope is None else UUID(scope)


def parse_time(name: str, text: str) -> datetime:
    """Parse a time as JavaScript does; without a zone it is UTC. Raises a refusal."""
    with suppress(ValueError):
        return to_utc(datetime.fromisoformat(text))
    for form in DATES:
        with suppress(ValueError):
            time = datetime.strptime(text.partition(" (")[0], form)  # noqa: DTZ007 - to_utc sees to that
            return to_utc(time)
    with suppress(ValueError, TypeError):
        return to_utc(parsedate_to_datetime(text))
    raise FlowiseRefusal(400, f"{name} is not a date")


def decode_chatflow(chatflow: str) -> str:
    """Return the scope of a chatflow to read; one that is not a valid id has no messages."""
    return find_scope(chatflow) or chatflow.replace(SLASH_IN_SEGMENT, "/")


def check_chatflow_id(chatflow: str) -> str:
    """Return the scope of a chatflow to change. Raises a refusal if its id is invalid."""
    scope = find_scope(chatflow)
    if scope is None:
        raise FlowiseRefusal(400, "Invalid UUID format for chatflowId")
    return scope


def _filter_by_chat_type(types: Sequence[str]) -> Label:
    return Label((KEY, "chatType"), types, None if DEFAULT_CHAT_TYPE in types else ())
