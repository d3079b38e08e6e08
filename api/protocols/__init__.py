"""Foreign protocols; each module reads like the contract of the server it stands in for.

A module has models of its own for requests and responses, and translates them into Recount's commands and
queries; nothing foreign leaves it. Its router serves the very paths that its clients call.
"""
