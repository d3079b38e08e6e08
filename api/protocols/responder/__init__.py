"""Responders: an OpenAI-compatible chat endpoint, or the very server that a protocol stands in for.

Recount keeps conversations and has no model. A protocol whose clients want an answer, not just a store,
asks one of these responders; the settings determine which.

- ``chat``, ``chat_answers``: a chat endpoint, and the text in its answers
- ``upstream``: the server that a protocol stands in for
- ``exchange``: the recording of a question and its answer
- ``event_stream``: readers of event streams
"""
