"""Langflow 1.13: its message history, its runs, and routes of our own for its in-process store.

A Langflow flow is the scope of a session, the session id its name. The members of a Langflow message that
have no counterpart in Recount are kept unchanged in the message's metadata under ``langflow``.

- ``routes``: messages, their changes, runs, and the calls of the in-process store
- ``shapes``: messages, content blocks and runs in Langflow's shapes, and in Recount's
- ``rules``: the flows that a request is about, and the session that a run belongs to
- ``filters``: what a request reads, as Recount's filters, and in which order
- ``commands``: changes as Recount's commands
- ``execution``: their execution
- ``parameters``: the caller of a request, its flows, and what else stands in its address
- ``answers``: a run and its answer, by the responder that is configured
"""
