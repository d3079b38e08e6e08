"""``POST /api/v1/prediction/{id}``: an answer in a chatflow, by the responder that is configured.

``GET /api/v1/chatflows-streaming/{id}``, which Flowise's own SDKs ask first, says whether it can be streamed.

Recount has no chatflows. With RECOUNT_LANGFLUX_UPSTREAM the question is passed on to a Flowise, whose answer
is relayed; with RECOUNT_RESPONDER_URL a model is asked. Either way both messages are recorded here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from pydantic import JsonValue
from pydantic_core import to_json
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.protocols.base import Visit, document_in, visit
from recountdb.api.protocols.chat_answers import text_of_parts
from recountdb.api.protocols.event_stream import Events
from recountdb.api.protocols.exchange import Exchange, streamed, turns_of
from recountdb.api.protocols.langflux.chatmessages import as_uuid, chatflow_id
from recountdb.api.protocols.langflux.errors import refused
from recountdb.api.protocols.langflux.messages import JSON_COLUMNS, KEY, members_of
from recountdb.api.protocols.responder import NotConfigured, Route, Turn, Upstream, chat_in, langflux_in
from recountdb.api.schemas.responses import Json
from recountdb.api.settings import Settings
from recountdb.api.transfer.cleaning import clean, loads
from recountdb.domain.commands import ChangeMessage
from recountdb.domain.errors import MessageIdTaken, NotFound, RecountError
from recountdb.domain.messages import Message
from recountdb.domain.sessions import Session
from recountdb.domain.values import check_document

FAILED = "error"
"""The event by which a Flowise reports that there is no answer."""

MEMORY = ""
"""The label of the memory node; Recount has none."""


class Ids(NamedTuple):
    """The chat and the session of a prediction; one chat may have several sessions.

    ``is_given``: whether the request itself determines both.
    """

    chat_id: str
    session_id: str
    is_given: bool


def resolve_ids(body: Mapping[str, Any], *, is_internal: bool = False, fresh: str = "") -> Ids:
    """Return the ids of a prediction. Raises a refusal for one that is not a text.

    The chat is body.chatId, else overrideConfig.sessionId, else ``fresh``. The session is
    overrideConfig.sessionId, else body.chatId, else the chat. An empty text counts for the chat alone. From
    the canvas (``is_internal``) the session is the chat, unless the flow's memory node has one.
    """
    override = body.get("overrideConfig")
    asked = override.get("sessionId") if isinstance(override, dict) else None
    given = body.get("chatId")
    for one in (asked, given):
        if one is not None and not isinstance(one, str):
            raise refused(500, "Error: chatId and sessionId must be strings")
    chat_id = given if given is not None else asked if asked is not None else fresh
    if is_internal:
        return Ids(chat_id, chat_id or fresh, False)
    return Ids(chat_id, asked or given or chat_id or fresh, bool(asked or given))


def add_routes(router: APIRouter, settings: Settings) -> None:
    chat, upstream = chat_in(settings), langflux_in(settings)

    @router.post("/api/v1/prediction/{chatflow}")
    async def predict(chatflow: str, request: Request) -> Response:
        """Answer a question."""
        return await answer(chatflow, request, is_internal=False)

    @router.post("/api/v1/internal-prediction/{chatflow}")
    async def predict_internally(chatflow: str, request: Request) -> Response:
        """Answer a question from the canvas."""
        return await answer(chatflow, request, is_internal=True)

    @router.get("/api/v1/chatflows-streaming/{chatflow}")
    async def streams(chatflow: str) -> Response:
        """Answer whether a chatflow can stream; no key is required, because the SDKs send none here."""
        scope = chatflow_id(chatflow)
        if upstream is not None:
            told = await upstream.look_up(("api", "v1", "chatflows-streaming", scope))
            return Json(told.body, told.status)
        return Json({"isStreaming": chat is not None})

    async def answer(chatflow: str, request: Request, *, is_internal: bool) -> Response:
        here = await visit(request)
        scope = chatflow_id(chatflow)
        if chat is None and upstream is None:
            raise NotConfigured("RECOUNT_LANGFLUX_UPSTREAM")
        body = await _body_in(request)
        ids = resolve_ids(body, is_internal=is_internal, fresh=str(uuid7()))
        one = _Prediction(here, scope, body, ids, is_internal, here.store.now())
        if upstream is not None:
            route = ("api", "v1", f"{'internal-' if is_internal else ''}prediction", scope)
            if one.is_streaming:
                return await streamed(one.relay_by_parts(upstream, route))
            return await one.relay(upstream, route)
        assert chat is not None
        turns = turns_of(await one.exchange.history(), one.question)
        turns = [*_told_before(body), *turns]
        await one.ask()
        if one.is_streaming:
            return await streamed(one.tell(chat.answer_by_parts(turns)))
        text = await chat.answer(turns)
        message = await one.exchange.record(one.api_message({"text": text}))
        return Json({"text": text, **one.metadata(str(message.id)), "isStreamValid": False})


async def _body_in(request: Request) -> dict[str, Any]:
    """Return the body; an empty body is an empty question. Raises a refusal."""
    if not (await request.body()).strip():
        return {}
    try:
        body = await document_in(request, check_document)
    except ValueError:
        raise refused(400, "the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise refused(400, "the body is not a JSON object")
    return body


def _told_before(body: Mapping[str, Any]) -> list[Turn]:
    """Return the earlier turns that the request includes."""
    history = body.get("history")
    turns = []
    for one in history if isinstance(history, list) else []:
        message = one.get("message", one.get("content")) if isinstance(one, dict) else None
        if isinstance(message, str):
            role = one.get("type", one.get("role"))
            turns.append(Turn("user" if role in ("userMessage", "user") else "assistant", message))
    return turns


@dataclass(frozen=True)
class _Prediction:
    """A question in a chat, which arrived at the time ``at``."""

    here: Visit
    scope: str
    body: Mapping[str, Any]
    ids: Ids
    is_internal: bool
    at: datetime

    @property
    def exchange(self) -> Exchange:
        return Exchange(self.here, self.scope, self.ids.session_id)

    @property
    def question(self) -> str:
        question = self.body.get("question")
        return question if isinstance(question, str) else ""

    @property
    def is_streaming(self) -> bool:
        return self.body.get("streaming") in (True, "true")

    async def ask(self, memory: str = MEMORY) -> Message:
        """Record the question, timestamped with its arrival."""
        more = {"fileUploads": self.body.get("uploads"), "leadEmail": self.body.get("leadEmail")}
        said = self._message("userMessage", self.question, self.at, {**more, "memoryType": memory})
        return await self.exchange.record(said)

    def api_message(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members of the message for an answer."""
        names = (*JSON_COLUMNS, "followUpPrompts", "memoryType", "executionId")
        more = {name: answer[name] for name in names if answer.get(name) is not None}
        text = answer.get("text")
        content = text_of_parts(text) or to_json(answer.get("json", "")).decode().strip('"')
        return self._message("apiMessage", content, self.here.store.now(), more)

    def _message(self, role: str, content: str, at: datetime, more: Mapping[str, Any]) -> dict[str, Any]:
        told = {
            "role": role,
            "content": content,
            "chatId": self.ids.chat_id,
            "sessionId": self.ids.session_id,
            "chatType": "INTERNAL" if self.is_internal else "EXTERNAL",
            "memoryType": MEMORY,
        }
        return members_of({**told, **more}, at)

    def metadata(self, message_id: str) -> dict[str, Any]:
        return {
            "question": self.question,
            "chatId": self.ids.chat_id,
            "chatMessageId": message_id,
            "sessionId": self.ids.session_id,
            "memoryType": MEMORY,
        }

    async def tell(self, parts: AsyncIterator[str]) -> AsyncIterator[bytes]:
        """Yield the events of an answer that comes in parts; record the answer when it is complete."""
        texts = [await anext(parts, "")]
        yield _event("start", "")
        try:
            if texts[0]:
                yield _event("token", texts[0])
            async for part in parts:
                texts.append(part)
                yield _event("token", part)
            message = await self.exchange.record(self.api_message({"text": "".join(texts)}))
        except RecountError as error:
            yield _event("error", str(error))
            return
        yield _event("metadata", self.metadata(str(message.id)))
        yield _event("end", "[DONE]")

    # ---- answered by a Flowise ----

    def now_known(self, answer: Mapping[str, Any]) -> _Prediction:
        """Return this prediction with the ids that the Flowise chose, if the request left them open."""
        if self.ids.is_given:
            return self
        chat_id, session_id = answer.get("chatId"), answer.get("sessionId")
        chat = chat_id if isinstance(chat_id, str) and chat_id else self.ids.chat_id
        session = session_id if isinstance(session_id, str) and session_id else chat or self.ids.session_id
        return replace(self, ids=Ids(chat, session, True))

    async def settled(self, asked: Message | None, answer: Mapping[str, Any]) -> _Prediction:
        """Return this prediction as ``now_known`` does, and adapt the recorded question to it.

        ``asked``: the question's message; None if it is not recorded yet, in which case it is recorded now.
        """
        one, memory = self.now_known(answer), answer.get("memoryType")
        memory = memory if isinstance(memory, str) else MEMORY
        if asked is None:
            await one.ask(memory)
        elif memory != MEMORY:
            await one.label(asked, memory)
        return one

    async def label(self, asked: Message, memory: str) -> None:
        """Set the memory label of the question to its answer's, so that both are listed together."""
        with suppress(NotFound):  # deleted meanwhile
            await self.here.execute(
                ChangeMessage(
                    kind=Session.KIND,
                    name=self.ids.session_id,
                    scope=self.scope,
                    message_id=asked.id,
                    metadata={KEY: {"memoryType": memory}},
                )
            )

    async def relay(self, upstream: Upstream, route: Route) -> Response:
        """Pass the question on, and relay the answer."""
        asked = await self.ask() if self.ids.is_given else None
        try:
            relayed = await upstream.forward(route, dict(self.body))
        except RecountError:
            if asked is None:
                await self.ask()
            raise
        answer = relayed.body if isinstance(relayed.body, dict) else {}
        one = await self.settled(asked, answer)
        if relayed.status == 200:
            await one.record_answer(answer)
        return Json(relayed.body, relayed.status)

    async def relay_by_parts(self, upstream: Upstream, route: Route) -> AsyncIterator[bytes]:
        """Yield Flowise's events as they come; record the answer when they end."""
        asked = await self.ask() if self.ids.is_given else None
        events, told, has_begun = Events(), dict[str, Any](text=""), False
        failure: RecountError | None = None
        try:
            async for part in upstream.forward_by_parts(route, dict(self.body)):
                for one_event in events.feed(part):
                    _note(one_event.data, told)
                has_begun = True
                yield part
        except RecountError as error:
            failure = error
        for one_event in events.end():
            _note(one_event.data, told)
        one = await self.settled(asked, told)
        if failure is None and _is_answer(told):
            await one.record_answer(told)
        if failure is not None:
            if not has_begun:
                raise failure
            yield _event("error", str(failure))

    async def record_answer(self, answer: Mapping[str, Any]) -> None:
        """Record a Flowise's answer, under the Flowise's message id if that is free."""
        members = self.api_message(clean(answer))
        try:
            await self.exchange.record(members, as_uuid(str(answer.get("chatMessageId"))))
        except MessageIdTaken:
            await self.exchange.record(members)


def _event(name: str, data: JsonValue) -> bytes:
    """Return a record of Flowise's event streams."""
    return b"message:\ndata:" + to_json({"event": name, "data": data}) + b"\n\n"


def _note(data: str, told: dict[str, Any]) -> None:
    """Collect the part of the answer in an event of Flowise's stream."""
    try:
        record = loads(data)
    except ValueError:
        return
    if not isinstance(record, dict) or not isinstance(name := record.get("event"), str):
        return
    value = record.get("data")
    if name == "token":
        told["text"] += text_of_parts(value)
    elif name == "metadata" and isinstance(value, dict):
        told.update({key: value for key, value in value.items() if key != "text"})
    elif name in JSON_COLUMNS:
        told[name] = value
    elif name == FAILED:
        told[FAILED] = value


def _is_answer(told: Mapping[str, Any]) -> bool:
    """Return whether a Flowise answered: its stream may be without text, and reports failures as events."""
    return FAILED not in told and bool(told["text"] or "chatMessageId" in told)
