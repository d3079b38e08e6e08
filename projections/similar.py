"""What a conversation has that is like a text: by the words they share, with no index and no model.

Made for one conversation at a time, which is read for it; what nobody said in the words of the text
is not found to be like it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import log, sqrt

from domain.errors import NotFound
from domain.messages import MessageState, text_of
from eventlog.database import Database
from projections.messages import ConversationKind, page_messages
from projections.paging import Filter, Window

AMONG_MAX = 5000
"""Messages of a conversation, the newest, that are looked at."""

WITHOUT_SPACES = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
WORD = re.compile(rf"[{WITHOUT_SPACES}]|[^\W_{WITHOUT_SPACES}]+")
"""A run of letters and digits; in Chinese and Japanese each character."""


@dataclass(frozen=True)
class SimilarMessage:
    """``similarity``: from 0 (no word in common) to 1 (the same words)."""

    message: MessageState
    similarity: float


def similar_messages(
    database: Database,
    project: str,
    kind: ConversationKind,
    name: str,
    text: str,
    *,
    scope: str = "",
    limit: int = 10,
) -> list[SimilarMessage]:
    """The messages of a conversation that are most like ``text``, the likest first, then the newest.

    Also such that are not like it at all, where there are no others. Empty where there is no such
    conversation.
    """
    newest = Window(limit=AMONG_MAX, order="newest")
    try:
        messages = page_messages(database, project, kind, name, newest, Filter(scope=scope)).items
    except NotFound:
        return []
    found = map(SimilarMessage, messages, similarities(text, [text_of(m.content) for m in messages]))
    return sorted(found, key=lambda similar: -similar.similarity)[:limit]


def similarities(text: str, others: Sequence[str]) -> list[float]:
    """How similar ``text`` is to each of ``others``: the cosine between their words.

    A word weighs the more, the fewer of ``others`` have it; how often one has it does not count.
    """
    asked, said = words_of(text), [words_of(other) for other in others]
    spread = Counter(chain.from_iterable(said))
    weights = {word: log(1 + len(others) / (spread[word] or 1)) ** 2 for word in asked | spread.keys()}

    def weight(words: frozenset[str]) -> float:
        return sum(sorted(map(weights.__getitem__, words)))

    whole = weight(asked)
    return [weight(asked & words) / sqrt(whole * weight(words)) if asked and words else 0.0 for words in said]


def words_of(text: str) -> frozenset[str]:
    return frozenset(WORD.findall(text.casefold()))
