"""Motorhead, the memory server of Metal."""

from recountdb.api.protocols.motorhead.routes import router as router
