"""Flowise's chat messages, filters, ratings, export and predictions, without a server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic_core import to_json

from recountdb.api.protocols.base import BodyInvalid, validate_body
from recountdb.api.protocols.langflux.errors import FlowiseRefusal
from recountdb.api.protocols.langflux.filters import (
    ExpressQuery,
    Selection,
    check_chatflow_id,
    decode_chatflow,
    expand_values,
    parse_time,
)
from recountdb.api.protocols.langflux.rules import adopt_ids, choose_rated, resolve_ids
from recountdb.api.protocols.langflux.shapes.export import count_messages, group_conversations
from recountdb.api.protocols.langflux.shapes.feedback import FeedbackToGive, to_feedback
from recountdb.api.protocols.langflux.shapes.messages import (
    ChatMessageToAdd,
    find_feedback,
    format_flowise_time,
    from_flowise_message,
    to_flowise_message,
)
from recountdb.api.protocols.langflux.shapes.predictions import (
    StreamedPrediction,
    encode_prediction_event,
    read_answer_text,
    read_history,
)
from recountdb.projections.views.messages import FoundMessage
from tests.unit.api.protocols.samples import FLOW, MESSAGE, NOON, found_message, sent_request

MEMBERS = [
    *("id", "role", "chatflowid", "executionId", "content"),
    *("sourceDocuments", "usedTools", "fileAnnotations", "agentReasoning", "reasonContent", "fileUploads"),
    *("artifacts", "action"),
    *("chatType", "chatId", "memoryType", "sessionId", "createdDate", "leadEmail", "followUpPrompts"),
    "execution",
]


def found(conversation: str = "s", **own: Any) -> FoundMessage:
    """Return a message with these members of Flowise's."""
    return found_message(conversation=conversation, metadata={"langflux": own})


def answer(rating: str | None = None, *, minute: int = 0, conversation: str = "s") -> FoundMessage:
    """Return an answer, with a rating if one is given."""
    own = {} if rating is None else {"feedback": {"rating": rating, "content": "nice"}}
    return found_message(
        conversation=conversation,
        id=uuid4(),
        role="assistant",
        timestamp=NOON + timedelta(minutes=minute),
        metadata={"langflux": own},
    )


class TestMessages:
    def test_all_members_are_there_in_order(self) -> None:
        message = found(
            usedTools=[{"tool": "t"}],
            followUpPrompts=["a", "é"],
            leadEmail="a@b.c",
            chatType="INTERNAL",
        )
        shown = to_flowise_message(message)
        assert list(shown) == MEMBERS
        assert shown == {
            **dict.fromkeys(MEMBERS),
            "id": str(MESSAGE),
            "role": "userMessage",
            "chatflowid": FLOW,
            "content": "hello",
            "usedTools": [{"tool": "t"}],
            "chatType": "INTERNAL",
            "chatId": "s",
            "sessionId": "s",
            "createdDate": "2026-11-20T12:00:00.000Z",
            "leadEmail": "a@b.c",
            "followUpPrompts": '["a","é"]',
        }

    def test_each_column_is_decoded_by_itself(self) -> None:
        shown = to_flowise_message(found(sourceDocuments="{broken", usedTools='[{"tool": "t"}]'))
        assert (shown["sourceDocuments"], shown["usedTools"]) == ("{broken", [{"tool": "t"}])

    def test_columns_may_be_texts(self) -> None:
        shown = to_flowise_message(found(usedTools=[{"tool": "t"}], artifacts="[]"), as_strings=True)
        assert (shown["usedTools"], shown["artifacts"], shown["action"]) == ('[{"tool":"t"}]', "[]", None)

    def test_a_message_of_another_protocol(self) -> None:
        shown = to_flowise_message(found_message(role="assistant"))
        assert (shown["role"], shown["chatType"]) == ("apiMessage", "EXTERNAL")
        assert shown["chatId"] == shown["sessionId"] == "s"

    def test_a_session_id_may_be_null_or_empty(self) -> None:
        for session_id in (None, ""):
            members = from_flowise_message(
                {"role": "apiMessage", "chatId": "c", "sessionId": session_id}, None
            )
            assert (members["role"], members["content"]) == ("assistant", "")
            shown = to_flowise_message(found_message(conversation="c", metadata=members["metadata"]))
            assert (shown["chatId"], shown["sessionId"]) == ("c", session_id)

    def test_feedback_is_included_when_it_is_asked_for(self) -> None:
        rated = answer("THUMBS_UP")
        assert "feedback" not in to_flowise_message(rated)
        feedback = to_flowise_message(rated, has_feedback=True)["feedback"]
        assert (feedback["rating"], feedback["id"]) == ("THUMBS_UP", None)
        assert find_feedback(answer().message) is None

    def test_a_feedback_that_is_given(self) -> None:
        body = FeedbackToGive(rating="THUMBS_UP", content="nice")
        assert to_feedback(found(chatId="c"), body, NOON) == {
            "id": str(MESSAGE),
            "chatflowid": FLOW,
            "chatId": "c",
            "messageId": str(MESSAGE),
            "rating": "THUMBS_UP",
            "content": "nice",
            "createdDate": "2026-11-20T12:00:00.000Z",
        }

    def test_times_have_milliseconds(self) -> None:
        time = datetime.fromisoformat("2026-11-20T14:00:00.0129+02:00")
        assert format_flowise_time(time) == "2026-11-20T12:00:00.012Z"

    @pytest.mark.parametrize("document", [{"content": 7}, {"id": "x"}, {"chatId": 1}, {"usedTools": "\x00"}])
    def test_a_message_that_cannot_be_taken(self, document: Any) -> None:
        with pytest.raises(BodyInvalid):
            validate_body(document, ChatMessageToAdd)


