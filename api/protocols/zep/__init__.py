"""The REST API of Zep Open Source v0.x (``/api/v1``), as zep-python 1.5 and zep-js 0.10 call it.

Zep's sessions are Recount's sessions of the empty scope; Zep's ``uuid`` is the stream or message id, its
``id`` the number. Document collections, the making of summaries, and the admin pages are left out (see
docs/protocols/zep.md).
"""
