"""The hosted LangMem service, as the ``langmem.Client`` of releases 0.0.2 to 0.0.4 calls it.

LangMem's threads are Recount's threads, and its users Recount's users of the same UUIDs; a user's ``name``
is the display name. A memory function is a function of Recount's, and the memory of it that an application
stores for a user is the user's state document under the function's id. Recount makes no memories itself.
"""
