"""What is chosen with a view to what was chosen before."""

from __future__ import annotations

from typing import Any

import pytest

from recountdb.projections.queries.search import DIVERSE_MAX, Ranked, compare_words, diversify


def ranked(score: float, *words: str) -> Ranked:
    message: Any = words
    return Ranked(message, score, frozenset(words))


SAME = ranked(0.9, "green", "tea")
NEARLY = ranked(0.8, "green", "tea", "now")
OTHER = ranked(0.3, "milk")
FOUND = [SAME, NEARLY, OTHER]


@pytest.mark.parametrize(
    ("weight", "order"), [(1, FOUND), (0.5, [SAME, OTHER, NEARLY]), (0, [SAME, OTHER, NEARLY])]
)
def test_weight(weight: float, order: list[Ranked]) -> None:
    assert diversify(FOUND, None, weight=weight) == order
    assert diversify(FOUND, 2, weight=weight) == order[:2]


def test_the_best_comes_first_whatever_the_weight() -> None:
    assert diversify([SAME, OTHER], 1, weight=-1) == [SAME]


def test_none_and_nothing() -> None:
    assert diversify([], 5, weight=0.5) == []
    assert diversify(FOUND, 0, weight=0.5) == []


def test_those_beyond_keep_their_order() -> None:
    many = [ranked(1 - n / 1000, f"word{n}") for n in range(DIVERSE_MAX + 50)]
    assert diversify(many, None, weight=0.5) == many


def test_alikeness() -> None:
    assert compare_words(frozenset("ab"), frozenset("ab")) == pytest.approx(1)
    assert compare_words(frozenset("ab"), frozenset("bc")) == pytest.approx(0.5)
    assert compare_words(frozenset("ab"), frozenset("c")) == 0
    assert compare_words(frozenset(), frozenset()) == 0
