"""The script that checks a proof, run as somebody without Recount runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from recountdb.eventlog.integrity import check_proof

CHECKER = Path(check_proof.__file__)


def run_checker(proof: object, tmp_path: Path, *options: str) -> tuple[int, str]:
    """Check ``proof``; return the exit code and what was printed."""
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(proof), encoding="utf-8")
    command = [sys.executable, "-I", "-S", str(CHECKER), str(file), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not done.stderr
    return done.returncode, done.stdout
