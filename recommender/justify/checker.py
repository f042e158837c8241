"""The checker: everything that a justification claims must be true of the item, the history and the influences.

Each word is part of a name, part of an attribute's value, a cue that says which attribute is meant, or a plain word that
claims nothing. A text with any other word fails, because that word cannot be verified; a plain justification replaces it.
In doubt a claim must hold for every item that the text names.
"""

from __future__ import annotations

import copy
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate

from recommender.data.catalogue import Catalogue
from recommender.justify.claims import Claim, Edit, Verdict, moved
from recommender.justify.crowd import crowd_claims
from recommender.justify.english import PRONOUNS, RESEMBLING, SHARING, domain_words, history_verbs, neutral_words
from recommender.justify.evidence import Evidence
from recommender.justify.facts import fact_index, facts_of, role, years_of
from recommender.justify.grammar import grammar
from recommender.justify.item_names import DOUBLE_QUOTES, display_name, forms, other_names
from recommender.justify.vacuity import vacuous
from recommender.justify.vocabulary import Span, Vocabulary
from recommender.justify.wellformed import Sentence, repetitions

_QUOTED = re.compile(f"([{DOUBLE_QUOTES}])([^{DOUBLE_QUOTES}]+)([{DOUBLE_QUOTES}])")
LONGEST = 600
#: items of a catalogue whose names are indexed at once; of a larger one they are when a text is first checked, which not all
#: that open a model do
AT_ONCE_UP_TO = 50_000
MOST_WORDS = 60
_BREAKS = frozenset(",;:—–") | frozenset(("because", "since", "so", "which", "when"))
_STOPS = frozenset(".!?…")
#: tags that may stand between a cue and its value, and between the values of one list
_TO_VALUE = frozenset(("by", "the", "of", "is", "are", "a", "an", "both", "in", "with", ":"))
_IN_LIST = frozenset(("and", ",", "or", "by", "the"))


