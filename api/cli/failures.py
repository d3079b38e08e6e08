"""How a command fails: one plain sentence on standard error, and an exit code for the kind of failure."""

from __future__ import annotations

import io
import os
import sys

from recountdb.domain.errors import DatabaseUnfit, RecordUnreadable, RecountError, Unavailable

PARTLY, REFUSED, NOT_AVAILABLE, FAULT = 1, 2, 3, 70


def translate_driver_error(error: Exception) -> Exception:
    """Return ``error``; for an error of PostgreSQL's driver, the error of Recount that it means."""
    if not type(error).__module__.startswith("psycopg"):
        return error
    import psycopg  # not before something failed: it takes long

    from recountdb.eventlog.postgres.failures import translate_error

    return translate_error(error) if isinstance(error, psycopg.Error) else error


def is_expected(error: Exception) -> bool:
    """Return whether the error's own text tells the user what is wrong and can be put right."""
    return isinstance(error, RecountError | OSError | UnicodeEncodeError)


def explain_failure(error: Exception) -> str:
    """Return a sentence that says what happened.

    Only the class of an unexpected error is named, for its text may quote what people said.
    """
    match error:
        case Unavailable(why=str(why)):
            text = why
        case RecountError():
            text = str(error)
        case OSError():
            reason = error.strerror or type(error).__name__
            text = reason if error.filename is None else f"cannot use {error.filename}: {reason}"
        case UnicodeEncodeError():
            text = "a word on the command line is not UTF-8"
        case _:
            text = (
                f"this is a fault of Recount itself ({type(error).__name__}). To see where it is, run the"
                " command again with RECOUNT_DEBUG=1 in the environment"
            )
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def exit_code_for(error: Exception) -> int:
    if not is_expected(error):
        return FAULT
    if isinstance(error, DatabaseUnfit):
        return REFUSED
    if isinstance(error, RecordUnreadable):  # the store is there, and some of it is wrong
        return PARTLY
    from recountdb.eventlog.postgres.programs import (
        EmbeddedPostgresFailed,  # not before something failed: it takes long
    )

    is_about_the_store = isinstance(error, Unavailable | EmbeddedPostgresFailed)
    return NOT_AVAILABLE if is_about_the_store else REFUSED


def escape_unprintable() -> None:
    """Write escapes for characters that the terminal's encoding lacks; Python would raise an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard_stdout() -> None:
    """Redirect standard output to the null device, so that Python's last flush does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
