"""The chain and the checkpoints, against hashes worked out here by hand from their description."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recountdb.domain.errors import VersionConflict
from recountdb.eventlog.integrity.chain import GENESIS, Chain, commitment_to, link_after
from recountdb.eventlog.integrity.checkpoints import (
    audit_path,
    checkpoint_after,
    leaf_hash,
    node_hash,
    tree_hash,
)
from recountdb.eventlog.log.rows import StoredRow

STREAM = UUID("01a1fa82-995b-71d2-8226-548dfde85271")


def row(version: int, *, stream_id: UUID = STREAM, state: bytes = b"{}") -> StoredRow:
    at = datetime(2026, 3, 1, 12, 0, 0, 25, tzinfo=UTC)
    return StoredRow(stream_id, version, "session.renamed", state, project="grüße", recorded_at=at)


def test_a_link_is_the_hash_of_what_is_described() -> None:
    place = STREAM.bytes + (7).to_bytes(8, "big") + (1772366400000025).to_bytes(8, "big")
    place += b"\x00\x0fsession.renamed" + "grüße".encode()
    commitment = sha256(b"salt" + b'{"a":1}').digest()
    assert commitment_to(b"salt", b'{"a":1}') == commitment
    assert link_after(GENESIS, row(7), commitment) == sha256(bytes(32) + place + commitment).digest()


def test_an_instant_before_1970_has_a_link_too() -> None:
    early = row(1)
    early = StoredRow(
        STREAM, 1, early.topic, b"{}", project="p", recorded_at=datetime(1905, 1, 1, tzinfo=UTC)
    )
    assert len(link_after(GENESIS, early, bytes(32))) == 32


class TestChain:
    def test_events_hang_on_those_before_them_in_their_stream(self) -> None:
        other = UUID(int=1)
        rows = [row(1), row(2), row(1, stream_id=other)]
        links = Chain(lambda versions: {}).links_for(rows)
        expected: dict[UUID, bytes] = {}
        for stored, (salt, link) in zip(rows, links, strict=True):
            assert salt is not None
            previous = expected.get(stored.originator_id, GENESIS)
            assert link == link_after(previous, stored, commitment_to(salt, stored.state))
            expected[stored.originator_id] = link
        assert len({salt for salt, _ in links}) == 3

    def test_what_was_kept_is_not_looked_up(self) -> None:
        chain = Chain(lambda versions: pytest.fail(f"looked up {versions}"))
        links = chain.links_for([row(1)])
        chain.keep([row(1)], links)
        assert chain.links_for([row(2)])

    def test_what_was_not_committed_is_not_kept(self) -> None:
        asked: list[dict[UUID, int]] = []

        def find(versions: dict[UUID, int]) -> dict[UUID, bytes]:
            asked.append(versions)
            return dict.fromkeys(versions, b"x" * 32)

        chain = Chain(find)  # type: ignore[arg-type]
        chain.links_for([row(4)])
        chain.links_for([row(5)])
        assert asked == [{STREAM: 3}, {STREAM: 4}]

    def test_a_stream_that_is_not_as_thought_is_a_conflict(self) -> None:
        with pytest.raises(VersionConflict):
            Chain(lambda versions: {}).links_for([row(4)])


def climb(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a path leads to, as RFC 9162 has it in section 2.1.3.2."""
    node, last = index, size - 1
    for sibling in path:
        if node % 2 or node == last:
            leaf = node_hash(sibling, leaf)
            while not node % 2 and node:
                node, last = node >> 1, last >> 1
        else:
            leaf = node_hash(leaf, sibling)
        node, last = node >> 1, last >> 1
    return leaf


class TestTree:
    @given(size=st.integers(1, 70), data=st.data())
    def test_every_path_leads_to_the_root(self, size: int, data: st.DataObject) -> None:
        leaves = [leaf_hash(number, bytes([number]) * 32) for number in range(size)]
        index = data.draw(st.integers(0, size - 1))
        path = audit_path(index, leaves)
        assert climb(leaves[index], index, size, path) == tree_hash(leaves)
        assert len(path) <= (size - 1).bit_length()

    def test_a_tree_of_three(self) -> None:
        one, two, three = (leaf_hash(number, bytes(32)) for number in (1, 2, 3))
        assert tree_hash([one, two, three]) == node_hash(node_hash(one, two), three)
        assert one == sha256(b"\x00" + (1).to_bytes(8, "big") + bytes(32)).digest()
        assert node_hash(one, two) == sha256(b"\x01" + one + two).digest()

    def test_a_digest_depends_on_all_before_it(self) -> None:
        leaves = [(3, bytes(32)), (5, bytes(32))]
        epoch = UUID(int=7)
        first = checkpoint_after(GENESIS, epoch, leaves)
        assert (first.position, first.events) == (5, 2)
        numbers = (5).to_bytes(8, "big") + (2).to_bytes(8, "big")
        assert first.digest == sha256(GENESIS + epoch.bytes + numbers + first.root).digest()
        assert checkpoint_after(first.digest, epoch, leaves).digest != first.digest
        assert checkpoint_after(GENESIS, UUID(int=8), leaves).digest != first.digest
