"""A run of a flow in Langflow's shapes: its request, its response, and the events of its stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from email import policy
from email.parser import BytesParser
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import to_json

from recountdb.api.protocols.langflow.shapes.messages import to_single_message
from recountdb.api.protocols.responder.chat_answers import join_parts
from recountdb.api.transfer.cleaning import loads
from recountdb.domain.exact_json import read_json
from recountdb.domain.values import Text
from recountdb.projections.views.messages import FoundMessage

SHOWN = ("message", "text")
"""The names of outputs that hold text: those of Chat Output, and of Text Output."""

OUTPUT_ID = "ChatOutput-recount"


# ---- request --------------------------------------------------------------------------------------


class RunRequest(BaseModel):
    """The body of a run. An invalid body is dropped as a whole, as Langflow does."""

    model_config = ConfigDict(extra="allow")

    input_value: Text | None = None
    input_type: str | None = Field("chat", pattern="^(chat|text|any)$")
    output_type: str | None = Field("chat", pattern="^(chat|text|any|debug)$")
    output_component: str | None = None
    tweaks: dict[str, JsonValue] | None = None
    session_id: Text | None = None
    user_id: str | None = None


def read_form(raw: bytes, content_type: str) -> dict[str, Any]:
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


# ---- response -------------------------------------------------------------------------------------


def to_shown_message(found: FoundMessage) -> dict[str, Any]:
    """Return a message as responses of runs show it: an object that repeats its members in ``data``."""
    data = to_single_message(found) | {"duration": None}
    return {"text_key": "text", "data": data, "default_value": "", **data}


def to_run_response(
    request: RunRequest, session_id: str, answer: FoundMessage, seconds: float
) -> dict[str, Any]:
    """Return the response of a run. ``seconds``: how long the answer took."""
    inputs = {} if request.input_value is None else {"input_value": request.input_value}
    outputs = [_to_output(to_shown_message(answer), seconds)]
    return {"session_id": session_id, "outputs": [{"inputs": inputs, "outputs": outputs}]}


def _to_output(shown: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the output of a Chat Output component that shows this message."""
    data = shown["data"]
    text = data["text"]
    files = data["files"]
    said = {"message": text, "sender": data["sender"], "sender_name": data["sender_name"]}
    place = {"session_id": data["session_id"], "stream_url": None, "component_id": OUTPUT_ID}
    return {
        "results": {"message": shown},
        "artifacts": {**said, "files": files, "type": "object"},
        "outputs": {"message": {"message": text, "type": "text"}},
        "logs": {"message": []},
        "messages": [{**said, **place, "files": files, "type": "text"}] if text else [],
        "timedelta": None,
        "duration": f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} seconds",
        "component_display_name": "Chat Output",
        "component_id": OUTPUT_ID,
        "used_frozen_result": False,
        "token_usage": None,
    }


def find_answer(response: object) -> dict[str, Any]:
    """Return the last message in a Langflow's response of a run; empty if it has none."""
    for output in reversed(_find_outputs(response)):
        results = _find_member(output, "results")
        shown = _find_member(output, "outputs")
        candidates = [_find_member(members, name) for members in (results, shown) for name in SHOWN]
        for candidate in candidates:
            if isinstance(data := _find_member(candidate, "data", candidate), dict):
                return data if "text" in data else {"text": data.get("message")}
            if isinstance(candidate, str):
                return {"text": candidate}
    return {}


def _find_outputs(response: object) -> list[Any]:
    """Return the outputs of all components in the response of a run, in order."""
    groups = _find_member(response, "outputs")
    inner = [_find_member(group, "outputs") for group in groups] if isinstance(groups, list) else []
    return [output for outputs in inner if isinstance(outputs, list) for output in outputs]


def _find_member(value: object, name: str, default: object = None) -> Any:
    """Return a member of an object; the default if ``value`` is not an object or lacks the member."""
    return value.get(name, default) if isinstance(value, dict) else default


# ---- stream ---------------------------------------------------------------------------------------


def encode_run_event(name: str, data: object) -> bytes:
    """Return a record of Langflow's event streams: JSON and a blank line, without the field names of SSE."""
    return to_json({"event": name, "data": data}) + b"\n\n"


@dataclass
class StreamedRun:
    """The answer of a Langflow, collected from the lines of its stream.

    ``result``: the response of the whole run, once the stream has ended with one.
    """

    tokens: list[str] = field(default_factory=list)
    message: str = ""
    result: object = None
    has_failed: bool = False

    @property
    def text(self) -> str:
        return "".join(self.tokens) or self.message

    def take(self, line: str) -> bool:
        """Collect the part of the answer in a line; return whether it is the end of the run."""
        name, data = _read_event(line)
        if name == "token":
            self.tokens += [data["chunk"]] if isinstance(data.get("chunk"), str) else []
        elif name == "add_message" and data.get("sender") == "Machine":
            self.message = join_parts(data.get("text"))
        elif name == "end":
            self.result = data.get("result", data)
        elif name == "error":
            self.has_failed = True
        return name == "end"


def _read_event(line: str) -> tuple[str | None, dict[str, Any]]:
    """Return the event in a line, which is bare JSON or SSE data; (None, {}) if there is none."""
    try:
        document = loads(line.removeprefix("data:"))
    except ValueError:
        return None, {}
    if not isinstance(document, dict) or not isinstance(document.get("event"), str):
        return None, {}
    data = document.get("data")
    return document["event"], data if isinstance(data, dict) else {}
