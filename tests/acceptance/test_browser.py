"""The pages in a real browser that has no internet."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from recountdb.api.settings import Settings
from tests.support.background_server import run_server
from tests.support.programs import need_program

pytestmark = pytest.mark.parametrize("server", ["embedded"], indirect=True)

OFFLINE = [
    "--headless=new",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

Browse = Callable[[str], tuple[str, set[str]]]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Opens a page; returns what is in it once its scripts have run, and what it asked for."""
    chromium = need_program("chromium")

    def open_page(url: str) -> tuple[str, set[str]]:
        log = tmp_path / "net.json"
        command = [
            str(chromium),
            *OFFLINE,
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--log-net-log={log}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            url,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        return done.stdout, requested(log, url)

    return open_page


def requested(log: Path, page: str) -> set[str]:
    """What the page at this address asked for, as the browser's log of its network has it."""
    text = log.read_text()
    recorded = json.loads(text if text.rstrip().endswith("}") else text.rstrip().rstrip(",") + "]}")
    origin = "/".join(page.split("/")[:3])
    starts = [event["params"] for event in recorded["events"] if "initiator" in event.get("params", {})]
    return {start["url"] for start in starts if start["initiator"] == origin and "url" in start}


@pytest.mark.thorough
def test_the_pages_work_without_the_internet(conninfo: str, browse: Browse) -> None:
    with run_server(conninfo, Settings()) as address:
        home, _ = browse(f"{address}/")
        assert "Ready: the database answers." in home

        docs, asked = browse(f"{address}/docs")
        assert 'class="opblock-tag' in docs, "Swagger UI has drawn the operations"
        assert "/v1/sessions/{session_id}/messages" in docs.replace("\u200b", "").replace("<wbr>", "")
        assert f"{address}/openapi.json" in asked
        assert all(url.startswith((address, "data:")) for url in asked)

        redoc, asked = browse(f"{address}/redoc")
        assert "Add session messages" in redoc or "add session messages" in redoc.lower()
        assert f"{address}/openapi.json" in asked
