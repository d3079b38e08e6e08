"""The event log: how what happened is recorded, in wings that each know only those below them.

``application`` is the facade of all of it. ``write`` gathers commands, decides and appends; ``archive``
exports and imports the log. ``integrity`` makes and checks its chains, ``log`` records and reads it,
``postgres`` connects to the database, and ``tracing`` measures spans for any of them. None of it learns
about views or HTTP.
"""
