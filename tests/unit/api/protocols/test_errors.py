"""Errors in the shape of each protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from recountdb.api.http.problems import Forbidden, Unauthorized
from recountdb.api.protocols.base import BodyInvalid, choose_status
from recountdb.api.protocols.langflow.errors import LangflowRefusal, answer_langflow_error
from recountdb.api.protocols.langflux.errors import FlowiseRefusal, answer_flowise_error
from recountdb.api.protocols.langmem.errors import answer_langmem_error
from recountdb.api.protocols.motorhead.errors import answer_motorhead_error
from recountdb.api.protocols.responder.errors import NoResponder, ResponderFailed
from recountdb.api.protocols.zep.errors import answer_zep_error
from recountdb.domain.errors import InvalidInput, MessageIdTaken, NotFound, OnHold
from tests.unit.api.protocols.samples import sent_request

Answer = Callable[[Request, Exception], Response]
EVERY: list[Answer] = [
    answer_zep_error,
    answer_langmem_error,
    answer_motorhead_error,
    answer_langflow_error,
    answer_flowise_error,
]


def shown(answer: Answer, error: Exception, request: Request | None = None) -> tuple[int, Any]:
    """Return the status and the body of an error's response."""
    response = answer(request or sent_request(), error)
    body = bytes(response.body).decode()
    return response.status_code, body if answer is answer_zep_error else json.loads(body)


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (answer_zep_error, 400, "bad request: a.b: is wrong\n"),
        (answer_langmem_error, 422, {"detail": "a.b: is wrong"}),
        (answer_motorhead_error, 400, {"error": "a.b: is wrong"}),
        (
            answer_langflow_error,
            422,
            {"detail": [{"type": "value_error", "loc": ["body", "a", "b"], "msg": "is wrong"}]},
        ),
        (
            answer_flowise_error,
            400,
            {"statusCode": 400, "success": False, "message": "a.b: is wrong", "stack": {}},
        ),
    ],
)
def test_an_invalid_body(answer: Answer, status: int, body: Any) -> None:
    assert shown(answer, BodyInvalid("a.b", "is wrong")) == (status, body)


def test_langflow_reports_places_in_lists_and_broken_json() -> None:
    (invalid,) = shown(answer_langflow_error, BodyInvalid("1", "no", kind="uuid_parsing"))[1]["detail"]
    assert (invalid["loc"], invalid["type"]) == (["body", 1], "uuid_parsing")
    (broken,) = shown(answer_langflow_error, BodyInvalid("", "no JSON", is_json=False))[1]["detail"]
    assert (broken["loc"], broken["type"]) == (["body"], "json_invalid")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (answer_zep_error, 401),
        (answer_langmem_error, 401),
        (answer_motorhead_error, 401),
        (answer_langflow_error, 403),
        (answer_flowise_error, 401),
    ],
)
def test_no_key(answer: Answer, status: int) -> None:
    assert shown(answer, Unauthorized("send a key"))[0] == status


def test_zep_tells_a_wrong_key_from_none() -> None:
    wrong = sent_request(authorization="Bearer x")
    assert shown(answer_zep_error, Unauthorized(""), wrong) == (401, "token is unauthorized\n")
    cookie = sent_request(cookie="jwt=x")
    assert shown(answer_zep_error, Unauthorized(""), cookie) == (401, "token is unauthorized\n")
    assert shown(answer_zep_error, Unauthorized("")) == (401, "no token found\n")


def test_langflow_tells_a_login_token_from_a_key() -> None:
    bearer = sent_request(authorization="Bearer x")
    assert shown(answer_langflow_error, Unauthorized("unknown"), bearer) == (401, {"detail": "unknown"})


def test_flowise_has_another_shape_for_no_key() -> None:
    assert shown(answer_flowise_error, Unauthorized("")) == (401, {"error": "Unauthorized Access"})


def test_motorhead_asks_for_a_bearer_token() -> None:
    response = answer_motorhead_error(sent_request(), Unauthorized("send a key"))
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("answer", EVERY)
def test_statuses_that_are_the_same_everywhere(answer: Answer) -> None:
    assert shown(answer, Forbidden("no"))[0] == 403
    assert shown(answer, NotFound("session"))[0] == 404
    assert shown(answer, OnHold("session"))[0] == 409
    assert shown(answer, HTTPException(413, "too large"))[0] == 413


def test_refusals_of_the_servers_themselves() -> None:
    assert shown(answer_langflow_error, LangflowRefusal(404, "Message not found")) == (
        404,
        {"detail": "Message not found"},
    )
    status, body = shown(answer_flowise_error, FlowiseRefusal(412, "not provided"))
    assert (status, body["message"]) == (412, "not provided")
    assert shown(answer_zep_error, HTTPException(400, "no text")) == (400, "bad request: no text\n")


def test_an_id_that_is_taken() -> None:
    assert shown(answer_zep_error, MessageIdTaken(uuid4()))[0] == 400
    assert shown(answer_flowise_error, MessageIdTaken(uuid4()))[0] == 409


@pytest.mark.parametrize("answer", [answer_langflow_error, answer_flowise_error])
def test_a_responder_that_gives_no_answer(answer: Answer) -> None:
    assert shown(answer, ResponderFailed("late", 504))[0] == 504
    status, body = shown(answer, NoResponder("RECOUNT_X_UPSTREAM"))
    assert status == 501
    assert "RECOUNT_X_UPSTREAM" in json.dumps(body)


def test_input_that_a_command_refuses() -> None:
    assert shown(answer_langflow_error, InvalidInput("files", "are not yours"))[0] == 400
    assert shown(answer_langmem_error, InvalidInput("cursor", "is none"))[0] == 422


def test_an_error_that_nobody_expects_is_raised_again() -> None:
    with pytest.raises(ZeroDivisionError):
        choose_status(ZeroDivisionError(), invalid=400)
