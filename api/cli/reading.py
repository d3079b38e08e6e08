"""``recount sessions``, ``messages`` and ``audit``: sessions, messages now or in the past, and events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from recountdb.api.cli.failures import tell
from recountdb.api.cli.output import shortened, show_json, show_table
from recountdb.api.cli.store import name_of, opened, place, running
from recountdb.api.schemas.responses import aggregate_resource, event_resource, message_resource, origin_ids
from recountdb.domain.commands import Name
from recountdb.domain.errors import InvalidInput, NotFound
from recountdb.domain.exact_json import NotJson, read_json
from recountdb.domain.messages import MessageState
from recountdb.domain.sessions import Session
from recountdb.domain.values import Metadata, Moment
from recountdb.eventlog.application import Recount
from recountdb.eventlog.log.recorder import LogEntry, LogRecorder
from recountdb.eventlog.postgres.database import Database
from recountdb.projections.lists.paging import (
    KEY_MAX,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    Filter,
    Order,
    Page,
    Window,
)
from recountdb.projections.queries.audit_trail import page_stream
from recountdb.projections.queries.history import AsOf, page_as_of
from recountdb.projections.views.messages import page_messages
from recountdb.projections.views.names import find_stream
from recountdb.projections.views.sessions import list_sessions, session_names

T = TypeVar("T")

METADATA = TypeAdapter(Metadata)
MOMENT = TypeAdapter(Moment)


def sessions(
    data: Path | None,
    project: str,
    *,
    limit: int | None,
    order: Order,
    user_id: str | None,
    metadata: str | None,
    deleted: bool,
    as_json: bool,
) -> None:
    wanted = None if metadata is None else _metadata_in(metadata)
    criteria = Filter(user_id=user_id, metadata=wanted, deleted=deleted)
    with opened(place(data)) as database:
        found = listed(partial(list_sessions, database, project, criteria=criteria), limit, order)
        if as_json:
            show_all_json(_session_resource(database, project, session) for session in found)
        else:
            columns = ["session", "user", "messages", "version", "updated", "metadata"]
            show_table(columns, map(_session_row, found))


def _session_resource(database: Database, project: str, session: Session) -> dict[str, Any]:
    return aggregate_resource(session, session_names(database, project, origin_ids([session])))


def _session_row(session: Session) -> list[Any]:
    name = f"{session.name} (of {session.scope})" if session.scope else session.name
    metadata = shortened(session.metadata)
    return [name, session.user_id, session.message_count, session.version, session.updated_at, metadata]


def messages(
    data: Path | None,
    project: str,
    session: str,
    *,
    scope: str,
    limit: int | None,
    order: Order,
    as_of: str | None,
    as_json: bool,
) -> None:
    moment = None if as_of is None else moment_in(as_of)
    with opened(place(data)) as database, running(database) as application:
        name = Name(project, Session.KIND, scope, session)
        found = listed(partial(_messages_page, application, name, moment), limit, order)
        if as_json:
            show_all_json(map(message_resource, found))
        else:
            show_table(["version", "said", "role", "content"], map(_message_row, found))


def _messages_page(
    application: Recount, session: Name, moment: AsOf | None, window: Window
) -> Page[MessageState]:
    if moment is None:
        of_scope = Filter(scope=session.scope)
        return page_messages(application.database, session.project, "session", session.name, window, of_scope)
    return page_as_of(application, session, moment, window, Filter())


def _message_row(message: MessageState) -> list[Any]:
    said_at = message.timestamp or message.recorded_at
    return [message.version, said_at, message.role, content_of(message)]


def content_of(message: MessageState) -> Any:
    """Return the content, with the tools that were called."""
    if not message.tool_calls:
        return message.content
    calls = "\n".join(f"→ {_call_text(call)}" for call in message.tool_calls)
    return calls if message.content is None else f"{message.content}\n{calls}"


def _call_text(call: Any) -> str:
    match call:
        case {"function": {"name": str(name), "arguments": str(arguments)}}:
            return f"{name}({arguments})"
        case _:
            return shortened(call)


def audit(
    data: Path | None,
    project: str,
    named: Mapping[str, str | None],
    *,
    scope: str,
    limit: int | None,
    order: Order,
    as_json: bool,
) -> None:
    """Show the events of one stream. ``named`` maps a kind to a name or None.

    Raises InvalidInput unless exactly one is named, and NotFound where there is no such stream.
    """
    given = [(kind, name) for kind, name in named.items() if name is not None]
    if len(given) != 1:
        raise InvalidInput("SESSION", "name a session, or a thread with --thread, or a user with --user")
    kind, name = given[0]
    with opened(place(data)) as database:
        stream_id = find_stream(database, name_of(project, kind, name, scope))
        if stream_id is None:
            raise NotFound(kind)
        found = paged(partial(page_stream, LogRecorder(database), stream_id), limit or KEY_MAX, order)
        if as_json:
            show_all_json(map(event_resource, found))
        else:
            columns = ["version", "type", "recorded", "actor", "request", "payload"]
            show_table(columns, map(_event_row, found))


def _event_row(entry: LogEntry) -> list[Any]:
    event = event_resource(entry)
    members = [event[name] for name in ("version", "type", "recorded_at", "actor", "request_id")]
    return [*members, shortened(event["payload"])]


def listed(fetch: Callable[[Window], Page[T]], limit: int | None, order: Order) -> Iterator[T]:
    """Yield up to ``limit`` items; for None the first LIMIT_DEFAULT, with a hint if there are more."""
    if limit is not None:
        yield from paged(fetch, limit, order)
        return
    for number, item in enumerate(paged(fetch, LIMIT_DEFAULT + 1, order), 1):
        if number > LIMIT_DEFAULT:
            tell("There are more: see --limit.")
        else:
            yield item


def paged(fetch: Callable[[Window], Page[T]], limit: int, order: Order) -> Iterator[T]:
    """Yield up to ``limit`` items, fetched page by page."""
    cursor = None
    while limit > 0:
        page = fetch(Window(min(limit, LIMIT_MAX), order, cursor))
        yield from page.items
        limit -= len(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return


def show_all_json(items: Iterable[Any]) -> None:
    for item in items:
        show_json(item)


def _metadata_in(text: str) -> dict[str, Any]:
    try:
        return METADATA.validate_python(read_json(text))
    except (NotJson, ValidationError):
        raise InvalidInput("--metadata", "must be a JSON object") from None
    except InvalidInput as error:
        raise InvalidInput("--metadata", str(error)) from None


def moment_in(text: str, option: str = "--as-of") -> AsOf:
    if text.isdecimal() and text.isascii() and len(text) <= 18:
        return AsOf(version=int(text))
    try:
        moment: datetime = MOMENT.validate_python(text)
    except ValidationError:
        reason = "must be a version like 7 or a time like 2026-11-20T19:50:25Z"
        raise InvalidInput(option, reason) from None
    return AsOf(moment=moment)