class TestFilters:
    def select(self, query: str, **options: Any) -> Selection:
        return ExpressQuery(sent_request(query)).select(FLOW, **{"has_feedback": False, **options})

    @pytest.mark.parametrize(
        ("date", "time"),
        [
            ("2026", datetime(2026, 1, 1, tzinfo=UTC)),
            ("2026-11", datetime(2026, 11, 1, tzinfo=UTC)),
            ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
            ("2026-11-20T12:00:00.000Z", NOON),
            ("2026/11/21", datetime(2026, 11, 21, tzinfo=UTC)),
            ("11/21/2026", datetime(2026, 11, 21, tzinfo=UTC)),
            ("Nov 20, 2026", datetime(2026, 11, 20, tzinfo=UTC)),
            ("Fri Nov 20 2026", datetime(2026, 11, 20, tzinfo=UTC)),
            ("Fri Nov 20 2026 13:00:00 GMT+0100 (Central European Standard Time)", NOON),
            ("Fri, 20 Nov 2026 12:00:00", NOON),
            ("Fri, 20 Nov 2026 12:00:00 GMT", NOON),
        ],
    )
    def test_dates_as_javascript_writes_and_reads_them(self, date: str, time: datetime) -> None:
        assert parse_time("startDate", date) == time

    @pytest.mark.parametrize("date", ["garbage", "tomorrow", "2026-13-13"])
    def test_what_is_no_date(self, date: str) -> None:
        with pytest.raises(FlowiseRefusal, match="startDate"):
            parse_time("startDate", date)

    @pytest.mark.parametrize(
        "query",
        [
            "chatType=MCP&chatType=INTERNAL",
            "chatType[]=MCP&chatType[]=INTERNAL",
            "chatType[0]=MCP&chatType[1]=INTERNAL",
            'chatType=["MCP","INTERNAL"]',
            "chatType=MCP&chatType=&chatType=INTERNAL",
        ],
    )
    def test_a_parameter_may_be_repeated_in_many_ways(self, query: str) -> None:
        label = self.select(query).said.label
        assert label is not None
        assert (label.path, label.values) == (("langflux", "chatType"), ["MCP", "INTERNAL"])
        assert expand_values(["7", "[broken"]) == ["7", "[broken"]

    def test_a_filter_by_each_member(self) -> None:
        said = self.select(f"sessionId=s&chatId=c&memoryType=M&messageId={MESSAGE}").said
        assert (said.scope, said.session, said.message_id) == (FLOW, "s", MESSAGE)
        assert said.metadata == {"langflux": {"chatId": "c", "memoryType": "M"}}
        assert said.without == {"langflux": {"sessionId": None}}

    def test_an_empty_value_matches_the_empty_text_but_with_feedback(self) -> None:
        said = self.select("sessionId=&memoryType=").said
        assert (said.session, said.metadata) == (None, {"langflux": {"memoryType": "", "sessionId": ""}})
        assert self.select("sessionId=&memoryType=", has_feedback=True).said.metadata is None
        strict = self.select("memoryType=", has_feedback=True, is_strict=True)
        assert strict.said.metadata == {"langflux": {"memoryType": ""}}

    def test_an_invalid_message_id_is_of_no_message(self) -> None:
        said = self.select("messageId=x").said
        assert said.scope != FLOW
        assert said.message_id is None

    def test_dates_are_inclusive(self) -> None:
        said = self.select("startDate=2026-11-20T12:00:00Z&endDate=2026-11-20T12:00:00Z").said
        assert (said.since, said.until) == (NOON, NOON + timedelta(milliseconds=1))

    def test_ratings_and_pages_count_with_feedback_only(self) -> None:
        query = "feedbackType=THUMBS_UP&page=2&limit=5x"
        assert self.select(query) == Selection(self.select("").said)
        selection = self.select(query, has_feedback=True)
        assert (selection.ratings, selection.page, selection.limit) == (["THUMBS_UP"], 2, 5)
        assert selection.is_paged
        assert not self.select(f"{query}&sessionId=s", has_feedback=True).is_paged
        with pytest.raises(FlowiseRefusal, match="page cannot be negative"):
            self.select("page=-1")

    @pytest.mark.parametrize(
        ("query", "is_descending"),
        [("order=DESC", True), ("order=desc", False), ("sort=DESC", True), ("sort=DESC&order=ASC", False)],
    )
    def test_the_order_is_descending_only_if_it_says_so_exactly(
        self, query: str, is_descending: bool
    ) -> None:
        assert ExpressQuery(sent_request(query)).is_descending is is_descending

    @pytest.mark.parametrize("query", ["chatid=c", "sessionId=a&sessionId=b", "chatId=a&chatId[]=b"])
    def test_a_deletion_that_is_unclear_is_refused(self, query: str) -> None:
        with pytest.raises(FlowiseRefusal, match="nothing was deleted"):
            ExpressQuery(sent_request(query)).refuse_unclear()

    def test_a_deletion_that_is_clear(self) -> None:
        ExpressQuery(sent_request("chatId=c&chatType=MCP&chatType=INTERNAL&hardDelete=true")).refuse_unclear()

    def test_chatflows(self) -> None:
        assert check_chatflow_id(FLOW.upper()) == decode_chatflow(FLOW.upper()) == FLOW
        assert decode_chatflow("mine") == "mine"
        with pytest.raises(FlowiseRefusal):
            check_chatflow_id("mine")