class ClaimChecker:
    """Checks texts against one catalogue; built once."""

    def __init__(self, catalogue: Catalogue, phrases: Mapping[str, str] | None = None, liked: bool = False) -> None:
        """Index the names and attribute values of the catalogue. `phrases`: attribute -> how its value is said.

        `liked`: histories hold only what people rated high, so they liked it.
        """
        self.liked = liked
        self.catalogue = catalogue
        self._phrases = phrases
        if len(catalogue) <= AT_ONCE_UP_TO:
            _ = self.vocabulary

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What finds names and values in texts."""
        return Vocabulary(self.catalogue, self._phrases)

    def withholding(self, facts: Mapping[int, frozenset[tuple[str, str]]]) -> ClaimChecker:
        """Return a checker that holds these (attribute, value) pairs of these items to be false."""
        vocabulary, other = self.vocabulary, copy.copy(self)
        other.catalogue = self.catalogue.withholding(facts)
        other.vocabulary = vocabulary.withholding(other.catalogue, facts)
        return other

    def check(self, sentence: str, evidence: Evidence, noun: str = "items", most_words: int = MOST_WORDS) -> Verdict:
        """Find every claim in `sentence` and verify it.

        `noun`: what is recommended, in the plural. `most_words`: how long the sentence may be; a name counts as one word.
        """
        if malformed := _malformed(sentence):
            return Verdict(False, (malformed,), malformed.reason)
        spans = tuple(self.vocabulary.spans(sentence, neutral_words(noun)))
        reading = _Reading(self.vocabulary, spans, evidence, noun, most_words, self.liked)
        claims = (*reading.claims(), *self._vacuity(reading))
        false = next((claim for claim in claims if not claim.true), None)
        reason = "" if false is None else f"{false.kind} {false.text!r}: {false.reason}"
        return Verdict(false is None, claims, reason)

    def _vacuity(self, reading: _Reading) -> Iterator[Claim]:
        """Yield a claim if the sentence says too little for what is known."""
        if reading.of_others:  # what others did tells, too
            return
        evidence, index = reading.evidence, fact_index(self.catalogue)
        named, sayable = reading.mentioned & reading.history, self.vocabulary.sayable
        if reason := vacuous(index, evidence, reading.stated(), named, sayable, reading.most_words):
            yield Claim("vacuous", "", False, reason)

    def first_sentence(self, text: str) -> str:
        """Return the first sentence of a text; a full stop within a name does not end it."""
        text = next(iter(text.strip().splitlines()), "").strip()
        for span in self.vocabulary.spans(text, neutral_words("items")):
            if span.kind == "mark" and span.form in ".!?" and text[span.end : span.end + 1] in ("", " "):
                return text[: span.end]
        # "… and "Escape from L.A."": the name's full stop ended the sentence too
        return f"{text}." if len(text) > 1 and text[-1] in DOUBLE_QUOTES and text[-2] in ".!?" else text

    def named_exactly(self, sentence: str, evidence: Evidence, verdict: Verdict) -> tuple[str, Verdict]:
        """Return a sentence that passed with each quoted name spelled as in the catalogue, and the verdict on it.

        The check itself ignores case, accents, "&" and dots.
        """
        by_form = dict[tuple[str, ...], str]()
        exact = set[str]()
        for item in (evidence.item, *(influence.item for influence in evidence.influences)):
            names = other_names(self.catalogue[item], years_of(facts_of(self.catalogue, item)))
            exact |= names
            by_form |= {forms(name): name for name in (*sorted(names), display_name(self.catalogue[item]))}

        edits = list[Edit]()

        def respell(match: re.Match[str]) -> str:
            opening, name, closing = match.groups()
            if name in exact:
                return match[0]
            right = by_form.get(forms(name), name)
            edits.append(Edit(match.start(2), match.end(2), len(right)))
            return f"{opening}{right}{closing}"

        respelled = _QUOTED.sub(respell, sentence)
        return respelled, moved(verdict, edits)


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
    """One sentence compared with one piece of evidence."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        spans: Sequence[Span],
        evidence: Evidence,
        noun: str,
        most_words: int,
        liked: bool = False,
    ) -> None:
        self.most_words = most_words
        self.facts = vocabulary.facts
        self.spans = spans
        self.evidence = evidence
        self.grammar = grammar(noun, liked)
        self.words = domain_words(noun)
        self.history = frozenset(influence.item for influence in evidence.influences)
        self.named = [self._named_items(place) for place in range(len(spans))]
        self.mentioned = frozenset[int]().union(*self.named)
        self.tags = [self._tag(place) for place in range(len(spans))]
        verbs = history_verbs(noun, liked)
        self.of_others = tuple(crowd_claims(self.tags, self.named, dict(evidence.companions), verbs))
        self.told_of_others = frozenset(place for claim in self.of_others for place in claim.places)
        self.sharing = bool(SHARING & set(self._without_possible_liking().split()))

    def claims(self) -> Iterator[Claim]:
        """Yield every claim: of the words, then of the whole sentence."""
        for place, span in enumerate(self.spans):
            if span.kind == "title":
                yield self._title(place)
            elif span.kind == "value":
                yield self._value(place)
            elif span.kind == "cue":
                yield from self._cue(place)
            elif span.kind == "unknown" and place not in self.told_of_others:
                problem = "not a known name" if span.text[:1].isupper() else "cannot be checked"
                yield Claim("word", span.text, False, problem, span.start, span.end)
        yield from self._misplaced_titles()
        for told in self.of_others:
            yield Claim("crowd", told.text, not told.reason, told.reason, *self._extent(told.places))
        yield from self._deeds()
        yield from self._form()
        yield from self._wellformed()
        yield from self._coverage()

    def stated(self) -> tuple[tuple[str, str], ...]:
        """Return the facts of the item that the sentence names, without the year in brackets behind a name."""
        places = [p for p, span in enumerate(self.spans) if span.kind == "value" and not self._in_brackets(p)]
        item = (self.evidence.item,)
        holding = [[fact for fact in sorted(self.spans[p].facts) if self._true_of_all((fact,), item)] for p in places]
        return tuple(dict.fromkeys(facts[0] for facts in holding if facts))

    def _in_brackets(self, place: int) -> bool:
        return bool(place) and self.spans[place - 1].form == "("

    def _wellformed(self) -> Iterator[Claim]:
        """Yield what is not English, and each name that stands twice."""
        sentence = Sentence(self.spans, self.tags, self.words)
        for text, reason in (*sentence.faults(), *repetitions(self.spans, self.named)):
            yield Claim("form", text, False, reason)

    # which items the names mean

    def _named_items(self, place: int) -> frozenset[int]:
        """Return which of the item and its influences a name means; a year after it decides between namesakes."""
        span = self.spans[place]
        candidates = span.items & (self.history | {self.evidence.item})
        year = self._year_after(place)
        if len(candidates) > 1 and year is not None:
            return frozenset(i for i in candidates if self._true_of_all(year.facts, (i,))) or candidates
        return candidates

    def _year_after(self, place: int) -> Span | None:
        following = self.spans[place + 1 : place + 4]
        if [span.form for span in following[::2]] == ["(", ")"] and following[1].kind == "value":
            return following[1]
        return None

    def _title(self, place: int) -> Claim:
        span, items = self.spans[place], tuple(sorted(self.named[place]))
        problem = "" if items else "neither the recommended item nor an influence"
        return Claim("title", span.text, bool(items), problem, span.start, span.end, items)

    def _tag(self, place: int) -> str:
        span = self.spans[place]
        if span.kind == "value":
            return "<V>"
        if span.kind != "title":
            return span.form or "<?>"
        item, history = self.evidence.item in self.named[place], bool(self.history & self.named[place])
        return "<B>" if item and history else "<I>" if item else "<H>"

    def _without_possible_liking(self) -> str:
        """Return the tags without what people may like: the "also" of "you might also like" claims nothing shared."""
        return self.grammar.possible_liking.sub("", " ".join(self.tags))

    # what is claimed of the items

    def _true_of_all(self, facts: Iterable[tuple[str, str]], items: Iterable[int]) -> bool:
        return any(all(value in self.facts[item].get(name, ()) for item in items) for name, value in facts)

    def _value(self, place: int) -> Claim:
        span, items = self.spans[place], tuple(sorted(self._subjects(place)))
        held = [fact for fact in sorted(span.facts) if self._true_of_all((fact,), items)]
        fact, problem = min(span.facts), "" if held else "not true of every item that it is claimed of"
        told = next(iter(held), fact)
        return Claim(fact[0], span.text, bool(held), problem, span.start, span.end, items, told)

    def _subjects(self, place: int) -> frozenset[int]:
        """Return the items that a value is claimed of: the one before a bracket, the only one of its clause, or all."""
        if place and self.spans[place - 1].form == "(" and place > 1 and self.named[place - 2]:
            return self.named[place - 2]
        all_items = self.mentioned | {self.evidence.item}
        clause = self._clause(place)
        if described := self._described(clause):
            return described
        if self.sharing:
            return all_items
        titles = [self.named[p] for p in clause if self.spans[p].kind == "title"]
        if not titles and (subject := self._subject_of_which(clause.start)):
            return subject
        pronoun = any(self.tags[p] in PRONOUNS for p in clause)
        if not titles and pronoun:
            return frozenset({self.evidence.item})
        return titles[0] if len(titles) == 1 and not pronoun else all_items

    def _described(self, clause: range) -> frozenset[int]:
        """Return whom a clause like "a thriller by Y" describes: the name right before it, or right after, at the beginning.

        One that says "too" or the like is about all.
        """
        tags = self.tags[clause.start : clause.stop]
        if tags[0] not in ("a", "an") or SHARING & set(tags):
            return frozenset()
        if clause.start:
            return self._named_before(clause.start - 1) if self.tags[clause.start - 1] == "," else frozenset()
        comma = clause.stop
        return self.named[comma + 1] if self.tags[comma] == "," and comma + 1 < len(self.tags) else frozenset()

    def _named_before(self, place: int) -> frozenset[int]:
        """Return which items the name before a mark means; it may have its year behind it."""
        place -= 1
        if place >= 2 and self.tags[place] == ")":
            place -= 3
        return self.named[place] if place >= 0 else frozenset()

    def _subject_of_which(self, start: int) -> frozenset[int]:
        """Return whom a clause that "which" begins is about: the one name right before it; of a list, nobody for sure."""
        if not start or self.tags[start - 1] != "which":
            return frozenset()
        place = start - 2
        if place >= 0 and self.tags[place] == ",":
            place -= 1
        if place >= 2 and self.tags[place] == ")":  # behind the year
            place -= 3
        if place < 0 or self.spans[place].kind != "title" or (place and self.tags[place - 1] in ("and", "or", ",")):
            return frozenset()
        return self.named[place]

    def _clause(self, place: int) -> range:
        start, end = place, place
        while start > 0 and self.tags[start - 1] not in _BREAKS:
            start -= 1
        while end < len(self.tags) and self.tags[end] not in _BREAKS:
            end += 1
        return range(start, end)

    def _cue(self, place: int) -> Iterator[Claim]:
        """Check that a cue stands beside values of its role: "directed by Tim Burton", "the Sci-Fi genre"."""
        span = self.spans[place]
        if span.form == "by" and place and self.spans[place - 1].kind == "cue":
            return
        places = list(self._values_of_cue(place))
        true = bool(places)
        for value in places:
            facts = [fact for fact in self.spans[value].facts if role(fact[0]) in span.roles]
            true = true and self._true_of_all(facts, self._subjects(value))
        items = tuple(sorted(frozenset[int]().union(*map(self._subjects, places))))
        yield Claim("role", span.text, true, "" if true else "no attribute says this", span.start, span.end, items)

    def _values_of_cue(self, place: int) -> Iterator[int]:
        step = place + 1
        while step < len(self.spans) and self.tags[step] in _TO_VALUE:
            step += 1
        if step < len(self.spans) and self.tags[step] == "<V>":
            yield from self._value_list(step, 1)
        elif place and self.tags[place - 1] == "<V>":
            yield from self._value_list(place - 1, -1)
        else:  # "Y, who directed A, also directed B": those who are named last
            roles = self.spans[place].roles
            for before in range(place - 1, -1, -1):
                if any(role(name) in roles for name, _ in self.spans[before].facts):
                    yield from self._value_list(before, -1)
                    return

    def _value_list(self, place: int, step: int) -> Iterator[int]:
        """Yield the places of the values of a list that starts at `place`; it ends at the next cue."""
        goes_on = True
        while 0 <= place < len(self.spans) and goes_on:
            if self.tags[place] == "<V>":
                yield place
            place += step
            goes_on = 0 <= place < len(self.spans) and (self.tags[place] == "<V>" or self._joins(place, step))

    def _joins(self, place: int, step: int) -> bool:
        ahead = place + step
        return self.tags[place] in _IN_LIST and 0 <= ahead < len(self.tags) and self.tags[ahead] == "<V>"

    # claims about the reader, and the sentence as a whole

    def _misplaced_titles(self) -> Iterator[Claim]:
        text = " ".join(self.tags)
        if match := self.grammar.unseen.search(text):
            yield Claim("title", self._spelled(match.group()), False, "is not in the history")
        if match := self.grammar.unoffered.search(text):
            yield Claim("title", self._spelled(match.group()), False, "is not what is recommended")

    def _deeds(self) -> Iterator[Claim]:
        tags = ["…" if place in self.told_of_others else tag for place, tag in enumerate(self.tags)]
        text, starts = " ".join(tags), [0, *accumulate(len(tag) + 1 for tag in tags)]
        for match in self.grammar.allowed.finditer(text):
            places = range(bisect_right(starts, match.start()) - 1, bisect_right(starts, match.end() - 1))
            yield Claim("deed", match.group(), True, "", *self._extent(places))
        for match in self.grammar.deed.finditer(self.grammar.allowed.sub("", text)):
            yield Claim("deed", match.group(), False, "nobody is known to have done or liked this")

    def _extent(self, places: range) -> tuple[int, int, tuple[int, ...]]:
        """Return where some words begin and end, and the items that they name."""
        items = frozenset[int]().union(*(self.named[place] for place in places))
        return self.spans[places[0]].start, self.spans[places[-1]].end, tuple(sorted(items))

    def _spelled(self, tags: str) -> str:
        return tags.replace("<I>", "the recommended one").replace("<H>", "a history item").replace("<V>", "…")

    def _form(self) -> Iterator[Claim]:
        plain = [tag for tag in self.tags if tag[0].isalnum() or tag[0] == "<"]
        inner_stops = [p for p, tag in enumerate(self.tags[:-1]) if tag in _STOPS]
        mentions = Counter(item for items in self.named if len(items) == 1 for item in items)
        doubled = any(left == right for left, right in zip(self.tags, self.tags[1:], strict=False) if left[0].isalnum())
        triples = Counter(t for t in zip(plain, plain[1:], plain[2:], strict=False) if not any(w[0] == "<" for w in t))
        values = Counter(span.form for span in self.spans if span.kind == "value" and not span.form[:1].isdigit())
        if inner_stops or self.tags and self.tags[-1] not in _STOPS:
            yield Claim("form", "", False, "not exactly one sentence")
        if sum(span.kind != "mark" for span in self.spans) > self.most_words:
            yield Claim("form", "", False, "too many words")
        if any(self._wrong_article(place) for place in range(len(self.spans) - 1)):
            yield Claim("form", "a", False, "not English before a vowel")
        if any(count > 1 for counts in (triples, values) for count in counts.values()):
            doubled = True
        if doubled or any(count > 2 for count in mentions.values()):
            yield Claim("form", "", False, "repeats itself")

    def _wrong_article(self, place: int) -> bool:
        return self.tags[place] == "a" and self.tags[place + 1] == "<V>" and self.spans[place + 1].text[0] in "AEIOaeio"

    def _coverage(self) -> Iterator[Claim]:
        """The item and an influence must be named, and a resemblance needs a shared fact."""
        if self.evidence.item not in self.mentioned:
            yield Claim("form", "", False, "does not mention the recommended item")
        influences = self.mentioned & self.history
        if self.history and not influences:
            yield Claim("form", "", False, "names no item of the history")
        resembling = RESEMBLING & set(self.tags)
        if resembling and not self._resemble(influences):
            yield Claim("resemblance", " ".join(sorted(resembling)), False, "no shared fact shows it")

    def _resemble(self, others: frozenset[int]) -> bool:
        sharers = frozenset(item for fact in self.evidence.shared for item in fact.items)
        return bool(sharers) and others <= sharers
