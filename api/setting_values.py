"""The forms of settings that are more than a number or a word."""

from __future__ import annotations

import re

from pydantic import SecretStr

FIRST_KEY = re.compile(r"[A-Za-z0-9._~+/=-]{24,256}")


def split_names(value: object) -> object:
    """Return the entries of ``zep, motorhead``; those of ``none`` are none."""
    if not isinstance(value, str):
        return value
    names = [name.strip() for name in value.split(",") if name.strip()]
    return [] if names == ["none"] else names


def check_first_key(key: SecretStr | None) -> SecretStr | None:
    """Return ``key``, if it can be sent in a header and cannot be guessed. Raises ValueError."""
    if key is not None and not FIRST_KEY.fullmatch(key.get_secret_value()):
        raise ValueError(
            "24 to 256 characters of A-Z a-z 0-9 . _ ~ + / = -, such as 'openssl rand -hex 32' prints"
        )
    return key
