"""Members of Langflow's messages, as its own answers have them."""

from __future__ import annotations

from typing import Any

COMMON = "sender sender_name session_id context_id text files"
OTHERS = "properties category content_blocks session_metadata"
LIST_ITEM = f"id flow_id timestamp {COMMON} edit duration {OTHERS}".split()
SINGLE = f"timestamp {COMMON} error edit {OTHERS} id flow_id run_id".split()
PROPERTIES: dict[str, Any] = {
    "text_color": None,
    "background_color": None,
    "edited": False,
    "source": {"id": None, "display_name": None, "source": None},
    "icon": None,
    "allow_markdown": False,
    "positive_feedback": None,
    "state": "complete",
    "targets": [],
    "usage": None,
    "build_duration": None,
}