class TestRatings:
    def test_rated_answers_come_with_the_message_before(self) -> None:
        question, other = found(), found_message(conversation="t")
        first, second = answer("THUMBS_UP", minute=1), answer("THUMBS_DOWN", minute=2)
        messages = [question, other, first, second]
        assert choose_rated(messages, ["THUMBS_UP"], with_one_before=True) == [question, first]
        assert choose_rated(messages, ["THUMBS_UP"], with_one_before=False) == [first]
        assert choose_rated(messages, ["THUMBS_UP", "THUMBS_DOWN"], with_one_before=True) == [
            question,
            first,
            second,
        ]

    def test_figures(self) -> None:
        messages = [answer("THUMBS_UP"), answer("THUMBS_DOWN"), found("t"), found("c", sessionId=None)]
        assert count_messages(messages) == {
            "totalMessages": 4,
            "totalSessions": 2,
            "totalFeedback": 2,
            "positiveFeedback": 1,
        }


class TestExport:
    def test_conversations_come_newest_first(self) -> None:
        uploads = [{"type": "stored-file", "name": "x.png"}, {"type": "url", "name": "y.png"}]
        internal: dict[str, Any] = {
            "chatType": "INTERNAL",
            "fileUploads": uploads,
            "sourceDocuments": "{broken",
        }
        messages = [found(leadEmail="a@b.c", **internal), answer("THUMBS_UP"), found("t", memoryType="M")]
        newest, oldest = group_conversations(messages)
        assert (newest["id"], newest["source"], newest["memoryType"]) == ("t", "API/Embed", "M")
        assert oldest == {
            "id": "s",
            "source": "UI",
            "sessionId": "s",
            "memoryType": None,
            "email": "a@b.c",
            "messages": [
                {
                    "content": "hello",
                    "role": "user",
                    "time": "2026-11-20T12:00:00.000Z",
                    "filePaths": ["x.png"],
                    "sourceDocuments": "{broken",
                },
                {
                    "content": "hello",
                    "role": "bot",
                    "time": "2026-11-20T12:00:00.000Z",
                    "feedback": "nice",
                },
            ],
        }


