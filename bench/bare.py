"""Routes that do nothing, at the paths of Recount's two measured ones: the lower bound of their cost.

The framework, the server, the body model and the size of the answer are the same.
"""

from __future__ import annotations

import os

from fastapi import FastAPI
from starlette.responses import Response

from recountdb.api.schemas.requests import NewMessages
from recountdb.api.schemas.responses import Json

ANSWER_BYTES = "BENCH_ANSWER_BYTES"


def from_environment() -> FastAPI:
    answer = b'{"items":"%b"}' % (b"-" * int(os.environ[ANSWER_BYTES]))
    app = FastAPI()

    @app.post("/v1/sessions/{session_id}/messages")
    async def take(body: NewMessages) -> Response:
        return Json({"messages": len(body.messages)})

    @app.get("/v1/sessions/{session_id}/messages")
    async def give() -> Response:
        return Response(answer, media_type="application/json")

    return app
