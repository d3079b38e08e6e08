"""Tasks that run beside the requests of a server."""
