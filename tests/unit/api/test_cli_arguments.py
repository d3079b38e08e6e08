"""Parsing of what is typed on the command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from recountdb.api.cli.arguments import (
    choose_name,
    parse_age,
    parse_instant,
    parse_metadata,
    parse_moment,
    parse_speed,
    parse_stream_id,
    parse_user_id,
    require_name,
)
from recountdb.domain.commands.base import Name
from recountdb.domain.errors import InvalidInput
from recountdb.projections.queries.history import AsOf

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_moment, "7", AsOf(version=7)),
        (parse_moment, "2026-11-20T12:00:00Z", AsOf(moment=NOON)),
        (parse_instant, "2026-11-20T13:00:00+01:00", NOON),
        (parse_instant, None, None),
        (parse_age, "30d", 30.0),
        (parse_age, "12h", 0.5),
        (parse_age, "36m", 0.025),
        (parse_speed, "10x", 10.0),
        (parse_speed, "0.5", 0.5),
        (parse_speed, "max", 0.0),
        (parse_metadata, '{"city": "Lisbon"}', {"city": "Lisbon"}),
        (parse_metadata, None, None),
        (parse_stream_id, None, None),
        (parse_user_id, "ana", "ana"),
    ],
)
def test_what_is_meant(parse: Callable[[Any, str], Any], text: str | None, value: object) -> None:
    assert parse(text, "--option") == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_moment, "now"),
        (parse_moment, "\N{ARABIC-INDIC DIGIT SEVEN}"),
        (parse_instant, "yesterday"),
        (parse_age, "30"),
        (parse_age, "-1d"),
        (parse_speed, "fast"),
        (parse_speed, "1000001"),
        (parse_metadata, "[]"),
        (parse_metadata, "{"),
        (parse_stream_id, "x"),
        (parse_user_id, ""),
    ],
)
def test_a_refusal_names_the_option(parse: Callable[[Any, str], Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^--option: "):
        parse(text, "--option")


def test_one_name_of_its_kind_and_scope() -> None:
    def choose(**named: str | None) -> Name | None:
        return choose_name("default", named, "flow", what="purge", advice="name one")

    assert choose(session=None, user=None) is None
    assert choose(session="trip", user=None) == Name("default", "session", "flow", "trip")
    assert choose(session=None, user="ana") == Name("default", "user", "", "ana")
    with pytest.raises(InvalidInput, match=r"^purge: name one$"):
        choose(session="trip", user="ana")
    with pytest.raises(InvalidInput, match=r"^hold: name one session, thread or user$"):
        require_name("default", {"session": None}, "", what="hold")
