"""A question and its answer: a model's, or a Flowise's that is relayed. Either way both are recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from recountdb.api.protocols.base import RequestContext
from recountdb.api.protocols.langflux.filters import read_uuid
from recountdb.api.protocols.langflux.rules import Ids, adopt_ids
from recountdb.api.protocols.langflux.shapes.messages import KEY, from_flowise_message
from recountdb.api.protocols.langflux.shapes.predictions import (
    ANSWERED,
    StreamedPrediction,
    encode_prediction_event,
    read_answer_text,
    read_history,
)
from recountdb.api.protocols.responder.chat import Chat, Turn
from recountdb.api.protocols.responder.event_stream import EventReader
from recountdb.api.protocols.responder.exchange import Exchange, build_turns
from recountdb.api.protocols.responder.upstream import Relayed, Route, Upstream
from recountdb.api.transfer.cleaning import clean
from recountdb.domain.commands.conversations import ChangeMessage
from recountdb.domain.errors import MessageIdTaken, NotFound, RecountError
from recountdb.domain.messages import Message
from recountdb.domain.sessions import Session

MEMORY = ""
"""The label of the memory node; Recount has none."""


@dataclass(frozen=True)
class Prediction:
    """A question in a chat, which arrived at the time ``at``."""

    context: RequestContext
    scope: str
    body: Mapping[str, Any]
    ids: Ids
    is_internal: bool
    at: datetime

    @property
    def question(self) -> str:
        question = self.body.get("question")
        return question if isinstance(question, str) else ""

    @property
    def is_streaming(self) -> bool:
        return self.body.get("streaming") in (True, "true")

    # ---- a model answers ----

    async def answer(self, chat: Chat) -> dict[str, Any]:
        """Return the response to a question that a model answers. Raises ResponderFailed."""
        text = await chat.answer(await self._ask_model())
        message = await self._exchange.record(self._build_answer({"text": text}))
        return {"text": text, **self._describe(message), "isStreamValid": False}

    async def answer_by_parts(self, chat: Chat) -> AsyncIterator[bytes]:
        """Yield the events of an answer that comes in parts; record the answer when it is complete."""
        parts = chat.answer_by_parts(await self._ask_model())
        texts = [await anext(parts, "")]
        yield encode_prediction_event("start", "")
        try:
            if texts[0]:
                yield encode_prediction_event("token", texts[0])
            async for part in parts:
                texts.append(part)
                yield encode_prediction_event("token", part)
            message = await self._exchange.record(self._build_answer({"text": "".join(texts)}))
        except RecountError as error:
            yield encode_prediction_event("error", str(error))
            return
        yield encode_prediction_event("metadata", self._describe(message))
        yield encode_prediction_event("end", "[DONE]")

    async def _ask_model(self) -> list[Turn]:
        """Record the question; return the turns to send to a model."""
        turns = build_turns(await self._exchange.history(), self.question)
        await self._record_question()
        return [*read_history(self.body), *turns]

    def _describe(self, answer: Message) -> dict[str, Any]:
        """Return the ids of a question and its answer."""
        return {
            "question": self.question,
            "chatId": self.ids.chat_id,
            "chatMessageId": str(answer.id),
            "sessionId": self.ids.session_id,
            "memoryType": MEMORY,
        }

    # ---- a Flowise answers ----

    async def relay(self, upstream: Upstream, route: Route) -> Relayed:
        """Return a Flowise's response after recording its answer. Raises ResponderFailed."""
        question = await self._record_question() if self.ids.is_given else None
        try:
            relayed = await upstream.forward(route, dict(self.body))
        except RecountError:
            if question is None:
                await self._record_question()
            raise
        answer = relayed.body if isinstance(relayed.body, dict) else {}
        settled = await self._settle(question, answer)
        if relayed.status == 200:
            await settled._record_upstream_answer(answer)
        return relayed

    async def relay_by_parts(self, upstream: Upstream, route: Route) -> AsyncIterator[bytes]:
        """Yield Flowise's events as they come; record the answer when they end."""
        question = await self._record_question() if self.ids.is_given else None
        events, answer, has_begun = EventReader(), StreamedPrediction(), False
        failure: RecountError | None = None
        try:
            async for part in upstream.forward_by_parts(route, dict(self.body)):
                for event in events.feed(part):
                    answer.take(event.data)
                has_begun = True
                yield part
        except RecountError as error:
            failure = error
        for event in events.end():
            answer.take(event.data)
        settled = await self._settle(question, answer.members)
        if failure is None and answer.is_answer:
            await settled._record_upstream_answer(answer.members)
        if failure is not None:
            if not has_begun:
                raise failure
            yield encode_prediction_event("error", str(failure))

    async def _settle(self, question: Message | None, answer: Mapping[str, Any]) -> Prediction:
        """Return this prediction with the ids that ``answer`` adopts, and adapt the recorded question to it.

        ``question``: its message; None if it is not recorded yet, in which case it is recorded now.
        """
        settled, memory = replace(self, ids=adopt_ids(self.ids, answer)), answer.get("memoryType")
        memory = memory if isinstance(memory, str) else MEMORY
        if question is None:
            await settled._record_question(memory)
        elif memory != MEMORY:
            await settled._label(question, memory)
        return settled

    async def _label(self, question: Message, memory: str) -> None:
        """Set the memory label of the question to its answer's, so that both are listed together."""
        with suppress(NotFound):  # deleted meanwhile
            await self.context.execute(
                ChangeMessage(
                    kind=Session.KIND,
                    name=self.ids.session_id,
                    scope=self.scope,
                    message_id=question.id,
                    metadata={KEY: {"memoryType": memory}},
                )
            )

    async def _record_upstream_answer(self, answer: Mapping[str, Any]) -> None:
        """Record a Flowise's answer, under the Flowise's message id if that is free."""
        members = self._build_answer(clean(answer))
        try:
            await self._exchange.record(members, read_uuid(str(answer.get("chatMessageId"))))
        except MessageIdTaken:
            await self._exchange.record(members)

    # ---- recording ----

    @property
    def _exchange(self) -> Exchange:
        return Exchange(self.context, self.scope, self.ids.session_id)

    async def _record_question(self, memory: str = MEMORY) -> Message:
        """Record the question, timestamped with its arrival."""
        more = {"fileUploads": self.body.get("uploads"), "leadEmail": self.body.get("leadEmail")}
        members = self._build_members("userMessage", self.question, self.at, {**more, "memoryType": memory})
        return await self._exchange.record(members)

    def _build_answer(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members of the message for an answer."""
        more = {name: answer[name] for name in ANSWERED if answer.get(name) is not None}
        return self._build_members("apiMessage", read_answer_text(answer), self.context.store.now(), more)

    def _build_members(
        self, role: str, content: str, at: datetime, more: Mapping[str, Any]
    ) -> dict[str, Any]:
        message = {
            "role": role,
            "content": content,
            "chatId": self.ids.chat_id,
            "sessionId": self.ids.session_id,
            "chatType": "INTERNAL" if self.is_internal else "EXTERNAL",
            "memoryType": MEMORY,
        }
        return from_flowise_message({**message, **more}, at)
