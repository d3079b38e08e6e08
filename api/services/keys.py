"""API keys, stored as hashes: each names a caller, a project, and scopes."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from recountdb.domain.errors import InvalidInput, LimitReached, NotFound
from recountdb.eventlog.postgres.database import Connection, Database

SCOPES = ("read", "write", "admin", "operator")
PROJECT = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
DEFAULT_PROJECT = "default"
CACHE_SECONDS = 2.0  # a revoked key may still be taken for this long
CACHED_MAX = 10_000


@dataclass(frozen=True)
class Caller:
    """The caller of a request, with project and scopes."""

    project: str
    actor: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Return whether the caller has a scope.

        ``admin`` includes all scopes of its project; ``operator`` is about the whole store, and separate.
        """
        return scope in self.scopes or ("admin" in self.scopes and scope != "operator")


LOCAL = Caller(DEFAULT_PROJECT, "local", frozenset(SCOPES))
"""The caller that anyone on this machine is while there are no keys."""


@dataclass(frozen=True)
class Key:
    """A key as it is listed. ``revoked_at`` is None while the key works."""

    id: str
    project: str
    scopes: Sequence[str]
    label: str
    created_at: datetime
    revoked_at: datetime | None


def create_key(
    database: Database,
    *,
    project: str,
    scopes: Iterable[str],
    label: str = "",
    keys_max: int | None = None,
) -> tuple[Key, str]:
    """Make a key; return it and its secret text, which cannot be shown again.

    ``keys_max`` is how many working keys the project may have; None means any number. Raises InvalidInput,
    LimitReached.
    """
    check_project(project)
    chosen = sorted(set(scopes), key=str)
    if not chosen or not set(chosen) <= set(SCOPES):
        raise InvalidInput("scopes", f"must be some of {', '.join(SCOPES)}")
    key_id = secrets.token_hex(4)
    text = f"rk_{key_id}_{secrets.token_urlsafe(32)}"
    with database.connection() as connection, connection.transaction():
        _refuse_more_keys(connection, project, keys_max)
        connection.execute(
            "INSERT INTO api_keys (id, hash, project, scopes, label) VALUES (%s, %s, %s, %s, %s)",
            (key_id, _hash_of(text), project, chosen, label),
        )
    return next(key for key in list_keys(database) if key.id == key_id), text


def _refuse_more_keys(connection: Connection, project: str, keys_max: int | None) -> None:
    """Raise LimitReached if the project has as many keys as it may. Other keys wait for this transaction."""
    if keys_max is None:
        return
    connection.execute("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE")
    found = connection.execute(
        "SELECT count(*) FROM api_keys WHERE project = %s AND revoked_at IS NULL", (project,)
    )
    if sum(count for (count,) in found) >= keys_max:
        raise LimitReached("keys", keys_max, remedy="revoke one")


def create_first_key(database: Database, text: str) -> bool:
    """Make ``text`` a key with all scopes, unless a key was ever made. Return whether it was made now."""
    if KeyRing(database).has_keys():
        return False
    with database.connection() as connection, connection.transaction():
        # If several servers start at once, the others wait here, and then find the key.
        connection.execute("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE")
        made = connection.execute(
            "INSERT INTO api_keys (id, hash, project, scopes, label)"
            " SELECT %s, %s, %s, %s, %s WHERE NOT EXISTS (SELECT FROM api_keys) RETURNING id",
            (secrets.token_hex(4), _hash_of(text), DEFAULT_PROJECT, ["admin", "operator"], "first key"),
        )
        return made.fetchone() is not None


def check_project(name: str) -> str:
    """Return ``name`` if it can be the name of a project. Raises InvalidInput."""
    if not PROJECT.fullmatch(name):
        raise InvalidInput("project", "must be 1 to 64 of a-z 0-9 . _ - and begin and end with a-z 0-9")
    return name


def list_keys(database: Database) -> list[Key]:
    """Return all keys, revoked ones too, the oldest first."""
    rows = database.fetch(
        "SELECT id, project, scopes, label, created_at, revoked_at FROM api_keys ORDER BY created_at, id"
    )
    return [Key(*row) for row in rows]


def revoke_key(database: Database, key_id: str) -> None:
    """Stop a key from working, within two seconds. Raises NotFound."""
    revoked = database.fetch(
        "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s RETURNING id",
        (key_id,),
    )
    if not revoked:
        raise NotFound("key")


def _hash_of(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


class KeyRing:
    """The lookup of keys, which remembers each answer for two seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[bytes | None, tuple[float, Caller | None]] = {}

    def remembered(self, text: str | None) -> tuple[bool, Caller | None]:
        """Return whether a fresh answer is remembered, and the answer, without asking the database."""
        key = None if text is None else _hash_of(text)
        expiry, caller = self._remembered.get(key, (0.0, None))
        return time.monotonic() < expiry, caller

    def caller(self, text: str | None) -> Caller | None:
        """Return the owner of the key ``text``, or None; while there are no keys, LOCAL for any text."""
        key = None if text is None else _hash_of(text)
        caller = (None if key is None else self._owner(key)) or self._anonymous()
        if len(self._remembered) >= CACHED_MAX:
            self._remembered.clear()
        self._remembered[key] = (time.monotonic() + CACHE_SECONDS, caller)
        return caller

    def look_up(self, texts: Iterable[str | None]) -> dict[str | None, Caller | None]:
        """Ask the database for the present owner of each key, without looking at remembered answers."""
        return {text: self.caller(text) for text in texts}

    def has_keys(self) -> bool:
        """Return whether any key was ever made; from then on nobody is let in without one."""
        ((found,),) = self._database.fetch("SELECT EXISTS (SELECT FROM api_keys)")
        return bool(found)

    def _anonymous(self) -> Caller | None:
        return None if self.has_keys() else LOCAL

    def _owner(self, key: bytes) -> Caller | None:
        rows = self._database.fetch(
            "SELECT id, project, scopes FROM api_keys WHERE hash = %s AND revoked_at IS NULL",
            (key,),
        )
        for key_id, project, scopes in rows:
            return Caller(project, f"key:{key_id}", frozenset(scopes))
        return None
