"""Writing: gather commands, decide them, commit events and rows together."""
