"""Langflow 1.13: ``/api/v1/monitor/messages…``, ``/api/v1/run/{flow}``, and its in-process message store.

A Langflow flow is the scope of a session, the session id its name. The members of a Langflow message that
have no counterpart in Recount are kept unchanged in the message's metadata under ``langflow``.

- ``routes``: messages, their changes, and runs
- ``shapes``: messages, content blocks and runs in Langflow's shapes, and in Recount's
- ``rules``: the flows that a request is about, and the session that a run belongs to
- ``filters``: what a request reads, as Recount's filters, and in which order
- ``commands``: changes as Recount's commands
- ``parameters``: the caller of a request, its flows, and what else stands in its address
- ``answers``: a run and its answer, by the responder that is configured
- ``store``: the calls of Langflow's own message store, for use inside its process
"""
