"""/v1/threads: conversations of several users under a UUID, with state documents."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query
from starlette.responses import Response
from uuid_utils.compat import uuid7

from recountdb.api.http.context import Read, ThreadId, Write
from recountdb.api.http.query_parameters import ListQuery, StateQuery
from recountdb.api.http.routes import native_router
from recountdb.api.http.routes.conversations import (
    add_lifecycle_routes,
    add_message_routes,
    add_metadata_route,
    execute_to_response,
    find_to_response,
    to_response,
)
from recountdb.api.http.routes.timetravel import add_difference_route
from recountdb.api.schemas.requests import NewMessages, NewState, NewThread
from recountdb.api.schemas.responses import (
    Json,
    PageResource,
    StateResource,
    ThreadResource,
    aggregate_resource,
    page_resource,
)
from recountdb.domain.commands.common import SetState, Start
from recountdb.domain.threads import Thread
from recountdb.domain.values import Text
from recountdb.projections.views.states import get_state
from recountdb.projections.views.threads import get_thread, list_threads

router = native_router("threads")

Key = Annotated[Text | None, Query(min_length=1, max_length=512, description="its own slot when left out")]


async def _thread_name(thread_id: ThreadId) -> str:
    return str(thread_id)


ThreadName = Annotated[str, Depends(_thread_name)]

add_message_routes(router, "thread", _thread_name, NewMessages)


@router.post("/threads", response_model=ThreadResource, status_code=201)
async def start_thread(body: NewThread, writing: Write) -> Response:
    """Start a thread. Not needed before adding messages, which starts one by itself."""
    return await execute_to_response(
        writing,
        Start(
            kind=Thread.KIND,
            name=str(body.thread_id or uuid7()),
            metadata=body.metadata,
            expected_version=writing.expected_version,
        ),
        201,
    )


@router.get("/threads", response_model=PageResource[ThreadResource], name="list threads")
async def list_(reading: Read, query: Annotated[ListQuery, Query()]) -> Response:
    """Threads in the order they began."""
    page = await reading.find(list_threads, query.window, query.criteria)
    return Json(page_resource(page, aggregate_resource))


@router.get("/threads/{thread_id}", response_model=ThreadResource, name="get thread")
async def get(name: ThreadName, reading: Read, query: Annotated[StateQuery, Query()]) -> Response:
    """The thread now, or as it was then with ``as_of``."""
    return await find_to_response(reading, Thread.KIND, name, query, get_thread)


@router.put("/threads/{thread_id}/state", response_model=StateResource, name="set thread state")
async def set_state(name: ThreadName, body: NewState, writing: Write, key: Key = None) -> Response:
    """Replace the state document under ``key``. Starts the thread if there is none."""
    expected = writing.expected_version
    command = SetState(kind=Thread.KIND, name=name, key=key, state=body.state, expected_version=expected)
    outcome = await writing.execute(command)
    return to_response(outcome.state, {"state": body.state})


@router.get("/threads/{thread_id}/state", response_model=StateResource, name="get thread state")
async def get_state_(name: ThreadName, reading: Read, key: Key = None) -> Response:
    """The state document under ``key``; null where none was set."""
    return Json({"state": await reading.find(get_state, "thread", name, key)})


add_metadata_route(router, "thread", _thread_name, ThreadResource)
add_lifecycle_routes(router, "thread", _thread_name, ThreadResource)
add_difference_route(router, "thread", _thread_name)
