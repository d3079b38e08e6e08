"""Logging in plain lines on standard error, without anything that people said."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any


class Plain(logging.Formatter):
    """Formatter that shows time, level, logger and message, and of an exception its class and traceback.

    The text of an exception may quote a value that could not be taken, so it is left out, unless
    ``quotes`` says that somebody is searching for a fault.
    """

    def __init__(self, *, quotes: bool = False) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime
        self._quotes = quotes

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        if self._quotes:
            return super().formatException(ei)
        kind, _, trace = ei
        assert isinstance(trace, TracebackType)
        return "".join([*traceback.format_tb(trace), kind.__qualname__])


def forget_exception_texts() -> None:
    """Have every log record carry what ``Plain`` shows of its exception, and not the exception itself.

    A handler that somebody adds, such as OpenTelemetry's, would otherwise send the text elsewhere.
    """
    make_record = logging.getLogRecordFactory()
    if isinstance(make_record, WithoutExceptionTexts):
        return
    logging.setLogRecordFactory(WithoutExceptionTexts(make_record))


class WithoutExceptionTexts:
    """A factory of log records that carry no exception, only its class and its traceback."""

    def __init__(self, make_record: Callable[..., logging.LogRecord]) -> None:
        self._make_record = make_record

    def __call__(self, *arguments: Any, **named: Any) -> logging.LogRecord:
        record = self._make_record(*arguments, **named)
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = Plain().formatException(record.exc_info)
            record.exc_info = None
        return record


def configuration(level: str, *, quotes: bool = False) -> dict[str, Any]:
    """Return a configuration for logging.config.dictConfig, in this process or in one that it starts."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"()": Plain, "quotes": quotes}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
    }
