"""The disk fills up under a serving process: writes are refused, and go on once there is room."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.serving import PATIENCE_SECONDS, add, serving

DISK_MIB = 160
LARGE = "x" * 900_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    options = f"size={DISK_MIB}m,mode=0700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let its root mount a file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_told_and_survived(small_disk: Path) -> None:
    with serving(small_disk / "data") as client:
        assert add(client, "before").status_code == 201
        ballast = small_disk / "ballast"
        fill(ballast)
        refused = write_until_refused(client)
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:recount:problem:unavailable"
        assert LARGE[:100] not in refused.text
        ballast.unlink()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while add(client, "after").status_code != 201:
            assert time.monotonic() < deadline, "it did not go on"
            time.sleep(0.2)
        oldest = client.get("/v1/sessions/lasting/messages?order=oldest&limit=1").json()["items"]
        assert oldest[0]["content"] == "before"


def fill(ballast: Path) -> None:
    """Take all the room there is."""
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(bytes(2**20))
                file.flush()
        except OSError:
            pass


def write_until_refused(client: httpx2.Client) -> httpx2.Response:
    for _ in range(1000):
        answer = add(client, LARGE)
        if answer.status_code != 201:
            return answer
    raise AssertionError("the disk never filled up")
