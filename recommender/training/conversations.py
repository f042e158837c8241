"""Conversations as training examples: what was said with its items behind their names, what suits there, and readings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from recommender.conversations.hearing import asked_about, heard, suggested
from recommender.conversations.made import MadeConversation, MadeTurn
from recommender.conversations.making import ConversationMaker
from recommender.conversations.mentions import Mention, MentionFinder
from recommender.conversations.wishes import NOTHING, Wish
from recommender.prompting.conversation import ConversationPrompts, Expected, HeardTurn, ReadMention, Supervision
from recommender.prompting.example import Example

#: likeliest items that are learned at each place
MOST = 300
#: what suits is learned sharper than it is, for lists are judged by their first places
SHARPNESS = 1.5
#: share of what suits that is given to what the seeker really had besides: where they speak, and where only items tell
OWN_SHARE, OWN_SHARE_SILENT = 0.05, 0.3
#: positions of the longest example
LONGEST = 600
#: share of the places that have a reading, of the items known beforehand that have something behind them
_READ, _READ_BRIEF, _KNOWN = 0.7, 0.15, 0.5
#: texts -> likeness [texts, items]: how much more than others an item's text is like each
Likeness = Callable[[Sequence[str]], np.ndarray]
Told = tuple[Sequence[HeardTurn], Sequence[int], Supervision]
"""Turns of a conversation, the history of whom speaks, and what is learned at each place."""


class MadeExamples:
    """Made-up conversations as examples.

    `memory`: where what was made is kept, by the state of the generator, for others that show the same conversations in
    another way.
    """

    memory: dict[str, tuple[list[Told], Mapping[str, Any]]] | None = None

    def __init__(
        self,
        maker: ConversationMaker,
        finder: MentionFinder,
        builder: ConversationPrompts,
        likeness: Likeness | None = None,
        identity: str = "",
    ) -> None:
        """`likeness`: of what was said and the items' texts. `identity`: what else the conversations depend on."""
        self.maker, self.finder, self.builder, self.likeness = maker, finder, builder, likeness
        self.identity = hashlib.sha256(identity.encode()).hexdigest()

    @property
    def prefix(self) -> np.ndarray:
        """Token ids [positions] of the instruction that conversations with nobody known share."""
        return self.builder.prefix

    def examples(self, count: int, random: np.random.Generator) -> list[Example]:
        """Return so many conversations as examples; of those that would be too long none."""
        examples = [self.builder.example(*told) for told in self._told(count, random)]
        return [example for example in examples if len(example) <= LONGEST]

    def _told(self, count: int, random: np.random.Generator) -> list[Told]:
        if self.memory is None:
            return self._made(count, random)
        key = f"{count} {random.bit_generator.state}"
        if key not in self.memory:
            self.memory[key] = self._made(count, random), random.bit_generator.state
        made, random.bit_generator.state = self.memory[key]
        return made

    def _made(self, count: int, random: np.random.Generator) -> list[Told]:
        made = list(islice(self.maker.conversations(random.integers(1 << 62, size=2).tolist()), count))
        texts = [conversation.said(place) for conversation in made for place, _ in conversation.wishes]
        likeness = iter(_in_parts(self.likeness, texts)) if self.likeness else None
        told = []
        for conversation in made:
            rows = [None if likeness is None else next(likeness) for _ in conversation.wishes]
            told.append(self._supervised(conversation, rows, random))
        return told

    def _supervised(
        self, made: MadeConversation, likeness: Sequence[np.ndarray | None], random: np.random.Generator
    ) -> Told:
        mentions = [self.finder.find(turn.text) for turn in made.turns]
        turns = [heard(turn.role, turn.text, found) for turn, found in zip(made.turns, mentions, strict=True)]
        pairs = zip(made.wishes, likeness, strict=True)
        is_silent = len(made.turns) == 1 and bool(made.profile)
        items = {place: self._expected(wish, made.left, row, is_silent, made.brief) for (place, wish), row in pairs}
        read = _READ_BRIEF if made.brief else _READ
        readings = {
            place: _reading(made.turns[:place], mentions[:place]) for place, _ in made.wishes if random.random() < read
        }
        known = [n for n in range(1, len(made.profile)) if random.random() < _KNOWN]
        profile = {n: self._expected(_known(made.profile[:n]), made.left, None, is_silent=True) for n in known}
        return turns, made.profile, Supervision(items, readings, profile)

    def _expected(
        self,
        wish: Wish,
        left: Sequence[int],
        likeness: np.ndarray | None,
        is_silent: bool = False,
        is_bare: bool = False,
    ) -> Expected:
        """Return the likeliest items: by taste, and what the seeker really had, as far as it suits.

        `is_bare`: without popularity, so that what the words mean is learned of all items and not of the popular ones.
        """
        scores = SHARPNESS * self.maker.taste.scores(wish, likeness, popular=not is_bare)
        if not np.isfinite(scores).any():  # everything was named
            scores = np.zeros_like(scores)
        likely = np.exp(scores - scores.max())
        likely /= likely.sum()
        own = np.zeros_like(likely)
        own[list(left)] = np.sqrt(likely[list(left)])  # of what the taste finds unlikely, some was had all the same
        share = OWN_SHARE_SILENT if is_silent else OWN_SHARE
        if (total := own.sum()) > 0:
            likely = (1 - share) * likely + share * own / total
        most = min(MOST, len(likely))
        best = np.argpartition(-likely, most - 1)[:most]
        return best.astype(np.int64), (likely[best] / likely[best].sum()).astype(np.float32), is_bare


def _known(profile: Sequence[int]) -> Wish:
    return Wish(liked=list(profile), named=set(profile))


def _reading(turns: Sequence[MadeTurn], mentions: Sequence[Sequence[Mention]]) -> list[ReadMention]:
    """Return what is meant by each name of a suggestion before, by each name and value of the last message, and by that."""
    said = turns[-1]
    before = suggested(turns[-2].role, mentions[-2]) if len(turns) > 1 else ()
    meant = [said.reaction for _ in before] + [said.meant_at(m.start, m.end) for m in mentions[-1]] + [said.act]
    asked = asked_about([*before, *mentions[-1]])
    return [
        replace(one, meant=meaning if meaning in one.choices else NOTHING)
        for one, meaning in zip(asked, meant, strict=True)
    ]


def _in_parts(likeness: Likeness, texts: Sequence[str], at_once: int = 64) -> Iterator[np.ndarray]:
    """Yield the likeness of each text; texts of like length are read together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows: dict[int, np.ndarray] = {}
    for start in range(0, len(order), at_once):
        part = order[start : start + at_once]
        rows |= dict(zip(part, likeness([texts[i] for i in part]).astype(np.float16), strict=True))
    for number in range(len(texts)):
        yield rows[number].astype(np.float32)
