"""A run and its answer: a model's, or a Langflow's that is relayed. Either way both messages are recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from types import MappingProxyType
from typing import Any
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from recountdb.api.protocols.langflow.rules import RunSession
from recountdb.api.protocols.langflow.shapes.messages import EXTRAS, KEY, from_langflow_message
from recountdb.api.protocols.langflow.shapes.runs import (
    RunRequest,
    StreamedRun,
    encode_run_event,
    find_answer,
    to_run_response,
    to_shown_message,
)
from recountdb.api.protocols.responder.chat import Chat, Turn
from recountdb.api.protocols.responder.chat_answers import join_parts
from recountdb.api.protocols.responder.event_stream import LineReader
from recountdb.api.protocols.responder.exchange import Exchange, build_turns
from recountdb.api.protocols.responder.upstream import Relayed, Route, Upstream
from recountdb.api.transfer.cleaning import clean, clean_text
from recountdb.domain.errors import MessageIdTaken, RecountError
from recountdb.domain.messages import Message
from recountdb.projections.views.messages import FoundMessage, get_message


@dataclass(frozen=True)
class Run:
    """A run: the request, its session, and the id of the run."""

    exchange: Exchange
    request: RunRequest
    session: RunSession
    run_id: str

    # ---- a model answers ----

    async def answer(self, chat: Chat) -> dict[str, Any]:
        """Return the response of a run that a model answers. Raises ResponderFailed."""
        _, turns = await self._ask_model()
        started = perf_counter()
        answer = await self._record_answer(await chat.answer(turns))
        return await self._to_response(answer, perf_counter() - started)

    async def answer_by_parts(self, chat: Chat) -> AsyncIterator[bytes]:
        """Yield the events of a run that a model answers; record the answer when it is complete."""
        question, turns = await self._ask_model()
        parts = chat.answer_by_parts(turns)
        started, answer_id, texts = perf_counter(), uuid7(), list[str]()
        first = await anext(parts, "")
        yield encode_run_event("add_message", to_shown_message(await self._find(question)))
        try:
            if first:
                texts.append(first)
                yield encode_run_event("token", {"chunk": first, "id": str(answer_id)})
            async for part in parts:
                texts.append(part)
                yield encode_run_event("token", {"chunk": part, "id": str(answer_id)})
            answer = await self._record_answer("".join(texts), answer_id)
        except RecountError as error:
            yield encode_run_event("error", {"error": str(error)})
            return
        result = await self._to_response(answer, perf_counter() - started)
        yield encode_run_event("add_message", to_shown_message(await self._find(answer)))
        yield encode_run_event("end", {"result": result})

    async def _ask_model(self) -> tuple[Message, list[Turn]]:
        """Record the question; return it, and the turns to send to a model."""
        history = await self.exchange.history(without={KEY: {"error": True}})
        question = await self._record_question()
        return question, build_turns(history, self.request.input_value or "")

    async def _to_response(self, answer: Message, seconds: float) -> dict[str, Any]:
        return to_run_response(self.request, self.session.session_id, await self._find(answer), seconds)

    async def _find(self, message: Message) -> FoundMessage:
        return await self.exchange.context.find(get_message, message.id)

    # ---- a Langflow answers ----

    async def relay(self, upstream: Upstream, route: Route) -> Relayed:
        """Return a Langflow's response after recording its answer. Raises ResponderFailed."""
        await self._record_question()
        relayed = await upstream.forward(route, self._forwarded_body(), {"stream": "false"})
        if relayed.status == 200:
            await self._record_upstream_answer(relayed.body)
        return relayed

    async def relay_by_parts(self, upstream: Upstream, route: Route) -> AsyncIterator[bytes]:
        """Yield Langflow's events as they come, and record the answer before the last of them."""
        await self._record_question()
        lines, answer = LineReader(), StreamedRun()
        has_begun = is_recorded = False
        try:
            async for part in upstream.forward_by_parts(route, self._forwarded_body(), {"stream": "true"}):
                is_recorded |= await self._record_streamed(lines.feed(part), answer)
                has_begun = True
                yield part
        except RecountError as error:
            if not has_begun:
                raise
            yield encode_run_event("error", {"error": str(error)})
            return
        is_recorded |= await self._record_streamed(lines.end(), answer)
        if answer.text and not is_recorded and not answer.has_failed:
            await self._record_answer(clean_text(answer.text))

    def _forwarded_body(self) -> JsonValue:
        """Return the request to pass on to the upstream Langflow, with the session resolved here."""
        body: dict[str, JsonValue] = self.request.model_dump(mode="json", exclude_unset=True)
        return {**body, "session_id": self.session.session_id}

    async def _record_streamed(self, lines: Iterable[str], answer: StreamedRun) -> bool:
        """Collect the answer in lines, and record it where it ends; return whether that is done."""
        is_recorded = False
        for line in lines:
            if answer.take(line):
                is_recorded = await self._record_upstream_answer(answer.result, answer.text)
        return is_recorded

    async def _record_upstream_answer(self, response: object, text: str = "") -> bool:
        """Record a Langflow's message, or else ``text`` as its answer. Return False if there is neither."""
        data = clean(find_answer(response))
        text = join_parts(data.get("text")) or clean_text(text)
        if not data and not text:
            return False
        texts = {name: data[name] for name in ("sender", "sender_name") if isinstance(data.get(name), str)}
        kept = {name: data[name] for name in EXTRAS if name in data and name != "sender"}
        members = self._build_members("Machine", "AI", text, {**texts, **kept})
        try:
            await self.exchange.record(members, _read_uuid(data.get("id")))
        except MessageIdTaken:
            await self.exchange.record(members)
        return True

    # ---- recording ----

    async def _record_question(self) -> Message:
        members = self._build_members("User", "User", self.request.input_value or "")
        return await self.exchange.record(members)

    async def _record_answer(self, text: str, message_id: UUID | None = None) -> Message:
        return await self.exchange.record(self._build_members("Machine", "AI", text), message_id)

    def _build_members(
        self, sender: str, sender_name: str, text: str, more: Mapping[str, Any] = MappingProxyType({})
    ) -> dict[str, Any]:
        """Return the members of a message of this run; ``more`` overrides the usual ones."""
        said = {"sender": sender, "sender_name": sender_name, "text": text}
        always = {"category": "message", "context_id": ""}
        of_run = {"run_id": self.run_id, "session_metadata": {"graph_run_id": self.run_id}}
        return from_langflow_message({**said, **always, **of_run, **more})


def _read_uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
