"""Addresses of the database, in the forms in which people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict

FORM = "an address such as postgresql://user@host:5432/database, with special characters written as %XX"
DRIVER = re.compile(r"^(postgres(?:ql)?)\+\w+://")


@dataclass(frozen=True)
class Addresses:
    """Addresses of the database, each a URL or a conninfo.

    ``primary``: for ordinary reads; it may be that of a transaction pooler. ``direct``: an address at which a
    session lasts as long as its connection, for writes, locks, LISTEN and maintenance. ``read``: a replica.
    """

    primary: str
    direct: str = ""
    read: str | None = None

    def __post_init__(self) -> None:
        if not self.direct:
            object.__setattr__(self, "direct", self.primary)

    @classmethod
    def of(cls, where: Addresses | str) -> Addresses:
        """Return ``where``; a text is taken as the only address."""
        return cls(where) if isinstance(where, str) else where

    @property
    def is_pooled(self) -> bool:
        """Return whether the primary must be taken for a transaction pooler."""
        return self.direct != self.primary


def check_address(address: str) -> str:
    """Return ``address`` as libpq takes it; SQLAlchemy's form, which names a driver, is converted.

    Raises ValueError. Its text continues "must be" and quotes nothing: the address may hold a password.
    """
    plain = DRIVER.sub(r"\1://", address)
    try:
        parts = conninfo_to_dict(plain)
    except psycopg.ProgrammingError as error:
        if unknown := re.search(r'invalid (?:URI query parameter|connection option):? "(\w+)"', str(error)):
            raise ValueError(f"without {unknown[1]!r}, a parameter that PostgreSQL does not know") from None
        raise ValueError(FORM) from None
    # A password with a special character would appear in an error about a host or port not found.
    is_torn = "@" in f"{parts.get('host', '')}{parts.get('dbname', '')}" and "://" in plain
    if is_torn or not re.fullmatch(r"[\d,]*", str(parts.get("port", ""))):
        raise ValueError(FORM)
    return plain
