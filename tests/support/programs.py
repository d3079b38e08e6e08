"""Find programs that tests need, or skip the test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")


def need_program(name: str, *paths: Path | str) -> Path:
    """Return the path of a program: the first of ``paths`` that can be run, else ``name`` on PATH.

    Without it the test is skipped. With ``RECOUNT_TEST_REQUIRE_ALL=1`` it fails instead, so that
    the build server cannot lose a program, and with it tests, unnoticed.
    """
    for candidate in (*paths, name):
        found = shutil.which(candidate)
        if found is not None:
            return Path(found)
    reason = f"needs the program {name}, which is not installed"
    if paths:
        reason += f" (looked at {', '.join(map(str, paths))} and PATH)"
    if os.environ.get("RECOUNT_TEST_REQUIRE_ALL") == "1":
        pytest.fail(reason + "; RECOUNT_TEST_REQUIRE_ALL=1 makes that a failure", pytrace=False)
    pytest.skip(reason)


def need_postgres_15(program: str = "postgres") -> Path:
    """Return the directory of PostgreSQL 15's programs, ``program`` among them, or skip the test."""
    return need_program(program, _POSTGRES_15 / program).parent
