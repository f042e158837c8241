"""What was spoken of in a conversation, and the plain signals of it: numbers that need no language model.

They rank beside what the model hears, with weights that are fitted on conversations of real people: see `tuned`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.conversations.mentions import Mention
from recommender.conversations.outside import WorkIndex
from recommender.conversations.taste import REMEMBERED, Taste
from recommender.justify.facts import PEOPLE, role

#: a kind that is named more often weighs no more
_MOST_NAMED = 2
#: the signals by name, in the order of their weights
SIGNALS = (
    "popularity",
    "likeness",
    "company",
    "closest",
    "kinds liked",
    "years liked",
    "people liked",
    "people outside",
    "people named",
    "kinds named",
    "kinds wanted",
)
#: texts -> cosines [texts, items] of each and the items' texts
Likeness = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class SpokenOf:
    """Items and works that were named, in order; how often kinds were named, by whomever and by the user; people; and all
    that the user said."""

    liked: tuple[int, ...]
    outside: tuple[int, ...]
    kinds: Counter[str]
    kinds_wanted: Counter[str]
    people: tuple[str, ...]
    words: str


def spoken_of(
    messages: Sequence[tuple[str, str]],
    mentions: Sequence[Sequence[Mention]],
    works: WorkIndex | None = None,
    unwanted: frozenset[int] = frozenset(),
) -> SpokenOf:
    """Return what messages, (role, text) each, speak of. `unwanted`: items that are disliked, or only asked about."""
    liked: list[int] = []
    outside: list[int] = []
    people: list[str] = []
    kinds, wanted = Counter[str](), Counter[str]()
    for (speaker, _), found in zip(messages, mentions, strict=True):
        for mention in found:
            liked += [item for item in mention.positions if item not in unwanted]
            if works is not None and not mention.items and not mention.facts:
                outside += works.named(mention.text)
            of_kind = [value.casefold() for name, value in mention.facts if role(name) == "kind"]
            kinds.update(of_kind)
            wanted.update(of_kind if speaker == "user" else ())
            people += [value for name, value in mention.facts if role(name) in PEOPLE]
    words = " ".join(text for speaker, text in messages if speaker == "user")
    named, works_named = tuple(dict.fromkeys(liked)), tuple(dict.fromkeys(outside))
    return SpokenOf(named, works_named, kinds, wanted, tuple(dict.fromkeys(people)), words)


def plain_signals(spoken: Sequence[SpokenOf], taste: Taste, likeness: Likeness | None) -> dict[str, np.ndarray]:
    """Return each of `SIGNALS` for each conversation, float32 [conversations, items]."""
    rows = [_of_one(one, taste) for one in spoken]
    found = {name: np.stack([row[name] for row in rows]).astype(np.float32) for name in rows[0]} if rows else {}
    texts = [one.words for one in spoken]
    alike = np.zeros((len(spoken), len(taste.catalogue))) if likeness is None else likeness(texts)
    return {name: alike.astype(np.float32) if name == "likeness" else found[name] for name in SIGNALS}


def _of_one(spoken: SpokenOf, taste: Taste) -> dict[str, np.ndarray]:
    none, liked, outside = np.zeros(len(taste.catalogue)), spoken.liked, spoken.outside[-REMEMBERED:]
    rows = taste.company.rows(liked)
    people = none.copy()
    for person in spoken.people:
        people[taste.people.get(person, [])] += 1
    return {
        "popularity": taste.popularity,
        "company": rows.mean(0) if len(rows) else none,
        "closest": rows.max(0) if len(rows) else none,
        "kinds liked": taste.kinds.like(liked, outside) if liked or outside else none,
        "years liked": -taste.years_apart(liked, outside),
        "people liked": taste.of_people_in(liked[-REMEMBERED:], None),
        "people outside": taste.of_people_in((), outside),
        "people named": people,
        "kinds named": _of_kinds(spoken.kinds, taste),
        "kinds wanted": _of_kinds(spoken.kinds_wanted, taste),
    }


def _of_kinds(counts: Counter[str], taste: Taste) -> np.ndarray:
    total = np.zeros(len(taste.catalogue))
    for kind, count in counts.items():
        total += min(count, _MOST_NAMED) * taste.kinds.any_of((kind,))
    return total
