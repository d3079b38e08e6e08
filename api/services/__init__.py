"""Use cases of more than one command or query, called by routes, the command line and background tasks."""
