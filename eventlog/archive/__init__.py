"""The log as a file, and back: events, ids and hashes stay the same whatever PostgreSQL is at either end."""
