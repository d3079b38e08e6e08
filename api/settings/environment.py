"""Variables that begin with RECOUNT_ but are not settings: those of other programs, and typing errors."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping

from recountdb.api.settings.errors import SettingsInvalid

PREFIX = "RECOUNT_"
TEST_PREFIX = "RECOUNT_TEST_"
"""Variables read by the tests, not by the program."""

OF_CLIENTS = frozenset({"RECOUNT_URL", "RECOUNT_API_KEY"})
"""Variables of programs that talk to Recount; they are never a mistake."""

SERVICE_VARIABLE = re.compile(
    r"RECOUNT_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
"""The variables that Kubernetes sets in every pod for a service named ``recount`` or ``recount-…``."""

SERVICE_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://\S*")
"""The value that Kubernetes gives ``RECOUNT_PORT``; the values of our setting have another form."""

SIMILAR_ENOUGH = 0.5


def is_injected(name: str, value: str) -> bool:
    """Return whether a container platform set the variable, to say where some service is."""
    name = name.upper()
    is_port = name.startswith(PREFIX) and name.endswith("_PORT")
    return bool(SERVICE_VARIABLE.fullmatch(name) or (is_port and SERVICE_ADDRESS.fullmatch(value)))


def is_unset(name: str, value: str) -> bool:
    """Return whether the variable sets nothing. An empty key sets something: somebody meant to have one."""
    is_empty = not value and not name.upper().startswith(f"{PREFIX}FIRST_KEY")
    return is_empty or is_injected(name, value)


def refuse_unknown(environment: Mapping[str, str], known: Collection[str]) -> None:
    """Raise SettingsInvalid for a variable that is meant for Recount and is not a setting."""
    for name, value in environment.items():
        if not name.startswith(PREFIX) or name.startswith(TEST_PREFIX):
            continue
        if name not in known and name not in OF_CLIENTS and not is_injected(name, value):
            raise SettingsInvalid(f"unknown setting {name}{suggestion(name, known)}")


def suggestion(name: str, known: Collection[str]) -> str:
    """Return advice about an unknown setting: the nearest name, if one is near."""
    endings = [one.removeprefix(PREFIX) for one in known]
    near = difflib.get_close_matches(name.removeprefix(PREFIX), endings, n=1, cutoff=SIMILAR_ENOUGH)
    if near:
        return f": did you mean {PREFIX}{near[0]}?"
    return ": unset it, or look the name up in docs/operations.md"
