"""Where the database is, in the forms in which people write it down."""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict

FORM = "an address such as postgresql://user@host:5432/database, with special characters written as %XX"
DRIVER = re.compile(r"^(postgres(?:ql)?)\+\w+://")


@dataclass(frozen=True)
class Addresses:
    """Where the database is, each as a URL or a conninfo.

    ``primary``: for ordinary reads; a pooler of transactions may stand there. ``direct``: where a session
    lasts as long as its connection, for writes, locks, LISTEN and maintenance. ``read``: a replica.
    """

    primary: str
    direct: str = ""
    read: str | None = None

    def __post_init__(self) -> None:
        if not self.direct:
            object.__setattr__(self, "direct", self.primary)

    @classmethod
    def of(cls, where: Addresses | str) -> Addresses:
        """Return ``where``; a text is the one address there is."""
        return cls(where) if isinstance(where, str) else where

    @property
    def is_pooled(self) -> bool:
        """Whether the primary must be taken for a pooler of transactions."""
        return self.direct != self.primary


def check_address(address: str) -> str:
    """Return ``address`` as libpq takes it; the form of SQLAlchemy, which names a driver, loses it.

    Raises ValueError, in words that go on from "must be" and quote nothing: there may be a password in it.
    """
    plain = DRIVER.sub(r"\1://", address)
    try:
        parts = conninfo_to_dict(plain)
    except psycopg.ProgrammingError as error:
        if unknown := re.search(r'invalid (?:URI query parameter|connection option):? "(\w+)"', str(error)):
            raise ValueError(f"without {unknown[1]!r}, a parameter that PostgreSQL does not know") from None
        raise ValueError(FORM) from None
    # A password with a special character in it, which would be shown as a host or port that is not found.
    is_torn = "@" in f"{parts.get('host', '')}{parts.get('dbname', '')}" and "://" in plain
    if is_torn or not re.fullmatch(r"[\d,]*", str(parts.get("port", ""))):
        raise ValueError(FORM)
    return plain
