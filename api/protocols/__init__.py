"""Foreign protocols: each module reads like the contract of the server it stands in for.

A module has models of its own both ways and translates them into commands and queries of ours; nothing
foreign leaves it. Its router is served at the very paths its clients call.
"""
