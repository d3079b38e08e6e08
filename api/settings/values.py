"""Checks of settings that are more than a number or a word."""

from __future__ import annotations

import re

from pydantic import SecretStr

ROOT_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[\w.~-]+)+", re.ASCII)
UPSTREAM = re.compile(r"https?://[^\s/?#]+(?:/[^\s?#]*)?", re.IGNORECASE)
ORIGIN = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
FIRST_KEY = re.compile(r"[A-Za-z0-9._~+/=-]{24,256}")


def split_names(value: object) -> object:
    """Return the entries of a list such as ``zep, motorhead``; ``none`` has no entries."""
    if not isinstance(value, str):
        return value
    names = [name.strip() for name in value.split(",") if name.strip()]
    return [] if names == ["none"] else names


def check_root_path(value: object) -> object:
    """Return the path without a slash at its end, so an empty one for ``/``. Raises ValueError."""
    if not isinstance(value, str):
        return value
    path = value.rstrip("/")
    if path and not ROOT_PATH.fullmatch(path):
        raise ValueError("a path of letters, digits and . _ ~ -, such as /memory")
    return path


def check_upstream(url: str | None) -> str | None:
    """Return ``url`` if requests can be sent there. Raises ValueError, which does not quote it."""
    if url is not None and not UPSTREAM.fullmatch(url):
        raise ValueError("an address such as http://127.0.0.1:7860, without a query")
    return url


def check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``origins`` as browsers send them, or ``*`` alone. Raises ValueError."""
    found = tuple(origin.lower().rstrip("/") for origin in origins)
    if found != ("*",) and not all(map(ORIGIN.fullmatch, found)):
        raise ValueError("origins such as https://app.example.org, with commas between them, or * alone")
    return found


def check_first_key(key: SecretStr | None) -> SecretStr | None:
    """Return ``key`` if it can be sent in a header and cannot be guessed. Raises ValueError."""
    if key is not None and not FIRST_KEY.fullmatch(key.get_secret_value()):
        raise ValueError(
            "24 to 256 characters of A-Z a-z 0-9 . _ ~ + / = -, such as 'openssl rand -hex 32' prints"
        )
    return key
