"""``POST /api/v1/run/{flow}``: a run of a flow, answered by the responder that is configured.

Recount has no flows. With RECOUNT_LANGFLOW_UPSTREAM the run is passed on to a Langflow, whose answer is
relayed; with RECOUNT_RESPONDER_URL a model is asked. Either way both messages are recorded here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from email import policy
from email.parser import BytesParser
from time import perf_counter
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import to_json
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.http.incoming import Sent
from recountdb.api.protocols.chat_answers import text_of_parts
from recountdb.api.protocols.event_stream import Lines
from recountdb.api.protocols.exchange import Exchange, streamed, turns_of
from recountdb.api.protocols.langflow.errors import Refused
from recountdb.api.protocols.langflow.messages import EXTRAS, KEY, members_of, single
from recountdb.api.protocols.langflow.sessions import Resolved, component_session, resolve_session
from recountdb.api.protocols.langflow.visiting import Here, in_path
from recountdb.api.protocols.responder import NotConfigured, Route, Upstream, chat_in, is_segment, langflow_in
from recountdb.api.schemas.responses import Json
from recountdb.api.settings import Settings
from recountdb.api.transfer.cleaning import clean, clean_text, loads
from recountdb.domain.errors import MessageIdTaken, RecountError
from recountdb.domain.exact_json import read_json
from recountdb.domain.messages import Message
from recountdb.domain.values import Text
from recountdb.projections.views.messages import FoundMessage, get_message

SHOWN = ("message", "text")
"""The names of outputs that hold text: those of Chat Output, and of Text Output."""

OUTPUT_ID = "ChatOutput-recount"


class _RunRequest(BaseModel):
    """The body of a run. An invalid body is dropped as a whole, as Langflow does."""

    model_config = ConfigDict(extra="allow")

    input_value: Text | None = None
    input_type: str | None = Field("chat", pattern="^(chat|text|any)$")
    output_type: str | None = Field("chat", pattern="^(chat|text|any|debug)$")
    output_component: str | None = None
    tweaks: dict[str, JsonValue] | None = None
    session_id: Text | None = None
    user_id: str | None = None


def add_routes(router: APIRouter, settings: Settings) -> None:
    chat, upstream = chat_in(settings), langflow_in(settings)

    @router.post("/api/v1/run/{flow}")
    async def run(
        flow: str, here: Here, request: Request, stream: Annotated[bool, Query()] = False
    ) -> Response:
        """Run a flow."""
        if chat is None and upstream is None:
            raise NotConfigured("RECOUNT_LANGFLOW_UPSTREAM")
        asked = await _run_request(request)
        scope = scope_of(in_path(flow))
        if upstream is not None and not is_segment(scope):
            raise Refused(404, f"Flow identifier {scope} not found")
        resolved = resolve_session(
            scope,
            requested=asked.session_id,
            component=component_session(asked.tweaks or {}),
            order=settings.run_compat,
        )
        one = _Run(Exchange(here, scope, resolved.session_id), asked, resolved, str(uuid4()))
        headers: dict[str, str] = {"X-Recount-Session-Id-From": resolved.level}
        if upstream is not None:
            await one.ask()
            route, body = ("api", "v1", "run", scope), one.forwarded()
            if stream:
                parts = one.relay_by_parts(upstream, route, body)
                return await streamed(parts, headers)
            relayed = await upstream.forward(route, body, {"stream": "false"})
            if relayed.status == 200:
                await one.record_answer_in(relayed.body)
            return Json(relayed.body, relayed.status, headers)
        assert chat is not None
        history = await one.exchange.history(without={KEY: {"error": True}})
        question = await one.ask()
        turns = turns_of(history, asked.input_value or "")
        if stream:
            return await streamed(one.tell(question, chat.answer_by_parts(turns)), headers)
        started = perf_counter()
        answer = await one.record_answer(await chat.answer(turns))
        return Json(await one.told(answer, perf_counter() - started), headers=headers)


async def _run_request(request: Request) -> _RunRequest:
    assert isinstance(request, Sent)
    content_type = request.headers.get("content-type", "")
    try:
        if content_type.lower().startswith("multipart/form-data"):
            return await request.made_by(lambda raw: _RunRequest.model_validate(_form_in(raw, content_type)))
        return await request.read_as(_RunRequest.model_validate)
    except ValueError:  # NotJson, or pydantic's ValidationError
        return _RunRequest()


def _form_in(raw: bytes, content_type: str) -> dict[str, Any]:
    """Return the fields of a multipart form; objects in it are JSON texts. Raises ValueError."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
    form = BytesParser(policy=policy.HTTP).parsebytes(head + raw)
    fields: dict[str, Any] = {}
    for part in form.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields[name] = payload.decode()
    if "tweaks" in fields:
        fields["tweaks"] = read_json(fields["tweaks"])
    return fields


