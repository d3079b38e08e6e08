"""How many processes the fault tests kill, at which moments, and what came of it.

A person kills more: ``RECOUNT_TEST_KILLS=200 python -m pytest tests/fault/test_kills.py``. Moments are
drawn by chance from RECOUNT_TEST_SEED, which is printed; what the processes do just then is not drawn.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures that need PostgreSQL."""
    config.pluginmanager.import_plugin("tests.support.fixtures")


KILLS = 2
TOLD = "told"
"""The lines of a test go with its report, for it may have run in another process than the summary."""


@dataclass(frozen=True)
class Plan:
    """``kills``: how many each test makes. ``tell``: a line for the end of the run."""

    kills: int
    chance: random.Random
    tell: Callable[[str], None]


@pytest.fixture
def plan(request: pytest.FixtureRequest) -> Plan:
    seed = os.environ.get("RECOUNT_TEST_SEED", str(random.SystemRandom().randrange(10**6)))

    def tell(line: str) -> None:
        request.node.user_properties.append((TOLD, line))

    tell(f"RECOUNT_TEST_SEED={seed} for {request.node.name}")
    return Plan(kills_wanted(), random.Random(f"{seed} {request.node.name}"), tell)


def kills_wanted() -> int:
    return int(os.environ.get("RECOUNT_TEST_KILLS", KILLS))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What kills many times takes its time."""
    for item in items:
        if "plan" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(120 + 20 * kills_wanted()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ended = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    for name, line in (each for report in ended for each in report.user_properties):
        if name == TOLD:
            terminalreporter.write_line(line)
