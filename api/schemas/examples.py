"""Examples of the OpenAPI document that several shapes share."""

from __future__ import annotations

from typing import Any

METADATA_EXAMPLE: Any = {"channel": "web", "plan": {"tier": "pro"}}
MESSAGE_EXAMPLE: Any = {"role": "user", "content": "One chai latte, please."}
MOMENT_EXAMPLE = "2026-11-20T19:50:25.368956Z"
ID_EXAMPLE = "01a1fa82-995b-71d2-8226-548dfde85271"
WEBHOOK_EXAMPLE = "wh_5b1f0c9a7e3d2846"