def scope_of(flow: str) -> str:
    """Return the scope of a flow's sessions: the flow's id, or the name of its endpoint unchanged."""
    try:
        return str(UUID(flow))
    except ValueError:
        return flow


@dataclass
class _Told:
    """The parts of its answer that a Langflow has sent so far."""

    tokens: list[str] = field(default_factory=list)
    message: str = ""
    is_recorded: bool = False
    has_failed: bool = False


@dataclass(frozen=True)
class _Run:
    """A run: the request, its session, and the id of the run."""

    exchange: Exchange
    asked: _RunRequest
    resolved: Resolved
    run_id: str

    async def ask(self) -> Message:
        """Record the user's message and return it."""
        return await self.exchange.record(self._message("User", "User", self.asked.input_value or ""))

    async def record_answer(self, text: str, message_id: UUID | None = None) -> Message:
        return await self.exchange.record(self._message("Machine", "AI", text), message_id)

    def _message(self, by: str, by_name: str, text: str, **more: Any) -> dict[str, Any]:
        of_run = {"run_id": self.run_id, "session_metadata": {"graph_run_id": self.run_id}}
        told = {"sender": by, "sender_name": by_name, "text": text, "category": "message", "context_id": ""}
        return members_of({**told, **of_run, **more})

    # ---- a model answers ----

    async def told(self, answer: Message, seconds: float) -> dict[str, Any]:
        """Return the response of a run, in Langflow's shape."""
        here = self.exchange.here
        shown = _shown_as(await here.find(get_message, answer.id))
        data = shown["data"]
        text = data["text"]
        artifacts = {
            "message": text,
            "sender": data["sender"],
            "sender_name": data["sender_name"],
            "files": data["files"],
            "type": "object",
        }
        message = {
            "message": text,
            "sender": data["sender"],
            "sender_name": data["sender_name"],
            "session_id": data["session_id"],
            "stream_url": None,
            "component_id": OUTPUT_ID,
            "files": data["files"],
            "type": "text",
        }
        output: dict[str, Any] = {
            "results": {"message": shown},
            "artifacts": artifacts,
            "outputs": {"message": {"message": text, "type": "text"}},
            "logs": {"message": []},
            "messages": [message] if text else [],
            "timedelta": None,
            "duration": f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} seconds",
            "component_display_name": "Chat Output",
            "component_id": OUTPUT_ID,
            "used_frozen_result": False,
            "token_usage": None,
        }
        asked = self.asked.input_value
        return {
            "session_id": self.resolved.session_id,
            "outputs": [{"inputs": {} if asked is None else {"input_value": asked}, "outputs": [output]}],
        }

    async def tell(self, question: Message, parts: AsyncIterator[str]) -> AsyncIterator[bytes]:
        """Yield the events of a run whose answer comes in parts; record the answer when it is complete."""
        started, answer_id, texts = perf_counter(), uuid7(), list[str]()
        first = await anext(parts, "")
        here = self.exchange.here
        yield _event("add_message", _shown_as(await here.find(get_message, question.id)))
        try:
            if first:
                texts.append(first)
                yield _event("token", {"chunk": first, "id": str(answer_id)})
            async for part in parts:
                texts.append(part)
                yield _event("token", {"chunk": part, "id": str(answer_id)})
            answer = await self.record_answer("".join(texts), answer_id)
        except RecountError as error:
            yield _event("error", {"error": str(error)})
            return
        result = await self.told(answer, perf_counter() - started)
        yield _event("add_message", _shown_as(await here.find(get_message, answer.id)))
        yield _event("end", {"result": result})

    # ---- a Langflow answers ----

    def forwarded(self) -> JsonValue:
        """Return the request to pass on to the upstream Langflow, with the session resolved here."""
        body: dict[str, JsonValue] = self.asked.model_dump(mode="json", exclude_unset=True)
        return {**body, "session_id": self.resolved.session_id}

    async def relay_by_parts(self, upstream: Upstream, route: Route, body: JsonValue) -> AsyncIterator[bytes]:
        """Yield Langflow's events as they come, and record the answer before the last of them."""
        lines, told = Lines(), _Told()
        has_begun = False
        try:
            async for part in upstream.forward_by_parts(route, body, {"stream": "true"}):
                await self.note(lines.feed(part), told)
                has_begun = True
                yield part
        except RecountError as error:
            if not has_begun:
                raise
            yield _event("error", {"error": str(error)})
            return
        await self.note(lines.end(), told)
        text = "".join(told.tokens) or told.message
        if text and not told.is_recorded and not told.has_failed:
            await self.record_answer(clean_text(text))

    async def note(self, lines: Iterable[str], told: _Told) -> None:
        """Collect the parts of the answer in lines of Langflow's; record the answer once it is complete."""
        for line in lines:
            name, data = _event_in(line)
            if name == "token":
                told.tokens += [data["chunk"]] if isinstance(data.get("chunk"), str) else []
            elif name == "add_message" and data.get("sender") == "Machine":
                told.message = text_of_parts(data.get("text"))
            elif name == "end":
                result = data.get("result", data)
                text = "".join(told.tokens) or told.message
                told.is_recorded = await self.record_answer_in(result, text)
            elif name == "error":
                told.has_failed = True

    async def record_answer_in(self, answer: object, text: str = "") -> bool:
        """Record a Langflow's message, or else ``text`` as its answer. Return False if there is neither."""
        data = clean(_message_in(answer))
        text = text_of_parts(data.get("text")) or clean_text(text)
        if not data and not text:
            return False
        texts = {name: data[name] for name in ("sender", "sender_name") if isinstance(data.get(name), str)}
        kept = {name: data[name] for name in EXTRAS if name in data and name != "sender"}
        members = self._message("Machine", "AI", text, **texts, **kept)
        try:
            await self.exchange.record(members, _uuid_in(data.get("id")))
        except MessageIdTaken:
            await self.exchange.record(members)
        return True


