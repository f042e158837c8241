"""The checker: whatever a justification says must be true of the item, of the history and of what moved the score.

Every word of a sentence is part of a name, part of an attribute's value, a cue that says which attribute is meant, or a
plain word that claims nothing. Any other word says something that nobody can verify here, so the sentence fails: a plain
true one always stands ready. In doubt a claim must hold for every item that the sentence names.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from recommender.data.catalogue import Catalogue
from recommender.justify.english import PRONOUNS, RESEMBLING, SHARING, neutral_words
from recommender.justify.evidence import Evidence
from recommender.justify.facts import facts_of, role, years_of
from recommender.justify.grammar import grammar
from recommender.justify.item_names import DOUBLE_QUOTES, display_name, forms, other_names
from recommender.justify.vocabulary import Span, Vocabulary

_QUOTED = re.compile(f"([{DOUBLE_QUOTES}])([^{DOUBLE_QUOTES}]+)([{DOUBLE_QUOTES}])")
LONGEST = 600
MOST_WORDS = 60
_BREAKS = frozenset(",;:—–") | frozenset(("because", "since", "so", "which", "when"))
_STOPS = frozenset(".!?…")
#: what may stand between a cue and its value, and between the values of one list
_TO_VALUE = frozenset(("by", "the", "of", "is", "are", "a", "an", "both", "in", "with", ":"))
_IN_LIST = frozenset(("and", ",", "or", "by", "the"))


@dataclass(frozen=True)
class Claim:
    """One thing that a sentence says. `kind`: title, an attribute's name, role, deed, resemblance, word (which cannot be
    checked) or form."""

    kind: str
    text: str
    true: bool
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether a sentence may be shown, all that it claims, and the first thing that is wrong with it."""

    ok: bool
    claims: tuple[Claim, ...] = ()
    reason: str = ""


class ClaimChecker:
    """Checks sentences against one catalogue; built once."""

    def __init__(self, catalogue: Catalogue, phrases: Mapping[str, str] | None = None) -> None:
        """Index every name and every attribute value of the catalogue. `phrases`: attribute -> how it is said."""
        self.catalogue = catalogue
        self.vocabulary = Vocabulary(catalogue, phrases)

    def withholding(self, facts: Mapping[int, frozenset[tuple[str, str]]]) -> ClaimChecker:
        """Return a checker to which these (attribute, value) pairs of these items are not so."""
        other = copy.copy(self)
        other.catalogue = self.catalogue.withholding(facts)
        other.vocabulary = self.vocabulary.withholding(other.catalogue, facts)
        return other

    def check(self, sentence: str, evidence: Evidence, noun: str = "items", most_words: int = MOST_WORDS) -> Verdict:
        """Find every claim in `sentence` and verify it. `noun`: what is recommended, in the plural; `most_words`: how long
        it may be, where a name counts as one word."""
        if wrong := _malformed(sentence):
            return Verdict(False, (wrong,), wrong.reason)
        spans = tuple(self.vocabulary.spans(sentence, neutral_words(noun)))
        claims = tuple(_Reading(self.vocabulary, spans, evidence, noun, most_words).claims())
        wrong = next((claim for claim in claims if not claim.true), None)
        reason = "" if wrong is None else f"{wrong.kind} {wrong.text!r}: {wrong.reason}"
        return Verdict(wrong is None, claims, reason)

    def first_sentence(self, text: str) -> str:
        """Return a text up to the end of its first sentence; a full stop within a name does not end it."""
        text = next(iter(text.strip().splitlines()), "").strip()
        for span in self.vocabulary.spans(text, neutral_words("items")):
            if span.kind == "mark" and span.form in ".!?" and text[span.end : span.end + 1] in ("", " "):
                return text[: span.end]
        # "… and "Escape from L.A."": the name's full stop ended the sentence too
        return f"{text}." if len(text) > 1 and text[-1] in DOUBLE_QUOTES and text[-2] in ".!?" else text

    def named_exactly(self, sentence: str, evidence: Evidence) -> str:
        """Return a sentence that passed with each quoted name as the catalogue spells it: the check reads past case,
        accents, "&" and dots."""
        spoken = dict[tuple[str, ...], str]()
        exact = set[str]()
        for item in (evidence.item, *(influence.item for influence in evidence.influences)):
            names = other_names(self.catalogue[item], years_of(facts_of(self.catalogue, item)))
            exact |= names
            spoken |= {forms(name): name for name in (*sorted(names), display_name(self.catalogue[item]))}

        def spelled(found: re.Match[str]) -> str:
            opening, name, closing = found.groups()
            return found[0] if name in exact else f"{opening}{spoken.get(forms(name), name)}{closing}"

        return _QUOTED.sub(spelled, sentence)


