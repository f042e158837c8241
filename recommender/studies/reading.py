"""The reading test: how much justifications tell, in how many patterns, in what English. Read by the eval room, which sees
item indices, names, values and years."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recommender.data.catalogue import Catalogue
from recommender.eval.grammar_faults import grammar_measures
from recommender.eval.grounding import Grounding, ParsedClaim, Subject
from recommender.eval.patterns import PatternReader
from recommender.eval.telling import TellingReader, Told, telling_measures
from recommender.justify import Justification
from recommender.justify.companions import Companions
from recommender.justify.facts import PEOPLE, facts_of, role, years_of
from recommender.justify.item_names import other_names

#: what eval calls an item's own -> the roles of attributes that hold it
_OWN = {"person": PEOPLE, "series": ("series",), "theme": ("theme", "keyword", "tag", "subject")}


def values_of(catalogue: Catalogue, item: int) -> set[str]:
    """Return the attribute values of an item, without years and decades."""
    facts = facts_of(catalogue, item).items()
    return {value for name, values in facts for value in values if role(name) not in ("year", "decade")}


def subject_of(catalogue: Catalogue, item: int) -> Subject:
    """Return what the eval room knows of an item."""
    years = years_of(facts_of(catalogue, item))
    names = frozenset(other_names(catalogue[item], years))
    return Subject(names, frozenset(values_of(catalogue, item)), frozenset(map(int, years)))


@dataclass(frozen=True)
class Readers:
    """The readers of the texts on one catalogue."""

    subjects: tuple[Subject, ...]
    grounding: Grounding
    telling: TellingReader
    patterns: PatternReader
    proper: tuple[str, ...]
    companions: Companions | None = None

    @classmethod
    def of(cls, catalogue: Catalogue, companions: Companions | None = None, noun: str = "") -> Readers:
        """Index what may be said of a catalogue. `companions`: what many people had together; `noun`: what it holds."""
        subjects = tuple(subject_of(catalogue, item) for item in range(len(catalogue)))
        of_role = _values_by_role(catalogue)
        kinds = of_role.get("kind", set())
        liked = companions is not None and companions.liked
        grounding = Grounding({value for subject in subjects for value in subject.values}, kinds, liked, noun)
        own = {name: set().union(*(of_role.get(one, set()) for one in roles)) for name, roles in _OWN.items()}
        descriptions = [catalogue[item].text for item in range(len(catalogue))]
        proper = tuple(sorted(own["person"] | own["series"]))
        patterns = PatternReader(tuple(sorted(grounding.spoken)))
        return cls(subjects, grounding, TellingReader(subjects, own, descriptions), patterns, proper, companions)

    def claims(self, text: str, item: int, history: Sequence[int]) -> list[ParsedClaim]:
        """Return the claims of a text on an item and the history items that it may name."""
        counted = {} if self.companions is None else dict(self.companions.among(item, list(history)))
        subjects = [self.subjects[other] for other in history]
        return self.grounding.claims(text, self.subjects[item], subjects, [counted.get(other, 0) for other in history])

    def told(self, text: str, item: int, history: Sequence[int]) -> Told:
        """Return what a text tells of an item."""
        return self.telling.read(text, self.claims(text, item, history), item)


def _values_by_role(catalogue: Catalogue) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in range(len(catalogue)):
        for name, values in facts_of(catalogue, item).items():
            found.setdefault(role(name), set()).update(values)
    return found


def read_claims(readers: Readers, justifications: Sequence[Justification]) -> list[list[ParsedClaim]]:
    """Return the claims of each justification, read independently of the product's own checker."""
    return [
        readers.claims(j.text, j.evidence.item, [influence.item for influence in j.evidence.influences])
        for j in justifications
    ]


def reading_measures(
    readers: Readers, justifications: Sequence[Justification], claims: Sequence[Sequence[ParsedClaim]]
) -> dict[str, Any]:
    """Return the measures of reading: what is told, patterns, grammar. `claims`: as `read_claims` returns them."""
    pairs = zip(justifications, claims, strict=True)
    told = [readers.telling.read(j.text, made, j.evidence.item) for j, made in pairs]
    texts = [justification.text for justification in justifications]
    return {
        "telling": telling_measures(told),
        "patterns": readers.patterns.measures(texts),
        "grammar": grammar_measures(texts, readers.proper),
    }
