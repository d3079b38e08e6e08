"""All settings, read once into one frozen object. Each is an environment variable RECOUNT_<NAME>."""

from __future__ import annotations

import os
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import platformdirs
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict

from recountdb.api.settings.environment import PREFIX, is_unset, refuse_unknown
from recountdb.api.settings.errors import SettingsInvalid, explain
from recountdb.api.settings.values import (
    check_first_key,
    check_origins,
    check_root_path,
    check_upstream,
    split_names,
)
from recountdb.eventlog.postgres.addresses import Addresses, check_address

POSTGRES_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE")


Protocol = Literal["zep", "langmem", "motorhead", "langflow", "langflux"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


Address = Annotated[str | None, AfterValidator(lambda value: value and check_address(value))]


Upstream = Annotated[str | None, AfterValidator(check_upstream)]


class Environment(EnvSettingsSource):
    """The environment, without the variables of Kubernetes and Docker for a service named ``recount``.

    Empty variables are left out too: compose files that pass on an unset variable leave it empty.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        found = self.env_vars.items()
        self.env_vars = {name: value for name, value in found if not is_unset(name, value or "")}


class Settings(BaseSettings):
    """All settings. docs/operations.md lists them."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: Any, *others: Any, **more: Any
    ) -> tuple[Any, ...]:
        return init_settings, Environment(settings_cls)

    database_url: Address = Field(None, description="PostgreSQL to use instead of the embedded one")
    database_direct_url: Address = Field(
        None, description="a way to the same database around a pooler of transactions"
    )
    read_url: Address = Field(
        None, description="a replica of the database, for reads that send Recount-Position"
    )
    data: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("recount"),
        description="directory of the embedded PostgreSQL",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="port to listen on")
    root_path: Annotated[str, BeforeValidator(check_root_path)] = Field(
        "", description="path under which a proxy shows the server, such as /memory"
    )
    cors_origins: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(split_names), AfterValidator(check_origins)
    ] = Field((), description="web origins whose pages may call the API, with commas between them; * for all")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(1, description="server processes")
    body_bytes_max: Annotated[int, Field(ge=1024)] = Field(
        5 * 2**20, description="largest request body, in bytes"
    )
    answer_bytes_max: Annotated[int, Field(ge=2**20)] = Field(
        256 * 2**20, description="bytes of large answers that wait to be read, per process"
    )
    body_values_max: Annotated[int, Field(ge=1000)] = Field(
        100_000, description="members and elements that a request body may have in all"
    )
    connections_max: Annotated[int, Field(ge=2)] = Field(
        10, description="database connections for reading, per process"
    )
    checkpoint_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        60, description="how often the server takes a checkpoint of the log"
    )
    retention_days: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["forever"] = Field(
        30, description="how long what was deleted can be undeleted; then it is purged"
    )
    purge_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        3600, description="how often the server purges what was deleted long enough ago"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="what the server logs to standard error"
    )
    webhooks_allow_private: bool = Field(
        False, description="let webhooks lead to this machine and into private networks"
    )
    webhooks_max: Annotated[int, Field(ge=0)] = Field(100, description="webhooks a project may have")
    keys_max: Annotated[int, Field(ge=1)] = Field(1000, description="keys that work a project may have")
    forks_max: Annotated[int, Field(ge=0)] = Field(
        10_000, description="forked sessions a project may have, deleted ones too"
    )
    protocols: Annotated[tuple[Protocol, ...], NoDecode, BeforeValidator(split_names)] = Field(
        PROTOCOLS, description="foreign protocols to serve, with commas between them; none for none"
    )
    zep_message_window: Annotated[int, Field(ge=1, le=10_000)] = Field(
        12, description="newest messages that Zep's memory of a session shows where no number is asked for"
    )
    motorhead_prefix: str = Field(
        "/", pattern=r"^(/[\w.~-]+)*/?$", description="path under which Motorhead's protocol is served"
    )
    motorhead_window: Annotated[int, Field(ge=1, le=10_000)] = Field(
        12, description="Motorhead's memory of a session has one message more than this at most"
    )
    motorhead_long_term_memory: bool = Field(True, description="answer Motorhead's retrieval")
    langflow_list_all: bool = Field(
        False, description="list all messages, as Langflow did up to 1.10, not the newest 100 (200 at most)"
    )
    run_compat: Literal["documented", "langflow-1.13"] = Field(
        "documented",
        description="which rule gives a Langflow run its session (docs/protocols/langflow.md)",
    )
    responder_url: Upstream = Field(
        None, description="OpenAI-compatible API that answers Langflow runs and Flowise predictions"
    )
    responder_model: str = Field("gpt-4o-mini", description="the model to ask for there")
    responder_key: SecretStr | None = Field(None, description="the key to ask with there")
    responder_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        120, description="how long a responder may keep silent"
    )
    langflow_upstream: Upstream = Field(None, description="a Langflow that runs are passed on to")
    langflow_upstream_key: SecretStr | None = Field(None, description="the key to run flows with there")
    langflux_upstream: Upstream = Field(None, description="a Flowise that predictions are passed on to")
    langflux_upstream_key: SecretStr | None = Field(None, description="the key to predict with there")
    langflux_json_columns: Literal["decoded", "string"] = Field(
        "decoded", description="how Flowise's JSON columns are told: servers up to 2.0.5 told them as strings"
    )
    first_key: Annotated[SecretStr | None, AfterValidator(check_first_key)] = Field(
        None, description="the API key that a store without any key begins with"
    )
    first_key_file: Path | None = Field(None, description="a file with that key, instead of the key")
    otel: bool = Field(False, description="send spans to an OpenTelemetry collector")
    audit_reads: bool = Field(False, description="record each reading request, too")
    debug: bool = Field(False, description="show the traceback of an unexpected failure")

    @property
    def is_loopback(self) -> bool:
        """Return whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def addresses(self) -> Addresses | None:
        """Return the addresses of PostgreSQL, named by our settings or by variables that other programs use.

        None means that the embedded database is used.

        Raises SettingsInvalid.
        """
        primary = self.database_url if self.database_url is not None else self.elsewhere_named()
        if primary is not None:
            return Addresses(primary, self.database_direct_url or "", self.read_url)
        if self.database_direct_url is not None:
            raise SettingsInvalid(
                f"{PREFIX}DATABASE_DIRECT_URL is a second way to the database: set {PREFIX}DATABASE_URL, too"
            )
        return None

    def elsewhere_named(self) -> str | None:
        """Return the address in DATABASE_URL (unless ``data`` is set), or "" for PG* variables, or None."""
        url = os.environ.get("DATABASE_URL", "")
        if "data" not in self.model_fields_set and url.startswith("postgres"):
            try:
                return check_address(url)
            except ValueError as error:
                raise SettingsInvalid(f"DATABASE_URL must be {error}") from None
        return "" if any(os.environ.get(name) for name in POSTGRES_VARIABLES) else None


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_settings(**given: object) -> Settings:
    """Return the settings of the environment, overridden by those ``given`` that are not None.

    Raises SettingsInvalid.
    """
    refuse_unknown(os.environ, {f"{PREFIX}{name.upper()}" for name in Settings.model_fields})
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsInvalid(explain(error, PREFIX)) from None
