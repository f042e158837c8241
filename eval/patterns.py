"""Counts the patterns of justifications: what is left of a text without names, values, years and the choice of synonyms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from recommender.eval.spoken_values import pattern_of

_QUOTED = re.compile(r'"[^"]*"(?: \(\d{4}\))?')
_YEAR = re.compile(r"\b(?:the )?(?:1[89]\d\d|20\d\d)s?\b")
#: what a pattern calls a group of words -> the words, as a regular expression; in this order
_SYNONYMS: tuple[tuple[str, str], ...] = (
    (
        "OFFER",
        r"(?:you (?:might|may|could|should|will|can|would) (?:also |well )*(?:like|enjoy|try|love|want|appreciate)"
        r"|(?:we|i) (?:would |also )*(?:suggest|recommend|picked|pick)"
        r"|(?:our|your|the|a) (?:next |natural |good )*(?:pick|suggestion|recommendation|choice)(?: for you)?(?: is)?"
        r"|how about|why not(?: try)?|give|(?:please )?(?:try|consider|watch|see|read|hear))",
    ),
    (
        "FITS",
        r"(?:(?:is|was) (?:our |a |the |an )*(?:good |natural |next |fitting |close )*"
        r"(?:recommended|suggested|pick|suggestion|match|choice|fit)"
        r"|(?:may|might|could|should|would|will)(?: well)? (?:suit|fit|please) you|suits you|fits you)",
    ),
    ("BECAUSE", r"(?:because|since|as|given that|for)(?= you\b)"),
    (
        "YOU-DID",
        r"you(?: have|'ve)?(?: also| already| once| just)* (?:watched|saw|seen|chose|chosen|picked|read|heard|"
        r"played|listened to|liked|loved|enjoyed)",
    ),
    ("DID", r"\b(?:watched|saw|seen|chose|chosen|picked|read|heard|played|listened to|liked|loved|enjoyed)"),
    ("AFTER", r"(?:after|following|with|given)(?= NAME)"),
    ("LIKE", r"(?:much like|just like|such as|like|similar to)"),
    (
        "GOES",
        r"(?:goes well with|goes with|follows|joins|comes after|fits with|fits|matches|go with|lead to|leads to|"
        r"point to|points to)",
    ),
    ("TOO", r",? ?\b(?:too|as well|also)"),
    ("COLON", r"(?::|, (?:as|and|since|because)|;)(?= (?:both|all|they|it)\b)"),
    ("ALL", r"(?:both of them|both|all of them|all|they)"),
    ("IS", r"(?:is|are|was|were)"),
    ("HERE", r"(?:is here|comes up|ranks here)"),
    ("HISTORY", r"(?:from|in) your (?:history|list)"),
    ("FILM", r"(?:films?|movies?|books?|songs?|tracks?|games?|items?|titles?|shows?)"),
)
_COMPILED = tuple(
    (name, re.compile(rf"(?<![\w]){words}(?!\w)" if words[:2] != ",?" and words[:4] != "(?::" else words))
    for name, words in _SYNONYMS
)


class PatternReader:
    """Reduces texts to their patterns. `values`: all that a text may name beside titles."""

    def __init__(self, values: Sequence[str]) -> None:
        self._values = pattern_of({value for value in values if value})

    def pattern(self, text: str) -> str:
        """Return a text with NAME, VALUE and YEAR for what it is about, and one word for each group of synonyms."""
        text = _QUOTED.sub("NAME", text)
        if self._values:
            text = self._values.sub("VALUE", text)
        text = _YEAR.sub("YEAR", text)
        text = text[:1].lower() + text[1:] if not text.startswith(("NAME", "VALUE", "YEAR")) else text
        for name, words in _COMPILED:
            text = words.sub(f" {name}" if name in ("TOO", "COLON") else name, text)
        for one in ("NAME", "VALUE"):  # how many are listed, or stand in a row, makes no other pattern
            text = re.sub(rf"{one}(?:(?:,? and |, | ){one})+", one, text)
        text = re.sub(r"\b(?:a|an|the) (?=VALUE)", "", text)
        return " ".join(text.split())

    def measures(self, texts: Sequence[str], most: int = 10) -> dict[str, Any]:
        """Return the number of distinct patterns, the share of the commonest one, and the commonest with their counts."""
        counts = Counter(map(self.pattern, texts))
        common = counts.most_common(most)
        return {
            "texts": len(texts),
            "patterns": len(counts),
            "commonest_share": common[0][1] / len(texts) if texts else 0.0,
            "commonest": [{"pattern": pattern, "texts": count} for pattern, count in common],
        }
