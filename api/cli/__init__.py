"""The command line: what can be typed.

The work of each command is in a module of its own, imported when the command runs, so that
``recount --help`` waits neither for a database driver nor for a web framework.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.core import TyperGroup

from api.cli.failures import (
    escape_what_cannot_be_shown,
    exit_code_for,
    is_expected,
    let_go_of_stdout,
    sentence,
    tell,
)

EPILOG = """
Exit codes: 0 all went well; 1 a part did not (lines of an import were skipped); 2 wrong use, or refused;
3 the store is not available; 70 a fault of Recount itself; 130 interrupted.

The store is the embedded PostgreSQL in the directory that --data or RECOUNT_DATA names. Without --data,
RECOUNT_DATABASE_URL or PostgreSQL's own PGHOST, PGHOSTADDR, PGSERVICE or PGDATABASE name a server instead.
"""


class FilesOrStores(TyperGroup):
    """A command group in which what names no command is a file: ``import FILE`` is ``import chat FILE``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        is_named = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        is_help_enough = not args and self.no_args_is_help
        return super().parse_args(ctx, args if is_named or is_help_enough else ["chat", *args])


app = typer.Typer(
    help="A memory store for conversations that keeps every change as an event.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text reads the same in a terminal, a pipe and the documentation
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys, name="keys")
followers = typer.Typer(
    help="Look after what follows the log, webhooks among it.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(followers, name="followers")
log = typer.Typer(
    help="Export the log itself, every event unchanged, and import it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(log, name="log")

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        show_default=False,
        help="Directory of the embedded PostgreSQL, whatever the environment names.",
    ),
]
Project = Annotated[str, typer.Option(metavar="NAME", help="The project, which is the tenant.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines, for scripts.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="How many to show at most; else 50.")]
Order = Annotated[Literal["oldest", "newest"], typer.Option(help="Which end to begin with.")]
SessionName = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")]


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


LogLevel = Literal["debug", "info", "warning", "error"]


def main(arguments: Sequence[str] | None = None) -> None:
    """The program. A failure is told in one sentence; see EPILOG for the exit codes."""
    end_like_interrupted()
    escape_what_cannot_be_shown()
    try:
        try:
            app(arguments, prog_name="recount")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has read enough
        let_go_of_stdout()
        sys.exit(1)
    except Exception as error:
        if is_debugging() and not is_expected(error):
            raise
        tell(sentence(error))
        sys.exit(exit_code_for(error))


def end_like_interrupted() -> None:
    """Have SIGTERM and SIGHUP do what Ctrl-C does, so that what was opened is closed."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # under nohup it is not
        signal.signal(signal.SIGHUP, lambda number, frame: signal.raise_signal(signal.SIGTERM))


def is_debugging() -> bool:
    """RECOUNT_DEBUG, read without the settings: they may be what failed."""
    return os.environ.get("RECOUNT_DEBUG", "").lower() in ("1", "true", "yes", "on")


def show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"recount {version('recount')}")
        raise typer.Exit


@app.callback()
def recount(
    is_version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=show_version, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="N",
            help="Port to listen on; 0 picks a free one. Else RECOUNT_PORT, or 8000.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on; all but this machine's own need API keys. "
            "Else RECOUNT_HOST, or 127.0.0.1.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, metavar="N", help="Server processes. Else RECOUNT_WORKERS, or 1."),
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(metavar="LEVEL", help="debug, info, warning or error. Else RECOUNT_LOG_LEVEL, or info."),
    ] = None,
    protocols: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Foreign protocols to serve: zep,motorhead, or none. Else RECOUNT_PROTOCOLS, or all.",
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Start the service. Makes the database first, if there is none."""
    from api.cli import serving

    serving.serve(data, host=host, port=port, workers=workers, log_level=log_level, protocols=protocols)


@app.command()
def migrate(data: Data = None) -> None:
    """Bring the database's schema up to this version."""
    from api.cli import migrating

    migrating.migrate(data)


Workers = Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Processes that fold the log.")]


@app.command()
def rebuild(
    views: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VIEW]...",
            help="names, sessions, threads, users, functions, states, messages, requests; else all of them.",
        ),
    ] = None,
    workers: Workers = 1,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only if no server runs; nobody is written beside.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be different; change nothing.")
    ] = False,
    verify_only: Annotated[
        bool, typer.Option("--verify-only", help="As --dry-run; exit code 1 if anything is different.")
    ] = False,
    quarantine: Annotated[
        bool,
        typer.Option(
            "--quarantine",
            help="Set streams aside that cannot be read, keep their rows, go on; exit code 1 if any.",
        ),
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to the tables from before the last rebuild.")
    ] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make the views again from the log, beside those in use, and put them in their place.

    The server may go on all the while. One that was stopped goes on where it was.
    """
    from api.cli import maintenance

    if rollback:
        maintenance.go_back(data, as_json=as_json)
        return
    wanted = maintenance.Wanted(
        views or (),
        workers=workers,
        is_offline=offline,
        is_rehearsal=dry_run or verify_only,
        must_agree=verify_only,
        quarantine=quarantine,
    )
    maintenance.rebuild_views(data, wanted, as_json=as_json)


@app.command()
def verify(workers: Workers = 1, as_json: AsJson = False, data: Data = None) -> None:
    """Check that the log is what was recorded, and that the views are what follows from it.

    Prints the digest of the last checkpoint: kept elsewhere, it shows later what the log was now.
    """
    from api.cli import maintenance

    maintenance.verify(data, workers=workers, as_json=as_json)


SessionOption = Annotated[str | None, typer.Option(metavar="ID", help="This session.")]
ThreadOption = Annotated[str | None, typer.Option(metavar="ID", help="This thread.")]
UserOption = Annotated[str | None, typer.Option(metavar="ID", help="This user.")]


@app.command()
def purge(
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="What was deleted longer ago: 30d, 12h, 5m. Else RECOUNT_RETENTION_DAYS, or 30d.",
        ),
    ] = None,
    session: SessionOption = None,
    thread: ThreadOption = None,
    user: Annotated[
        str | None,
        typer.Option(metavar="ID", help="This user, their sessions, and what they said among others."),
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept in the log for good.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    scrub: Annotated[
        bool,
        typer.Option(
            "--scrub", help="Also rewrite all tables, so that no freed page keeps old bytes. Writers wait."
        ),
    ] = False,
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Erase for good what was deleted long ago, or what is named. Prints a receipt for each stream.

    What is named goes, deleted or live. What is under a legal hold stays; then the exit code is 1.
    """
    from api.cli import purging

    purging.purge(
        data,
        project,
        {"session": session, "thread": thread, "user": user},
        older_than=older_than,
        reason=reason,
        is_rehearsal=dry_run,
        scrub=scrub,
        as_json=as_json,
    )


