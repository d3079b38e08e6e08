"""Shares of what may be under way: each project has its part, and there is room for one more."""

from __future__ import annotations

from recountdb.api.shares import Shares


def taken(shares: Shares, project: str, size: int) -> int:
    """How many pieces of ``size`` the project gets until it is refused."""
    count = 0
    while shares.take(project, size):
        count += 1
    return count


def test_one_project_gets_half_two_a_third_each() -> None:
    shares = Shares(1200)
    assert taken(shares, "a", 100) == 6
    assert taken(shares, "b", 100) == 4
    assert taken(shares, "c", 100) == 2
    assert shares.taken == 1200


def test_what_is_given_back_can_be_taken_again() -> None:
    shares = Shares(1000)
    assert taken(shares, "a", 100) == 5
    shares.give_back("a", 100)
    assert taken(shares, "a", 100) == 1
    for _ in range(5):
        shares.give_back("a", 100)
    assert shares.taken == 0


def test_a_first_piece_may_be_larger_than_a_share() -> None:
    shares = Shares(1000)
    assert shares.take("a", 300)
    assert shares.take("b", 600)
    assert not shares.take("c", 200)
    assert shares.take("c", 100)


def test_what_is_larger_than_all_is_taken_alone() -> None:
    shares = Shares(1000)
    assert shares.take("a", 5000)
    assert not shares.take("b", 1)
    shares.give_back("a", 5000)
    assert shares.take("b", 1)
