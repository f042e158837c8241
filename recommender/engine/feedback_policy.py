"""What an engine does about feedback: what is not shown to a person again, not claimed again, and how it is explained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recommender.errors import DataError
from recommender.justify import ClaimChecker
from recommender.justify.adapting import ExplanationTaste, Helpful
from recommender.justify.english import neutral_words
from recommender.justify.facts import facts_of
from recommender.store.feedback import FeedbackStore
from recommender.store.opinions import Fact, Feedback, KeepsFeedback


class FeedbackPolicy:
    """Feedback over one catalogue. Without a store there is none, and everything is as the catalogue says."""

    def __init__(self, checker: ClaimChecker, votes: int = 1, adapts: bool = True) -> None:
        """`checker`: that of the whole catalogue; `votes`: people who must call a fact wrong before nobody is told it.

        `adapts`: whether justifications follow what each person found helpful.
        """
        self.full_checker, self.votes, self.adapts = checker, votes, adapts
        self.store: KeepsFeedback | None = None
        self._current: tuple[dict[int, frozenset[Fact]], ClaimChecker] = ({}, checker)

    def keep_in(self, path: Path) -> None:
        """Follow a file of feedback, which need not be there yet. Raises DataError if it cannot be one."""
        self.follow(FeedbackStore(path))

    def follow(self, store: KeepsFeedback) -> None:
        """Follow feedback that is kept somewhere."""
        self.store = store

    def take(self, feedback: Feedback, noun: str) -> Feedback:
        """Keep what somebody said and return it with the facts that it is about.

        Raises DataError for an unknown item, for a fact that it does not have, and if feedback is not kept here.
        """
        if self.store is None:
            raise DataError("feedback is not kept here", "name a file for it: --feedback FILE")
        item = self.full_checker.catalogue.index(feedback.item_id)
        facts = self._known_facts(item, feedback.facts) or self._facts_in(item, feedback.justification or "", noun)
        if feedback.justification and not facts and feedback.opinion == "wrong":
            raise DataError("the sentence tells no fact of this item", "name the fact that is wrong")
        return self.store.add(feedback.model_copy(update={"facts": facts}))

    def _known_facts(self, item: int, facts: Sequence[Fact]) -> tuple[Fact, ...]:
        known = facts_of(self.full_checker.catalogue, item)
        for name, value in facts:
            if value not in known.get(name, ()):
                facts_known = "; ".join(f"{n}={v}" for n, values in known.items() for v in values)
                hint = f"what is known of it: {facts_known or 'nothing'}"
                raise DataError(f"nothing says {name}={value} of this item", hint)
        return tuple(facts)

    def _facts_in(self, item: int, sentence: str, noun: str) -> tuple[Fact, ...]:
        """Return the facts of an item that stand in a sentence."""
        known = facts_of(self.full_checker.catalogue, item)
        spans = self.full_checker.vocabulary.spans(sentence, neutral_words(noun))
        stated = {fact for span in spans if span.kind == "value" for fact in span.facts}
        return tuple((n, v) for n, values in known.items() for v in values if (n, v) in stated)

    def refused(self, user: str | None) -> list[int]:
        """Return the items that this person does not want to be shown."""
        if self.store is None or user is None:
            return []
        self.store.refresh()
        catalogue = self.full_checker.catalogue
        return [catalogue.index(name) for name in sorted(self.store.refused_items(user)) if name in catalogue]

    def checker(self) -> ClaimChecker:
        """Return the checker, and with it the catalogue, for which the facts that were called wrong are not so."""
        if self.store is None:
            return self.full_checker
        self.store.refresh()
        catalogue = self.full_checker.catalogue
        wrong = {catalogue.index(n): facts for n, facts in self.store.wrong_facts(self.votes).items() if n in catalogue}
        if wrong != self._current[0]:
            self._current = (wrong, self.full_checker.withholding(wrong))
        return self._current[1]

    def taste(self, user: str | None) -> ExplanationTaste:
        """Return what this person found helpful in justifications; nothing where that is not to count."""
        marks: list[Helpful] = []
        if self.adapts and self.store is not None and user is not None:
            self.store.refresh()
            marks = [Helpful(attributes, text) for attributes, text in self.store.helpful_texts(user)]
        return ExplanationTaste.of(user or "", marks)
