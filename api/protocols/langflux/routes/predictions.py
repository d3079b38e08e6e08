"""``POST /api/v1/prediction/{id}``: an answer in a chatflow, by the responder that is configured.

``GET /api/v1/chatflows-streaming/{id}``, which Flowise's own SDKs ask first, says whether it can be streamed.

Recount has no chatflows. With RECOUNT_LANGFLUX_UPSTREAM the question is passed on to a Flowise, whose answer
is relayed; with RECOUNT_RESPONDER_URL a model is asked. Either way both messages are recorded here.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.http.context import store
from recountdb.api.protocols.base import authenticate, read_document
from recountdb.api.protocols.langflux.answers import Prediction
from recountdb.api.protocols.langflux.errors import FlowiseRefusal
from recountdb.api.protocols.langflux.filters import check_chatflow_id
from recountdb.api.protocols.langflux.routing import create_flowise_router
from recountdb.api.protocols.langflux.rules import resolve_ids
from recountdb.api.protocols.responder.chat import make_chat
from recountdb.api.protocols.responder.errors import NoResponder
from recountdb.api.protocols.responder.exchange import stream_response
from recountdb.api.protocols.responder.upstream import Upstream, make_flowise_upstream
from recountdb.api.schemas.responses import Json
from recountdb.domain.values import check_document

router = create_flowise_router()


@router.post("/api/v1/prediction/{chatflow}")
async def predict(chatflow: str, request: Request) -> Response:
    """Answer a question."""
    return await _predict(chatflow, request)


@router.post("/api/v1/internal-prediction/{chatflow}")
async def predict_internally(chatflow: str, request: Request) -> Response:
    """Answer a question from the canvas."""
    return await _predict(chatflow, request, is_internal=True)


@router.get("/api/v1/chatflows-streaming/{chatflow}")
async def report_streaming(chatflow: str, request: Request) -> Response:
    """Answer whether a chatflow can stream; no key is required, because the SDKs send none here."""
    settings = (await store(request)).settings
    scope, upstream = check_chatflow_id(chatflow), make_flowise_upstream(settings)
    if upstream is not None:
        relayed = await upstream.look_up(("api", "v1", "chatflows-streaming", scope))
        return Json(relayed.body, relayed.status)
    return Json({"isStreaming": make_chat(settings) is not None})


async def _predict(chatflow: str, request: Request, *, is_internal: bool = False) -> Response:
    context = await authenticate(request)
    scope, settings = check_chatflow_id(chatflow), context.store.settings
    chat, upstream = make_chat(settings), make_flowise_upstream(settings)
    if chat is None and upstream is None:
        raise NoResponder("RECOUNT_LANGFLUX_UPSTREAM")
    body = await _read_question(request)
    ids = resolve_ids(body, is_internal=is_internal, fresh=str(uuid7()))
    prediction = Prediction(context, scope, body, ids, is_internal, context.store.now())
    if upstream is not None:
        return await _relay(prediction, upstream)
    assert chat is not None
    if prediction.is_streaming:
        return await stream_response(prediction.answer_by_parts(chat))
    return Json(await prediction.answer(chat))


async def _relay(prediction: Prediction, upstream: Upstream) -> Response:
    kind = "internal-prediction" if prediction.is_internal else "prediction"
    route = ("api", "v1", kind, prediction.scope)
    if prediction.is_streaming:
        return await stream_response(prediction.relay_by_parts(upstream, route))
    relayed = await prediction.relay(upstream, route)
    return Json(relayed.body, relayed.status)


async def _read_question(request: Request) -> dict[str, Any]:
    """Return the body; an empty body is an empty question. Raises a refusal."""
    if not (await request.body()).strip():
        return {}
    try:
        body = await read_document(request, check_document)
    except ValueError:
        raise FlowiseRefusal(400, "the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise FlowiseRefusal(400, "the body is not a JSON object")
    return body
