"""StreamEvent streams as the HTML standard has them, in pieces of any size."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recountdb.api.protocols.responder.event_stream import EventReader, StreamEvent


def read(parts: Sequence[bytes]) -> list[StreamEvent]:
    events = EventReader()
    found = [event for part in parts for event in events.feed(part)]
    return [*found, *events.end()]


def message(data: str) -> StreamEvent:
    return StreamEvent("message", data)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ("data: a\n\ndata: b\n\n", [message("a"), message("b")]),
        ("data: a\r\n\r\ndata:b\r\rdata:  c\n\n", [message("a"), message("b"), message(" c")]),
        ("\ufeffdata: a\n\n", [message("a")]),
        ("data: \ufeffa\n\n", [message("\ufeffa")]),
        (": comment\n\ndata: a\n: more\ndata: b\n\n", [message("a\nb")]),
        ("event: ping\n\ndata: a\n\n", [message("a")]),
        ("event: x\ndata: a\nid: 1\nretry: 5\nodd\n\n", [StreamEvent("x", "a")]),
        ("data\ndata\n\n", [message("\n")]),
        (
            "data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n",
            [message("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg")],
        ),
        ("data: a", [message("a")]),
        ("data: a\r", [message("a")]),
        ("", []),
        ("\n\n\n", []),
    ],
)
def test_events(stream: str, expected: list[StreamEvent]) -> None:
    raw = stream.encode()
    assert read([raw]) == expected
    assert read([raw[place : place + 1] for place in range(len(raw))]) == expected


def test_what_is_no_utf_8_costs_no_more_than_itself() -> None:
    assert read([b"data: a\xffb\n\n"]) == [message("a\ufffdb")]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n"), max_size=5), min_size=1, max_size=4),
    st.sampled_from(["\r", "\n", "\r\n"]),
    st.data(),
)
def test_however_it_is_cut(lines: list[str], end: str, data: st.DataObject) -> None:
    raw = ("".join(f"data: {line}{end}" for line in lines) + end).encode(errors="replace")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    parts = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert read(parts) == read([raw])
