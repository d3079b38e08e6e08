"""What tracing and log handlers of others get to see: no key, name, query or word of anybody's."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from recountdb.api.app import create_app
from recountdb.api.logs import WithoutExceptionTexts, forget_exception_texts
from recountdb.api.settings import Settings
from tests.support.hostile import SECRET


def test_fastapis_own_telemetry_is_off_whatever_the_environment_says() -> None:
    config = create_app(Settings(), "")._telemetry
    signals = ("tracing", "metrics", "logs", "operation_spans", "auto_configure")
    assert {name: config[name] for name in signals} == dict.fromkeys(signals, False)  # type: ignore[literal-required]


REPLACED = """
import fastapi

class Traced(fastapi.FastAPI):
    pass

fastapi.FastAPI = Traced
from recountdb.api.app import create_app
from recountdb.api.settings import Settings
assert not isinstance(create_app(Settings(), ""), Traced)
"""


def test_a_fastapi_that_was_replaced_by_one_that_traces_is_not_used() -> None:
    """So does OpenTelemetry's instrumentation of FastAPI, before the program is imported."""
    environment = os.environ | {"FASTAPI_OTEL_AUTO_CONFIGURE": "true"}
    done = subprocess.run([sys.executable, "-c", REPLACED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_log_records_carry_no_text_of_an_exception(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogRecordFactory()
    forget_exception_texts()
    forget_exception_texts()
    try:
        assert isinstance(logging.getLogRecordFactory(), WithoutExceptionTexts)
        try:
            raise ValueError(SECRET)
        except ValueError:
            logging.getLogger("recount").exception("it failed")
    finally:
        logging.setLogRecordFactory(before)
    (record,) = caplog.records
    assert record.exc_info is None
    assert record.exc_text is not None
    assert record.exc_text.endswith("ValueError")
    assert "test_telemetry.py" in record.exc_text
    assert SECRET not in caplog.text
