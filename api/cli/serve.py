"""``recount serve``: start the server, from an empty directory if need be, and run it to its end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Annotated, Any, Literal

import typer

from recountdb.api.cli.options import Data

LogLevel = Literal["debug", "info", "warning", "error"]

app = typer.Typer(rich_markup_mode=None)


@app.command()
def serve(
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="N",
            help="Port to listen on; 0 picks a free one. Default: RECOUNT_PORT, or 8000.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on; all but this machine's own need API keys. "
            "Default: RECOUNT_HOST, or 127.0.0.1.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, metavar="N", help="Number of server processes. Default: RECOUNT_WORKERS, or 1."
        ),
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            metavar="LEVEL", help="debug, info, warning or error. Default: RECOUNT_LOG_LEVEL, or info."
        ),
    ] = None,
    protocols: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Foreign protocols to serve, of zep,langmem,motorhead,langflow,langflux; or none. "
            "Default: RECOUNT_PROTOCOLS, or all.",
        ),
    ] = None,
    root_path: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Path under which a proxy shows the server, such as /memory. Default: RECOUNT_ROOT_PATH.",
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Start the service. Creates the database first, if there is none."""
    from recountdb.api import server
    from recountdb.api.cli.claim import claim_directory
    from recountdb.api.cli.store import locate_store

    place = locate_store(
        data,
        host=host,
        port=port,
        workers=workers,
        log_level=log_level,
        protocols=protocols,
        root_path=root_path,
    )
    settings = place.settings
    server.configure_logs(settings)
    with ExitStack() as stack:
        addresses = stack.enter_context(place.run_postgres(keep_running=True))
        announce = stack.enter_context(claim_directory(place.directory)) if place.is_embedded else None
        server.prepare_store(settings, addresses)
        listener = stack.enter_context(server.listen(settings.host, settings.port))
        # Port 0 asks the system for a free one, so the address is known only now.
        address = server.server_address(listener)
        if announce is not None:
            announce(address)
        with suppress(KeyboardInterrupt):  # the usual end of a server, not a failure
            _greet(place.describe(addresses), address)
            server.run_server(server.Server(settings, addresses, listener))


def _greet(database: Mapping[str, Any], address: str) -> None:
    """Print where everything is and what to try next."""
    from importlib.metadata import version

    if database["is_embedded"]:
        where = f"{database['directory']} (embedded PostgreSQL)"
    else:
        server = f"{database['host']}:{database['port']}, as {database['user']}"
        where = f"database {database['name']} of PostgreSQL at {server}"
    typer.echo(f"""\
Recount {version("recountdb")}
  data      {where}
  address   {address}
  API docs  {address}/docs

Add a first message from another terminal, then read it back:
  curl {address}/v1/sessions/hello/messages -H 'Content-Type: application/json' \\
    -d '{{"messages": [{{"role": "user", "content": "One chai latte, please."}}]}}'
  curl {address}/v1/sessions/hello/messages

Once there are API keys, add: -H 'Authorization: Bearer KEY'. Ctrl-C stops the server.
""")
