"""The domain: events, aggregates, decisions and the commands that ask for them.

Plain Python and pydantic; it never learns about SQL, HTTP or the database.
"""
