"""Statements by name, and the parts that several of them read."""

from __future__ import annotations

import pytest

from recountdb.eventlog.postgres.statements import statements_in

TEXT = """-- What it is about; none of this is in a statement.

-- part: and_asked_for
   AND (%(role)s::text IS NULL OR role = %(role)s)
   AND (%(name)s::text IS NULL OR name = %(name)s);

-- name: count_words
-- Of all.
SELECT count(*) FROM words;

-- name: select_words
SELECT word
  FROM words
 WHERE length > 1
   -- here: and_asked_for
 ORDER BY word;

-- name: select_first_word
SELECT min(word)
  FROM words
 WHERE true
   -- here: and_asked_for
;
"""


def test_statements_have_their_names_and_no_semicolon() -> None:
    statements = statements_in(TEXT)
    assert list(statements) == ["count_words", "select_words", "select_first_word"]
    assert statements["count_words"] == "-- Of all.\nSELECT count(*) FROM words"


def test_a_part_is_read_wherever_it_is_to_be() -> None:
    statements = statements_in(TEXT)
    part = """   AND (%(role)s::text IS NULL OR role = %(role)s)
   AND (%(name)s::text IS NULL OR name = %(name)s)
"""
    assert statements["select_words"] == (
        f"SELECT word\n  FROM words\n WHERE length > 1\n{part} ORDER BY word"
    )
    assert statements["select_first_word"] == f"SELECT min(word)\n  FROM words\n WHERE true\n{part}".rstrip()


def test_a_part_that_is_not_there_is_told() -> None:
    with pytest.raises(KeyError, match="and_sked_for"):
        statements_in(TEXT.replace("-- here: and_asked_for", "-- here: and_sked_for", 1))


def test_a_part_may_insert_another() -> None:
    text = TEXT.replace("-- here: and_asked_for", "-- here: and_long") + (
        "\n-- part: and_long\n   AND length > 2\n   -- here: and_asked_for;\n"
    )
    assert "AND length > 2\n   AND (%(role)s" in statements_in(text)["select_words"]


def test_parts_may_come_from_elsewhere() -> None:
    parts = {"and_asked_for": "   AND word = 'given'"}
    assert "word = 'given'" in statements_in(TEXT, parts)["select_words"]
