"""A client of a Recount server, for use inside other programs; it needs nothing of the server's packages.

- ``client``: requests to a server, and their errors in Python
- ``errors``: what a request may raise
- ``langflow``: Langflow's message store on Recount
"""

from recount_client.client import Client
from recount_client.errors import InvalidInput, RecountError, Refused, Unauthorized, Unavailable

__all__ = ["Client", "InvalidInput", "RecountError", "Refused", "Unauthorized", "Unavailable"]
