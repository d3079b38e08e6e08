"""Foreign protocols; each package reads like the contract of the server it stands in for.

A package has shapes of its own for requests and responses, and translates them into Recount's commands and
queries; nothing foreign leaves it. Its routes are the very paths that its clients call.

- ``zep``, ``langmem``, ``motorhead``, ``langflow``, ``langflux``: the protocols, all with the same files:
  ``routes``, ``shapes``, ``errors``, ``rules``, and further ones where needed
- ``registry``: the protocols by name
- ``base``: the caller, bodies and errors, for all of them
- ``metadata``: the members that have no counterpart in Recount
- ``responder``: who answers a question, for protocols whose servers have a model
"""