def _shown_as(found: FoundMessage) -> dict[str, Any]:
    """Return a message as responses of runs show it: an object that repeats its members in ``data``."""
    data = single(found) | {"duration": None}
    return {"text_key": "text", "data": data, "default_value": "", **data}


def _event(name: str, data: object) -> bytes:
    """Return a record of Langflow's event streams: JSON and a blank line, without the field names of SSE."""
    return to_json({"event": name, "data": data}) + b"\n\n"


def _event_in(line: str) -> tuple[str | None, dict[str, Any]]:
    """Return the event in a line, which is bare JSON or SSE data; (None, {}) if there is none."""
    try:
        document = loads(line.removeprefix("data:"))
    except ValueError:
        return None, {}
    if not isinstance(document, dict) or not isinstance(document.get("event"), str):
        return None, {}
    data = document.get("data")
    return document["event"], data if isinstance(data, dict) else {}


def _message_in(answer: object) -> dict[str, Any]:
    """Return the last message in the response of a run; empty if it has none."""
    for output in reversed(_outputs_in(answer)):
        results = _member(output, "results")
        shown = _member(output, "outputs")
        for told in (*(_member(results, name) for name in SHOWN), *(_member(shown, name) for name in SHOWN)):
            if isinstance(data := _member(told, "data", told), dict):
                return data if "text" in data else {"text": data.get("message")}
            if isinstance(told, str):
                return {"text": told}
    return {}


def _outputs_in(answer: object) -> list[Any]:
    """Return the outputs of all components in the response of a run, in order."""
    groups = _member(answer, "outputs")
    inner = [_member(group, "outputs") for group in groups] if isinstance(groups, list) else []
    return [output for outputs in inner if isinstance(outputs, list) for output in outputs]


def _member(value: object, name: str, default: object = None) -> Any:
    """Return a member of an object; the default if ``value`` is not an object or lacks the member."""
    return value.get(name, default) if isinstance(value, dict) else default


def _uuid_in(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
