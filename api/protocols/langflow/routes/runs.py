"""``POST /api/v1/run/{flow}``: a run of a flow, answered by the responder that is configured.

Recount has no flows. With RECOUNT_LANGFLOW_UPSTREAM the run is passed on to a Langflow, whose answer is
relayed; with RECOUNT_RESPONDER_URL a model is asked. Either way both messages are recorded here.
"""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

from fastapi import Query, Request
from starlette.responses import Response

from recountdb.api.http.incoming import BoundedRequest
from recountdb.api.protocols.langflow.answers import Run
from recountdb.api.protocols.langflow.errors import LangflowRefusal
from recountdb.api.protocols.langflow.parameters import Caller, decode_segment
from recountdb.api.protocols.langflow.routing import create_langflow_router
from recountdb.api.protocols.langflow.rules import choose_scope, find_component_session, resolve_session
from recountdb.api.protocols.langflow.shapes.runs import RunRequest, read_form
from recountdb.api.protocols.responder.chat import make_chat
from recountdb.api.protocols.responder.errors import NoResponder
from recountdb.api.protocols.responder.exchange import Exchange, stream_response
from recountdb.api.protocols.responder.upstream import Upstream, is_segment, make_langflow_upstream
from recountdb.api.schemas.responses import Json

router = create_langflow_router()


@router.post("/api/v1/run/{flow}")
async def run_flow(
    flow: str, context: Caller, request: Request, stream: Annotated[bool, Query()] = False
) -> Response:
    """Run a flow."""
    settings = context.store.settings
    chat, upstream = make_chat(settings), make_langflow_upstream(settings)
    if chat is None and upstream is None:
        raise NoResponder("RECOUNT_LANGFLOW_UPSTREAM")
    body = await _read_run_request(request)
    scope = choose_scope(decode_segment(flow))
    if upstream is not None and not is_segment(scope):
        raise LangflowRefusal(404, f"Flow identifier {scope} not found")
    session = resolve_session(
        scope,
        requested=body.session_id,
        component=find_component_session(body.tweaks or {}),
        order=settings.run_compat,
    )
    run = Run(Exchange(context, scope, session.session_id), body, session, str(uuid4()))
    headers: dict[str, str] = {"X-Recount-Session-Id-From": session.level}
    if upstream is not None:
        return await _relay(run, upstream, headers, stream=stream)
    assert chat is not None
    if stream:
        return await stream_response(run.answer_by_parts(chat), headers)
    return Json(await run.answer(chat), headers=headers)


async def _relay(run: Run, upstream: Upstream, headers: dict[str, str], *, stream: bool) -> Response:
    route = ("api", "v1", "run", run.exchange.scope)
    if stream:
        return await stream_response(run.relay_by_parts(upstream, route), headers)
    relayed = await run.relay(upstream, route)
    return Json(relayed.body, relayed.status, headers)


async def _read_run_request(request: Request) -> RunRequest:
    """Return the body, JSON or a form; an empty request if it cannot be read."""
    assert isinstance(request, BoundedRequest)
    content_type = request.headers.get("content-type", "")
    try:
        if content_type.lower().startswith("multipart/form-data"):
            return await request.apply_to_body(
                lambda raw: RunRequest.model_validate(read_form(raw, content_type))
            )
        return await request.read_as(RunRequest.model_validate)
    except ValueError:  # NotJson, or pydantic's ValidationError
        return RunRequest()
