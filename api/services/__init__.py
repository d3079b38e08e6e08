"""Use cases of more than one command or query, called by routes, command line and background tasks."""
