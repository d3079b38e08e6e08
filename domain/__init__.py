"""What can happen: events, aggregates, decisions and the commands that ask for them.

Plain Python and pydantic; never learns about SQL, HTTP or the database.
"""
