"""The log as a file, and back: events, ids and hashes unchanged, whatever PostgreSQL is at either end."""
