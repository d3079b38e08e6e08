"""The first API key of a store, for deployments without a shell to make one in."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import SecretStr

from recountdb.api.services.keys import create_first_key
from recountdb.api.settings import Settings
from recountdb.api.settings.errors import SettingsInvalid
from recountdb.api.settings.values import check_first_key
from recountdb.eventlog.log.epoch import is_standby
from recountdb.eventlog.postgres.database import Database

FILE_BYTES_MAX = 1024

logger = logging.getLogger(__name__)


def use_first_key(settings: Settings, database: Database) -> None:
    """Make the key that the settings name, unless a key was ever made. Raises SettingsInvalid."""
    key = first_key(settings)
    if (
        key is not None
        and not database.read(is_standby)
        and create_first_key(database, key.get_secret_value())
    ):
        logger.info("made the first API key, from the settings; from now on every request needs a key")


def first_key(settings: Settings) -> SecretStr | None:
    """Return the key that the settings hold, or that is in the file they name. Raises SettingsInvalid."""
    if settings.first_key_file is None:
        return settings.first_key
    if settings.first_key is not None:
        raise SettingsInvalid("set either RECOUNT_FIRST_KEY or RECOUNT_FIRST_KEY_FILE, not both")
    try:
        return check_first_key(SecretStr(_read_line(settings.first_key_file)))
    except ValueError as error:
        raise SettingsInvalid(f"the file that RECOUNT_FIRST_KEY_FILE names must hold {error}") from None


def _read_line(path: Path) -> str:
    """Return the content of a small file, without the end of its line. Raises SettingsInvalid."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode("ascii", "replace").rstrip("\r\n")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingsInvalid(f"RECOUNT_FIRST_KEY_FILE: cannot read {path}: {reason}") from None