class TestIds:
    @pytest.mark.parametrize(
        ("body", "chat_id", "session_id"),
        [
            ({}, "new", "new"),
            ({"overrideConfig": {"sessionId": "S"}}, "S", "S"),
            ({"chatId": "C"}, "C", "C"),
            ({"chatId": "C", "overrideConfig": {"sessionId": "S"}}, "C", "S"),
            ({"sessionId": "T"}, "new", "new"),
            ({"chatId": "", "overrideConfig": {"sessionId": "S"}}, "", "S"),
            ({"chatId": "C", "overrideConfig": {"sessionId": ""}}, "C", "C"),
            ({"chatId": ""}, "", "new"),
        ],
    )
    def test_chat_and_session(self, body: dict[str, Any], chat_id: str, session_id: str) -> None:
        assert resolve_ids(body, fresh="new")[:2] == (chat_id, session_id)

    def test_from_the_canvas_the_session_is_the_chat(self) -> None:
        body = {"chatId": "C", "overrideConfig": {"sessionId": "S"}}
        assert resolve_ids(body, is_internal=True, fresh="new")[:2] == ("C", "C")
        assert resolve_ids({}, is_internal=True, fresh="new")[:2] == ("new", "new")
        del body["chatId"]
        assert resolve_ids(body, is_internal=True, fresh="new")[:2] == ("S", "S")

    def test_an_id_that_is_no_text_is_refused(self) -> None:
        with pytest.raises(FlowiseRefusal):
            resolve_ids({"chatId": 7})

    def test_a_flowise_chooses_the_ids_that_are_left_open(self) -> None:
        chosen = {"chatId": "C", "sessionId": "S"}
        given, open_ = resolve_ids({"chatId": "mine"}), resolve_ids({}, fresh="new")
        assert adopt_ids(given, chosen) == given
        assert adopt_ids(open_, chosen) == ("C", "S", True)
        assert adopt_ids(open_, {"chatId": "C", "sessionId": None}) == ("C", "C", True)
        assert adopt_ids(open_, {}) == ("new", "new", True)


class TestPredictions:
    def test_the_history_of_a_request(self) -> None:
        history = [
            {"type": "userMessage", "message": "a"},
            {"role": "user", "content": "b"},
            {"type": "apiMessage", "message": "c"},
            *("x", {"message": 7}, {}),
        ]
        turns = [("user", "a"), ("user", "b"), ("assistant", "c")]
        assert read_history({"history": history}) == turns
        assert read_history({"history": 7}) == read_history({}) == []

    @pytest.mark.parametrize(
        ("members", "text"),
        [({"text": "Hi"}, "Hi"), ({"json": {"a": 1}}, '{"a":1}'), ({"json": "Hi"}, "Hi"), ({}, "")],
    )
    def test_the_text_of_an_answer(self, members: dict[str, Any], text: str) -> None:
        assert read_answer_text(members) == text

    def test_odd_events_do_not_cost_the_answer(self) -> None:
        prediction = StreamedPrediction()
        odd: list[Any] = [None, 7, {"event": 7}, {"event": "nextAgentFlow", "data": 1}, {"data": []}]
        metadata = {"event": "metadata", "data": {"chatId": "C", "text": "other"}}
        tools = {"event": "usedTools", "data": [1]}
        for event in [
            *odd,
            {"event": "token", "data": "a"},
            metadata,
            tools,
            {"event": "token", "data": "b"},
        ]:
            prediction.take(json.dumps(event))
        prediction.take("[DONE]")
        assert prediction.members == {"text": "ab", "chatId": "C", "usedTools": [1]}
        assert prediction.is_answer

    def test_a_stream_without_text_or_with_a_failure(self) -> None:
        prediction = StreamedPrediction()
        events = [
            "",
            '{"event": "metadata", "data": {"chatMessageId": "1"}}',
            '{"event": "error", "data": "x"}',
        ]
        answers = []
        for event in events:
            prediction.take(event)
            answers.append(prediction.is_answer)
        assert answers == [False, True, False]

    def test_an_event(self) -> None:
        record = to_json({"event": "token", "data": "é"})
        assert encode_prediction_event("token", "é") == b"message:\ndata:" + record + b"\n\n"
