"""How alike two texts are: by their words, the rarer the more."""

from __future__ import annotations

import pytest

from domain.messages import text_of
from projections.similar import similarities


def ranked(text: str, *others: str) -> list[str]:
    found = zip(similarities(text, others), others, strict=True)
    return [other for _, other in sorted(found, key=lambda pair: -pair[0])]


def test_the_same_words_are_alike_in_any_case_order_and_dress() -> None:
    assert similarities("Fly to Lisbon!", ["to LISBON, fly"]) == pytest.approx([1.0])


def test_no_common_word_is_no_similarity() -> None:
    assert similarities("Lisbon", ["Porto", "", "…"]) == [0.0, 0.0, 0.0]


def test_what_has_no_words_is_like_nothing() -> None:
    assert similarities("?!", ["Lisbon", "?!"]) == [0.0, 0.0]


def test_nothing_is_compared_with_nothing() -> None:
    assert similarities("Lisbon", []) == []


def test_a_rare_word_counts_for_more_than_a_common_one() -> None:
    others = [*(f"what is the {noun}" for noun in ("time", "news", "hurry", "matter", "plan"))]
    others.append("the plane goes to Lisbon")
    assert ranked("what is in Lisbon", *others)[0] == "the plane goes to Lisbon"


def test_the_less_is_said_besides_the_more_alike() -> None:
    assert ranked("Lisbon", "Lisbon or Porto or Faro", "Lisbon now") == [
        "Lisbon now",
        "Lisbon or Porto or Faro",
    ]


def test_all_lies_between_0_and_1() -> None:
    texts = ["a", "a b", "a b c", "b c d e", "", "a a a", "日本語のテキスト", "日本"]
    for text in texts:
        assert all(0 <= similarity <= 1 + 1e-9 for similarity in similarities(text, texts))


def test_where_words_are_written_without_spaces_each_character_counts() -> None:
    assert ranked("京都", "大阪へ行きます", "明日、京都へ行きます")[0] == "明日、京都へ行きます"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a\nb", "a\nb"),
        ("", ""),
        (None, ""),
        (["a", {"type": "text", "text": "b"}, {"type": "image", "url": "u"}, 7, {"text": 8}], "a\nb"),
        ([], ""),
    ],
)
def test_what_can_be_read_of_a_content(content: object, text: str) -> None:
    assert text_of(content) == text  # type: ignore[arg-type]
