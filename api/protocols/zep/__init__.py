"""The REST API of Zep Open Source v0.x (``/api/v1``), as zep-python 1.5 and zep-js 0.10 call it.

Sessions are ours of the empty scope; Zep's ``uuid`` is our stream or message id, its ``id`` our number.
Left out are its document collections, its summaries, and its admin pages (see docs/protocols/zep.md).
"""

from recountdb.api.protocols.zep.routes import router

__all__ = ["router"]