@app.command()
def purges(
    limit: Limit = None,
    order: Order = "oldest",
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List the receipts of what was purged."""
    from api.cli import purging

    purging.purges(data, project, limit=limit, order=order, as_json=as_json)


@app.command()
def hold(
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the log.")],
    session: SessionOption = None,
    thread: ThreadOption = None,
    user: UserOption = None,
    project: Project = "default",
    data: Data = None,
) -> None:
    """Keep a session, thread or user from being purged. A user's hold covers all that is theirs."""
    from api.cli import purging

    purging.hold(data, project, {"session": session, "thread": thread, "user": user}, reason)


@app.command()
def release(
    session: SessionOption = None,
    thread: ThreadOption = None,
    user: UserOption = None,
    project: Project = "default",
    data: Data = None,
) -> None:
    """Let what is under a legal hold be purged again."""
    from api.cli import purging

    purging.release(data, project, {"session": session, "thread": thread, "user": user})


imports = typer.Typer(
    cls=FilesOrStores,
    help="Import conversations: from a file in chat format, or from what already holds them.",
    epilog="'recount import FILE' is 'recount import chat FILE'; a file that is named like a store: ./redis.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(imports, name="import")
exports = typer.Typer(
    cls=FilesOrStores,
    help="Export live sessions: into a file in chat format, or into the layout of another store.",
    epilog="'recount export FILE' is 'recount export chat FILE'; without FILE it writes to standard output.",
    rich_markup_mode=None,
)
app.add_typer(exports, name="export")

UserId = Annotated[str | None, typer.Option(metavar="USER", help="Whose the sessions are that name no user.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
SessionsNamed = Annotated[
    list[str] | None, typer.Option(metavar="SESSION", help="Only this session; may be repeated.")
]


@imports.command("chat")
def import_chat(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON lines, also gzipped; - is standard input.")
    ],
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import conversations in chat format, each as a session.

    One JSON object a line: {"id", "metadata", "messages": [{"role", "content", …}]}. What is there already is
    passed over, so a file may be imported again when it has grown, or when the import was interrupted. Lines
    that cannot be taken are skipped and told by number; then the exit code is 1.
    """
    from api.cli import transfer

    transfer.import_file(
        file, data=data, project=project, user_id=user_id, is_rehearsal=dry_run, as_json=as_json
    )


FileOrUrl = Annotated[
    str, typer.Argument(metavar="PLACE", help="The SQLite file, or where PostgreSQL is: postgresql://…")
]
RedisUrl = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        envvar="REDIS_URL",
        show_envvar=False,
        help="redis://, rediss:// or unix://. Else REDIS_URL, which keeps a password off the command line.",
    ),
]
Match = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Keys like this, * for any text; may be repeated. Else message_store:* and chat:*.",
    ),
]
Key = Annotated[list[str] | None, typer.Option(metavar="KEY", help="This list; may be repeated.")]
Prefix = Annotated[str, typer.Option(metavar="TEXT", help="What of a key is no part of the session's id.")]
Endpoint = Annotated[
    str | None, typer.Option(metavar="URL", help="Where DynamoDB is, if not at the region's address.")
]
Region = Annotated[
    str | None, typer.Option(metavar="NAME", help="The AWS region. Else as the AWS tools find it.")
]
MessagesAttribute = Annotated[str | None, typer.Option(metavar="NAME", help="The attribute of the messages.")]


@imports.command("langflow")
def import_langflow(
    where: FileOrUrl,
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import Langflow's messages: langflow.db or its PostgreSQL. A flow is its sessions' scope."""
    from api.cli import stores

    into = stores.Into(data, project, user_id, dry_run, as_json)
    stores.import_database("langflow", where, into)


@imports.command("flowise")
def import_flowise(
    where: FileOrUrl,
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import Flowise's messages: database.sqlite or its PostgreSQL. A chatflow is its sessions' scope."""
    from api.cli import stores

    into = stores.Into(data, project, user_id, dry_run, as_json)
    stores.import_database("flowise", where, into)


@imports.command("zep")
def import_zep(
    where: Annotated[str, typer.Argument(metavar="URL", help="Where Zep's PostgreSQL is: postgresql://…")],
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import the sessions and users of Zep Open Source v0.x."""
    from api.cli import stores

    into = stores.Into(data, project, user_id, dry_run, as_json)
    stores.import_database("zep", where, into)


@imports.command("redis")
def import_redis(
    url: RedisUrl,
    match: Match = None,
    key: Key = None,
    prefix: Prefix = "message_store:",
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import the Redis lists of LangChain, Flowise and n8n, and the documents of langchain-redis.

    Keys of LangChain JS, Flowise and n8n have no prefix, so name them: --match '*' takes every list that
    holds chat messages. One that has grown or was cut since is known again by what its messages say.
    """
    from api.cli import stores
    from api.importers.redis_lists import Wanted

    into = stores.Into(data, project, user_id, dry_run, as_json)
    stores.import_redis(url, Wanted(match or (), key or (), prefix), into)


@imports.command("upstash")
def import_upstash(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            envvar="UPSTASH_REDIS_REST_URL",
            show_envvar=False,
            help="The REST address, https://…. Else UPSTASH_REDIS_REST_URL.",
        ),
    ],
    token: Annotated[
        str,
        typer.Option(
            metavar="TOKEN",
            envvar="UPSTASH_REDIS_REST_TOKEN",
            show_envvar=False,
            help="A token, a read-only one will do. Else UPSTASH_REDIS_REST_TOKEN.",
        ),
    ],
    match: Match = None,
    key: Key = None,
    prefix: Prefix = "message_store:",
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import from Upstash over its REST address. Otherwise as from any Redis."""
    from api.cli import stores
    from api.importers.redis_lists import Wanted

    into = stores.Into(data, project, user_id, dry_run, as_json)
    stores.import_upstash(url, token, Wanted(match or (), key or (), prefix), into)


@imports.command("motorhead")
def import_motorhead(
    url: RedisUrl,
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import the sessions in Motorhead's Redis, each with its summary."""
    from api.cli import stores

    stores.import_motorhead(url, stores.Into(data, project, user_id, dry_run, as_json))


@imports.command("dynamodb")
def import_dynamodb(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table's name.")],
    messages_attribute: MessagesAttribute = None,
    id_: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Only this conversation; may be repeated.")
    ] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="Also what has expired and was not deleted yet.")
    ] = False,
    endpoint_url: Endpoint = None,
    region: Region = None,
    project: Project = "default",
    user_id: UserId = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import the DynamoDB tables of LangChain, in Python and JavaScript, and Flowise.

    Credentials are found as the AWS tools find them. The whole table is read, which takes read capacity.
    """
    from api.cli import stores
    from api.importers.dynamodb import Wanted

    into = stores.Into(data, project, user_id, dry_run, as_json)
    wanted = Wanted(table, messages_attribute, id_ or (), expired)
    stores.import_dynamodb(endpoint_url, region, wanted, into)


@exports.command("chat")
def export_chat(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to; gzipped if it ends in .gz; - is standard output.")
    ] = "-",
    session: SessionsNamed = None,
    project: Project = "default",
    data: Data = None,
) -> None:
    """Export live sessions in the chat format that import reads."""
    from api.cli import transfer

    transfer.export_file(file, data=data, project=project, names=session or [])


WriterOption = Annotated[
    Literal["python", "js"],
    typer.Option("--writer", help="Whose layout: that of LangChain in this language."),
]
Ttl = Annotated[
    int | None,
    typer.Option("--ttl-seconds", min=1, metavar="N", help="How long it lives there; else for good."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what is there under the same key.")]


@exports.command("redis")
def export_redis(
    url: RedisUrl,
    writer: WriterOption = "python",
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Before the session's id. Else message_store:, and nothing for js."
        ),
    ] = None,
    ttl_seconds: Ttl = None,
    replace: Replace = False,
    session: SessionsNamed = None,
    project: Project = "default",
    data: Data = None,
) -> None:
    """Export live sessions as Redis lists that LangChain, Flowise and n8n read."""
    from api.cli import handing_back
    from api.exporters.envelopes import Writer

    handing_back.export_redis(
        url,
        Writer(writer),
        prefix=prefix,
        ttl_seconds=ttl_seconds,
        replaces=replace,
        data=data,
        project=project,
        names=session or [],
    )


@exports.command("dynamodb")
def export_dynamodb(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table, which must be there.")],
    writer: WriterOption = "python",
    messages_attribute: MessagesAttribute = None,
    ttl_seconds: Ttl = None,
    replace: Replace = False,
    endpoint_url: Endpoint = None,
    region: Region = None,
    session: SessionsNamed = None,
    project: Project = "default",
    data: Data = None,
) -> None:
    """Export live sessions as DynamoDB items that LangChain and Flowise read."""
    from api.cli import handing_back
    from api.exporters.envelopes import Writer

    handing_back.export_dynamodb(
        table,
        Writer(writer),
        endpoint=endpoint_url,
        region=region,
        attribute=messages_attribute,
        ttl_seconds=ttl_seconds,
        replaces=replace,
        data=data,
        project=project,
        names=session or [],
    )


@app.command()
def sessions(
    limit: Limit = None,
    order: Order = "oldest",
    user_id: Annotated[str | None, typer.Option(metavar="USER", help="Only this user's.")] = None,
    metadata: Annotated[
        str | None, typer.Option(metavar="JSON", help="Only those whose metadata contain this object.")
    ] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Only deleted ones.")] = False,
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List sessions in the order they began."""
    from api.cli import reading

    reading.sessions(
        data,
        project,
        limit=limit,
        order=order,
        user_id=user_id,
        metadata=metadata,
        deleted=deleted,
        as_json=as_json,
    )


@app.command()
def messages(
    session: SessionName,
    limit: Limit = None,
    order: Order = "oldest",
    as_of: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="As they were: at a version (7) or a time (RFC 3339)."),
    ] = None,
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show a session's messages, as they are or as they were."""
    from api.cli import reading

    reading.messages(data, project, session, limit=limit, order=order, as_of=as_of, as_json=as_json)


@app.command()
def audit(
    session: Annotated[str | None, typer.Argument(metavar="SESSION", help="The session's id.")] = None,
    thread: Annotated[str | None, typer.Option(metavar="ID", help="A thread instead.")] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="A user instead.")] = None,
    actor: Annotated[
        str | None, typer.Option(metavar="ACTOR", help="Only what this one did, as key:1f0c9a7e.")
    ] = None,
    of_user: Annotated[
        str | None, typer.Option(metavar="ID", help="Only of this user and of their sessions.")
    ] = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Only this type; may be repeated.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Recorded from then on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Recorded before then.")] = None,
    request_id: Annotated[str | None, typer.Option(metavar="ID", help="Only what this request did.")] = None,
    causation_id: Annotated[
        str | None, typer.Option(metavar="EVENT", help="Only what this event led to: STREAM/VERSION.")
    ] = None,
    chain: Annotated[
        bool, typer.Option("--chain", help="With --causation-id: the event and all that followed from it.")
    ] = False,
    reads: Annotated[
        bool, typer.Option("--reads", help="Who read what instead, if the server records it.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="How many at most; else all.")] = None,
    order: Order = "oldest",
    project: Project = "default",
    all_projects: Annotated[bool, typer.Option("--all-projects", help="Whatever project it is.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show what was recorded: what, when and by whom. Of a session, thread or user, or over the whole log."""
    from api.cli import auditing, reading

    where = None if all_projects else project
    if reads:
        auditing.reads(data, where, actor=actor, limit=limit, order=order, as_json=as_json)
        return
    named = {"session": session, "thread": thread, "user": user}
    filters = {
        "actor": actor,
        "user_id": of_user,
        "since": since,
        "until": until,
        "request_id": request_id,
        "causation_id": causation_id,
        "chain": chain,
    }
    if any(named.values()) and not (any(filters.values()) or type_ or all_projects):
        reading.audit(data, project, named, limit=limit, order=order, as_json=as_json)
        return
    auditing.audit(
        *(data, where, named),
        filters=filters,
        types=type_ or [],
        limit=limit,
        order=order,
        as_json=as_json,
    )


@app.command()
def diff(
    session: SessionName,
    from_: Annotated[
        str, typer.Option("--from", metavar="MOMENT", help="A version (7) or a time (RFC 3339).")
    ],
    to: Annotated[str | None, typer.Option(metavar="MOMENT", help="A version or a time; else now.")] = None,
    project: Project = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, with a JSON Patch.")] = False,
    data: Data = None,
) -> None:
    """Tell what changed in a session. Between two moments, in words that do not say what was said."""
    from api.cli import timetravel

    timetravel.diff(data, project, session, from_=from_, to=to, as_json=as_json)


@app.command()
def replay(
    session: SessionName,
    speed: Annotated[
        str,
        typer.Option(metavar="SPEED", help="How many times as fast as it was: 10x; max for no pauses."),
    ] = "1x",
    first: Annotated[
        int | None,
        typer.Option("--from", min=1, metavar="V", help="From this version on; else from the start."),
    ] = None,
    last: Annotated[
        int | None, typer.Option("--to", min=1, metavar="V", help="Up to this version; else to the end.")
    ] = None,
    project: Project = "default",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Play a session again, turn by turn.

    With the pauses there were, if none longer than 5 seconds. Ctrl-C ends it.
    """
    from api.cli import timetravel

    timetravel.replay(data, project, session, speed=speed, first=first, last=last, as_json=as_json)


@keys.command("create")
def create_key(
    project: Project = "default",
    scope: Annotated[
        list[Scope] | None,
        typer.Option(
            metavar="SCOPE",
            help="What it may do: read, write or admin; may be repeated. Else read and write.",
        ),
    ] = None,
    label: Annotated[
        str, typer.Option(metavar="TEXT", show_default=False, help="A note on whose key it is.")
    ] = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make an API key. Its secret is printed, this once."""
    from api.cli import keyring

    keyring.create(
        data,
        project,
        scopes=[str(one) for one in scope or (Scope.READ, Scope.WRITE)],
        label=label,
        as_json=as_json,
    )


@keys.command("list")
def list_keys(as_json: AsJson = False, data: Data = None) -> None:
    """List all keys, without their secrets."""
    from api.cli import keyring

    keyring.list_all(data, as_json=as_json)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, from the list.")],
    data: Data = None,
) -> None:
    """Have a key no longer work."""
    from api.cli import keyring

    keyring.revoke(data, key_id)


@followers.command("list")
def list_followers(as_json: AsJson = False, data: Data = None) -> None:
    """Say how far each follower of the log is, and which streams are parked."""
    from api.cli import tending

    tending.list_all(data, as_json=as_json)


@followers.command("resume")
def resume_follower(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The follower's name.")],
    stream: Annotated[
        str | None, typer.Argument(metavar="STREAM", help="Only this stream; else all that are parked.")
    ] = None,
    data: Data = None,
) -> None:
    """Handle what was set aside with parked streams. Works beside a running server."""
    from api.cli import tending

    tending.resume(data, name, stream)


@log.command("export")
def export_log(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to, gzipped; - is standard output.")
    ] = "-",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Export all events and checkpoints, as they are at one moment.

    Works beside a running server. Prints the checksum of what was exported. API keys and webhooks are not of
    the log, and not in it.
    """
    from api.cli import archiving

    archiving.export_file(file, data, as_json=as_json)


@log.command("import")
def import_log(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What 'recount log export' wrote.")],
    workers: Workers = 1,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Import an exported log into an empty store, and make the views from it.

    Positions, ids and hashes stay as they were; each is checked on the way. An import that was interrupted
    goes on when it is run again with the same file; until then nothing else uses the store.
    """
    from api.cli import archiving

    archiving.import_file(file, data, workers=workers, as_json=as_json)


@app.command()
def status(as_json: AsJson = False, data: Data = None) -> None:
    """Say what there is. Database, schema, how much is stored, and whether a server runs."""
    from api.cli import overview

    overview.status(data, as_json=as_json)


@app.command()
def demo(data: Data = None) -> None:
    """Show what the store can do, on sample conversations, and end.

    Uses a directory that is thrown away afterwards, unless --data names one.
    """
    from api.cli import showing

    showing.demo(data)
