"""Grammar faults of justifications by the rules of Harper, a free checker that works offline, without a server or Java.

Names, values and years are masked by plain English ones before, so that "Se7en" is no fault. Spelling and style are left
out: they are no faults of grammar.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from recommender.errors import RecommenderError, import_extra
from recommender.eval.spoken_values import pattern_of

_QUOTED = re.compile(r'"[^"]*"')
#: rules of spelling and style, and those that judge what was masked
_NO_GRAMMAR = frozenset(
    """SpellCheck LongSentences OxfordComma QuoteSpacing UseTitleCase ProperNouns OrthographicConsistency Dashes
    EllipsisLength BoringWords FillerWords AvoidCurses Spaces NoFrenchSpaces UnclosedQuotes CompoundNouns SplitWords
    MergeWords OpenCompounds CommaFixes Regionalisms MassNouns""".split()
)
#: what stands for a name, and for a person or any other proper value
_NAME, _PROPER = '"Alexander"', "Robert Miller"


class GrammarRules:
    """Finds grammar faults in English texts. `proper`: values that are names, such as those of people."""

    def __init__(self, proper: Sequence[str] = ()) -> None:
        """Raises RecommenderError if the library is not installed."""
        self._linter = import_extra("harper", "the count of grammar faults", "eval").Linter()
        self._proper = pattern_of({value for value in proper if value[:1].isupper()})

    def faults(self, text: str) -> list[tuple[str, str, str]]:
        """Return (rule, message, words) of every fault of a text; names in the words are masked."""
        masked = self.masked(text)
        found = self._linter.organized_lints(masked, language="plaintext")
        return [
            (rule, lint.message, _around(masked, lint.span.start, lint.span.end))
            for rule, lints in found.items()
            if rule not in _NO_GRAMMAR
            for lint in lints
        ]

    def masked(self, text: str) -> str:
        """Return a text in which every name is one plain English name."""
        parts = re.split(r'("[^"]*")', text)
        return "".join(_NAME if _QUOTED.fullmatch(part) else self._plain(part) for part in parts)

    def _plain(self, part: str) -> str:
        return self._proper.sub(_PROPER, part) if self._proper else part


def _around(text: str, start: int, end: int, margin: int = 24) -> str:
    return f"{text[max(start - margin, 0) : start]}[{text[start:end]}]{text[end : end + margin]}".strip()


def grammar_measures(texts: Sequence[str], proper: Sequence[str], most: int = 20) -> dict[str, Any]:
    """Return faults per 100 sentences, and each rule that fired with its count and an example.

    Without the library: why it is not measured.
    """
    try:
        rules = GrammarRules(proper)
    except RecommenderError as error:  # an extra
        return {"not measured": error.message}
    counts: Counter[str] = Counter()
    examples: dict[str, dict[str, str]] = {}
    for text, (rule, message, words) in _all(rules, texts):
        counts[rule] += 1
        examples.setdefault(rule, {"message": message, "words": words, "text": text})
    return {
        "library": f"harper-py {version('harper-py')}",
        "per_100_sentences": 100 * counts.total() / max(len(texts), 1),
        "rules": [{"rule": rule, "faults": count, **examples[rule]} for rule, count in counts.most_common(most)],
    }


def _all(rules: GrammarRules, texts: Sequence[str]) -> Iterator[tuple[str, tuple[str, str, str]]]:
    for text in texts:
        for fault in rules.faults(text):
            yield text, fault
