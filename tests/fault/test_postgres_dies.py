"""PostgreSQL dies under a serving process: it is told, nothing acknowledged is lost, and it comes back."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.serving import PATIENCE_SECONDS, add, serving


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGQUIT, marks=pytest.mark.thorough)])
def test_a_server_survives_its_database(tmp_path: Path, number: signal.Signals) -> None:
    data = tmp_path / "data"
    with serving(data) as client:
        assert add(client, "before").status_code == 201
        os.kill(int((data / "postgres" / "postmaster.pid").read_text().split()[0]), number)
        answers = [add(client, "while it is away")]
        while answers[-1].status_code != 201:
            refused = answers[-1]
            assert refused.status_code == 503, refused.text
            assert refused.headers["retry-after"].isdecimal()
            assert len(answers) < PATIENCE_SECONDS * 10, "it did not come back"
            time.sleep(0.1)
            answers.append(add(client, "while it is away"))
        found = client.get("/v1/sessions/lasting/messages?order=oldest").json()["items"]
        said = [message["content"] for message in found]
        # A write cut off at its commit may be there although its caller was told 503, never the reverse.
        assert said[0] == "before"
        assert set(said[1:]) == {"while it is away"}
        assert 1 <= len(said[1:]) <= len(answers)