def _malformed(sentence: str) -> Claim | None:
    problem = None
    if not sentence or sentence != sentence.strip() or not sentence.isprintable():
        problem = "not one line of text"
    elif len(sentence) > LONGEST:
        problem = f"longer than {LONGEST} characters"
    elif sentence[-1] not in ".!" or not (sentence[0].isupper() or sentence[0].isdigit() or sentence[0] in "\"“'‘"):
        problem = "not a whole sentence"
    elif sum(char in DOUBLE_QUOTES for char in sentence) % 2:
        problem = "an odd number of quotation marks"
    return Claim("form", sentence[:80], False, problem) if problem else None


class _Reading:
    """One sentence read against one piece of evidence."""

    def __init__(
        self, vocabulary: Vocabulary, spans: Sequence[Span], evidence: Evidence, noun: str, most_words: int
    ) -> None:
        self.most_words = most_words
        self.facts = vocabulary.facts
        self.spans = spans
        self.evidence = evidence
        self.grammar = grammar(noun)
        self.history = frozenset(influence.item for influence in evidence.influences)
        self.named = [self._meant(place) for place in range(len(spans))]
        self.mentioned = frozenset[int]().union(*self.named)
        self.tags = [self._tag(place) for place in range(len(spans))]
        self.sharing = bool(SHARING & set(self._without_queries().split()))

    def claims(self) -> Iterator[Claim]:
        """Yield every claim: of the words, then of the whole sentence."""
        for place, span in enumerate(self.spans):
            if span.kind == "title":
                yield self._title(place)
            elif span.kind == "value":
                yield self._value(place)
            elif span.kind == "cue":
                yield from self._cue(place)
            elif span.kind == "unknown":
                known = "not a known name" if span.text[:1].isupper() else "cannot be checked"
                yield Claim("word", span.text, False, known)
        yield from self._roles_of_titles()
        yield from self._deeds()
        yield from self._shape()
        yield from self._reasons()

    # what the names mean

    def _meant(self, place: int) -> frozenset[int]:
        """Return which of the item and its influences a name means; a year behind it decides between namesakes."""
        span = self.spans[place]
        candidates = span.items & (self.history | {self.evidence.item})
        year = self._year_behind(place)
        if len(candidates) > 1 and year is not None:
            return frozenset(i for i in candidates if self._held_by_all(year.facts, (i,))) or candidates
        return candidates

    def _year_behind(self, place: int) -> Span | None:
        behind = self.spans[place + 1 : place + 4]
        if [span.form for span in behind[::2]] == ["(", ")"] and behind[1].kind == "value":
            return behind[1]
        return None

    def _title(self, place: int) -> Claim:
        true = bool(self.named[place])
        return Claim("title", self.spans[place].text, true, "" if true else "neither recommended nor a reason for it")

    def _tag(self, place: int) -> str:
        span = self.spans[place]
        if span.kind == "value":
            return "<V>"
        if span.kind != "title":
            return span.form or "<?>"
        item, history = self.evidence.item in self.named[place], bool(self.history & self.named[place])
        return "<B>" if item and history else "<I>" if item else "<H>"

    def _without_queries(self) -> str:
        """The tags without what people may like: "you might also like" shares nothing."""
        return self.grammar.wish.sub("", " ".join(self.tags))

    # what is said of the items

    def _held_by_all(self, facts: Iterable[tuple[str, str]], items: Iterable[int]) -> bool:
        return any(all(value in self.facts[item].get(name, ()) for item in items) for name, value in facts)

    def _value(self, place: int) -> Claim:
        span = self.spans[place]
        true = self._held_by_all(span.facts, self._subjects(place))
        name = min(name for name, _ in span.facts)
        return Claim(name, span.text, true, "" if true else "not true of every item that it is said of")

    def _subjects(self, place: int) -> frozenset[int]:
        """Return the items of which a value is said: the one before a bracket, the only one of its clause, or all."""
        if place and self.spans[place - 1].form == "(" and place > 1 and self.named[place - 2]:
            return self.named[place - 2]
        everyone = self.mentioned | {self.evidence.item}
        if self.sharing:
            return everyone
        clause = self._clause(place)
        titles = [self.named[p] for p in clause if self.spans[p].kind == "title"]
        pronoun = any(self.tags[p] in PRONOUNS for p in clause)
        if not titles and pronoun:
            return frozenset({self.evidence.item})
        return titles[0] if len(titles) == 1 and not pronoun else everyone

    def _clause(self, place: int) -> range:
        start, end = place, place
        while start > 0 and self.tags[start - 1] not in _BREAKS:
            start -= 1
        while end < len(self.tags) and self.tags[end] not in _BREAKS:
            end += 1
        return range(start, end)

    def _cue(self, place: int) -> Iterator[Claim]:
        """A cue must stand beside values that have its role: "directed by Tim Burton", "the Sci-Fi genre"."""
        span = self.spans[place]
        if span.form == "by" and place and self.spans[place - 1].kind == "cue":
            return
        places = list(self._cued(place))
        true = bool(places)
        for value in places:
            facts = [fact for fact in self.spans[value].facts if role(fact[0]) in span.roles]
            true = true and self._held_by_all(facts, self._subjects(value))
        yield Claim("role", span.text, true, "" if true else "says what no attribute says")

    def _cued(self, place: int) -> Iterator[int]:
        step = place + 1
        while step < len(self.spans) and self.tags[step] in _TO_VALUE:
            step += 1
        if step < len(self.spans) and self.tags[step] == "<V>":
            yield from self._list(step, 1)
        elif place and self.tags[place - 1] == "<V>":
            yield from self._list(place - 1, -1)

    def _list(self, place: int, step: int) -> Iterator[int]:
        """Yield the values of a list that starts at `place`; the list ends where another cue takes over."""
        allowed = True
        while 0 <= place < len(self.spans) and allowed:
            if self.tags[place] == "<V>":
                yield place
            place += step
            allowed = 0 <= place < len(self.spans) and (self.tags[place] == "<V>" or self._joins(place, step))

    def _joins(self, place: int, step: int) -> bool:
        ahead = place + step
        return self.tags[place] in _IN_LIST and 0 <= ahead < len(self.tags) and self.tags[ahead] == "<V>"

    # what is said of the reader, and of the sentence as a whole

    def _roles_of_titles(self) -> Iterator[Claim]:
        text = " ".join(self.tags)
        if found := self.grammar.unseen.search(text):
            yield Claim("title", self._spelled(found.group()), False, "is not in the history")
        if found := self.grammar.unoffered.search(text):
            yield Claim("title", self._spelled(found.group()), False, "is not what is recommended")

    def _deeds(self) -> Iterator[Claim]:
        text = " ".join(self.tags)
        for found in self.grammar.allowed.finditer(text):
            yield Claim("deed", found.group(), True)
        for found in self.grammar.deed.finditer(self.grammar.allowed.sub("", text)):
            yield Claim("deed", found.group(), False, "says what nobody is known to have done or liked")

    def _spelled(self, tags: str) -> str:
        return tags.replace("<I>", "the recommended one").replace("<H>", "a history item").replace("<V>", "…")

    def _shape(self) -> Iterator[Claim]:
        plain = [tag for tag in self.tags if tag[0].isalnum()]
        inner = [p for p, tag in enumerate(self.tags[:-1]) if tag in _STOPS]
        named = Counter(item for items in self.named if len(items) == 1 for item in items)
        again = any(left == right for left, right in zip(self.tags, self.tags[1:], strict=False) if left[0].isalnum())
        triples = Counter(zip(plain, plain[1:], plain[2:], strict=False))
        if inner or self.tags and self.tags[-1] not in _STOPS:
            yield Claim("form", "", False, "not exactly one sentence")
        if sum(span.kind != "mark" for span in self.spans) > self.most_words:
            yield Claim("form", "", False, "too many words")
        if any(self._wrong_article(place) for place in range(len(self.spans) - 1)):
            yield Claim("form", "a", False, "not English before a vowel")
        if again or any(count > 1 for count in triples.values()) or any(count > 2 for count in named.values()):
            yield Claim("form", "", False, "repeats itself")

    def _wrong_article(self, place: int) -> bool:
        return self.tags[place] == "a" and self.tags[place + 1] == "<V>" and self.spans[place + 1].text[0] in "AEIOaeio"

    def _reasons(self) -> Iterator[Claim]:
        item = self.evidence.item
        if item not in self.mentioned:
            yield Claim("form", "", False, "does not speak of the recommended item")
        reasons = self.mentioned & self.history
        if self.history and not reasons:
            yield Claim("form", "", False, "names no item of the history")
        resembling = RESEMBLING & set(self.tags)
        if resembling and not self._resemble(reasons):
            yield Claim("resemblance", " ".join(sorted(resembling)), False, "no shared fact shows it")

    def _resemble(self, others: frozenset[int]) -> bool:
        sharers = frozenset(item for fact in self.evidence.shared for item in fact.items)
        return bool(sharers) and others <= sharers
