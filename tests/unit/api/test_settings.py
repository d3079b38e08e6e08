"""Settings: what counts as one, and what is said of those that cannot be taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recountdb.api.services.first_key import first_key
from recountdb.api.settings import Settings, read_settings
from recountdb.api.settings.environment import is_injected, suggestion
from recountdb.api.settings.errors import SettingsInvalid
from recountdb.eventlog.postgres import programs

KEY = "rk_0123abcd_" + "x" * 43


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("RECOUNT_"):
            monkeypatch.delenv(name)


SERVICE_LINKS = {
    "RECOUNT_SERVICE_HOST": "10.96.0.7",
    "RECOUNT_SERVICE_PORT": "8000",
    "RECOUNT_SERVICE_PORT_HTTP": "8000",
    "RECOUNT_PORT": "tcp://10.96.0.7:8000",
    "RECOUNT_PORT_8000_TCP": "tcp://10.96.0.7:8000",
    "RECOUNT_PORT_8000_TCP_PROTO": "tcp",
    "RECOUNT_PORT_8000_TCP_PORT": "8000",
    "RECOUNT_PORT_8000_TCP_ADDR": "10.96.0.7",
}
"""What Kubernetes sets for a Service named ``recount``."""


def links_of(service: str) -> dict[str, str]:
    return {name.replace("RECOUNT_", service, 1): value for name, value in SERVICE_LINKS.items()}


@pytest.mark.parametrize(
    "variables",
    [
        SERVICE_LINKS,
        links_of("RECOUNT_API_"),
        links_of("RECOUNT_DB_POSTGRESQL_HL_"),
        links_of("RECOUNT_TEST_"),
        {"RECOUNT_PORT": "tcp://[fd00::7]:8000"},
        {"RECOUNT_PORT": "udp://10.96.0.7:53", "RECOUNT_PORT_53_UDP_ADDR": "10.96.0.7"},
        {"RECOUNT_URL": "http://recount:8000", "RECOUNT_API_KEY": KEY},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_what_is_set_for_others_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    expected = read_settings()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert read_settings() == expected
    assert read_settings().port == 8000
    assert read_settings(port=9000).port == 9000


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - {"first_key", "first_key_file"}))
def test_an_empty_variable_sets_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    expected = read_settings()
    monkeypatch.setenv(f"RECOUNT_{name.upper()}", "")
    assert read_settings() == expected


def test_a_port_is_still_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOUNT_PORT", "8123")
    assert read_settings().port == 8123


@pytest.mark.parametrize(
    ("name", "value"),
    [("RECOUNT_API_PORT", "8000"), ("RECOUNT_PORTS", "tcp://10.0.0.1:80"), ("RECOUNT_SERVICE", "x")],
)
def test_what_only_looks_like_it_is_not_passed_over(name: str, value: str) -> None:
    assert not is_injected(name, value)


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("RECOUNT_PROT", "1", "unknown setting RECOUNT_PROT: did you mean RECOUNT_PORT?"),
        ("RECOUNT_LOGLEVEL", "1", "unknown setting RECOUNT_LOGLEVEL: did you mean RECOUNT_LOG_LEVEL?"),
        ("RECOUNT_DATABASE", "1", "unknown setting RECOUNT_DATABASE: did you mean RECOUNT_DATABASE_URL?"),
        ("RECOUNT_PORT", "many", "RECOUNT_PORT must be a whole number"),
        ("RECOUNT_PORT", "70000", "RECOUNT_PORT must be 65535 or less"),
        ("RECOUNT_WORKERS", "0", "RECOUNT_WORKERS must be 1 or more"),
        ("RECOUNT_PURGE_SECONDS", "0", "RECOUNT_PURGE_SECONDS must be more than 0"),
        ("RECOUNT_RETENTION_DAYS", "soon", "RECOUNT_RETENTION_DAYS must be a number or forever"),
        ("RECOUNT_DEBUG", "perhaps", "RECOUNT_DEBUG must be true or false"),
        ("RECOUNT_LOG_LEVEL", "loud", "RECOUNT_LOG_LEVEL must be one of debug, info, warning or error"),
        (
            "RECOUNT_PROTOCOLS",
            "zpe",
            "RECOUNT_PROTOCOLS: each entry must be one of zep, langmem, motorhead, langflow or langflux",
        ),
        ("RECOUNT_MOTORHEAD_PREFIX", "a b", "RECOUNT_MOTORHEAD_PREFIX must be a path, such as /memory"),
        ("RECOUNT_CHECKPOINT_SECONDS", "inf", "RECOUNT_CHECKPOINT_SECONDS must be a finite number"),
        ("RECOUNT_RETENTION_DAYS", "nan", "RECOUNT_RETENTION_DAYS must be a finite number or forever"),
        (
            "RECOUNT_ROOT_PATH",
            "/a/../b",
            "RECOUNT_ROOT_PATH must be a path of letters, digits and . _ ~ -, such as /memory",
        ),
        *(
            (name, value, f"{name} must be an address such as http://127.0.0.1:7860, without a query")
            for name in ("RECOUNT_RESPONDER_URL", "RECOUNT_LANGFLOW_UPSTREAM", "RECOUNT_LANGFLUX_UPSTREAM")
            for value in ("localhost:7860", "http://", "ftp://host/", "http://host/v1?key=secret")
        ),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, refusal: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid) as refused:
        read_settings()
    assert str(refused.value) == refusal


def test_a_name_that_is_near_none_gets_no_suggestion() -> None:
    known = {f"RECOUNT_{name.upper()}" for name in Settings.model_fields}
    assert "did you mean" not in suggestion("RECOUNT_XYZZY", known)


@pytest.mark.parametrize(
    "value", ["", "short", "x" * 23, "x" * 257, "x" * 30 + " ", "é" * 30, "x" * 30 + "\n"]
)
def test_a_first_key_of_another_form_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    (tmp_path / "key").write_text(value + "\n " if value.endswith("\n") else value)
    monkeypatch.setenv("RECOUNT_FIRST_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsInvalid, match="must hold 24 to 256 characters") as from_file:
        first_key(read_settings())
    monkeypatch.setenv("RECOUNT_FIRST_KEY", value)
    with pytest.raises(SettingsInvalid, match="RECOUNT_FIRST_KEY must be 24 to 256 characters") as refused:
        read_settings()
    for refusal in (refused, from_file):
        assert value == "" or value not in str(refusal.value)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
def test_a_first_key_is_read_from_a_file(tmp_path: Path, ending: str) -> None:
    (tmp_path / "key").write_bytes((KEY + ending).encode())
    found = first_key(Settings(first_key_file=tmp_path / "key"))
    assert found is not None
    assert found.get_secret_value() == KEY
    assert KEY not in repr(Settings(first_key=found))


def test_a_first_key_that_cannot_be_read_or_is_named_twice(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"cannot read .*nothing: No such file"):
        first_key(Settings(first_key_file=tmp_path / "nothing"))
    both = Settings.model_validate({"first_key": KEY, "first_key_file": tmp_path / "key"})
    with pytest.raises(SettingsInvalid, match="not both"):
        first_key(both)


def test_programs_for_administrators_are_found_where_path_leaves_them_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    useradd = tmp_path / "useradd"
    useradd.write_text('#!/bin/sh\necho "$PATH for $*" >&2\n')
    useradd.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(programs, "ADMIN_PATHS", (str(tmp_path), "/usr/sbin"))
    said = programs.add_service_user()
    assert said.startswith(f"/nowhere:{tmp_path}:/usr/sbin for --system")
