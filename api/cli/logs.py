"""Plain lines on standard error, without anything that people said."""

from __future__ import annotations

import logging
import time
import traceback
from types import TracebackType
from typing import Any


class Plain(logging.Formatter):
    """Time, level, where from, what. Of an exception its class and its way through the code.

    An exception's text may quote a value that could not be taken, so it is left out, unless
    ``quotes`` says that this is somebody's search for a fault.
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


def configuration(level: str, *, quotes: bool = False) -> dict[str, Any]:
    """For logging.config.dictConfig, in this process or in one that it starts."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"()": Plain, "quotes": quotes}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
    }
