"""Broken English, tautologies and repeated titles: what a sentence may not be, whatever is true of it.

The words of a justification are few, so that local rules suffice: what may follow a subject, a modal verb or an article,
which number a verb and a noun take, and whether each clause has its verb. Rules look at the tags of a sentence: <I>, <H>
and <B> for names, <V> for values, all else as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from recommender.justify.english import DomainWords
from recommender.justify.facts import PEOPLE, role
from recommender.justify.vocabulary import Span

Fault = tuple[str, str]
"""The words at fault, and what is wrong with them."""

_BE_ONE, _BE_MANY = ("is", "was"), ("are", "were")
#: verbs of names and pronouns: one -> many
_VERBS = {
    **dict(zip(("is", "was", "has"), ("are", "were", "have"), strict=True)),
    **{
        f"{verb}s": verb
        for verb in "star share feature appear return lead link point join follow come fit suit rank add belong win".split()
    },
    "goes": "go",
    "matches": "match",
}
_PAST = frozenset("had starred directed wrote made won shared came went led joined performed sung written".split())
_MODALS = frozenset("may might could should would will can".split())
_ADVERBS = frozenset("also already just once now both all each mainly next well again".split())
_BASE = frozenset(
    """like enjoy suit fit try want be appreciate go follow come join match add recommend suggest lead have love point
    link rank share star belong based""".split()
)
_FINITE = frozenset((*_VERBS, *_VERBS.values(), *_PAST, *_MODALS))
_WISHES = frozenset("like liked enjoy enjoyed want wanted love loved appreciate have had".split())
_OBJECT_OF = frozenset("suit suits fit fits for to with please like".split())
_OPENERS = frozenset((",", ";", ":", "because", "since", "as", "and", "so", "which"))
_CONJUNCTIONS = frozenset("because since as which who and or".split())
#: words that need something behind them
_HANGING = frozenset("a an the of by with from to and or because since which who such our your after following".split())
_DETERMINERS = frozenset("a an the of by with from our your more".split())
_MARKS = frozenset(",;:.!?")
#: clauses that begin so have no verb of the main clause
_SIDE = frozenset(
    """because since as which who whom that if when where like just after following with given for another a an
    besides""".split()
)
_OFFERS = ("suggestion", "recommendation", "pick", "choice", "option", "match", "one")
#: subjects -> the method that finds whether one has no verb
_VERBLESS = {
    **dict.fromkeys(("which", "who"), "_relative_lacks"),
    **dict.fromkeys(("it", "they"), "_pronoun_lacks"),
    "both": "_both_lacks",
    "them": "_them_lacks",
    "you": "_you_lacks",
    "we": "_we_lacks",
}
_VOWELS = "aeio"
_SILENT_H = ("hour", "honest", "honor", "honour", "heir")
_ONE_SOUND = ("one", "once", "eu", "ewe")
_LIST = re.compile(r"<[IHB]> (?:\( <V> \) )?and <[IHB]> (?:\( <V> \) )?(?:(?:in|from) your history )?(\S+)")
_SINGLE = re.compile(
    r"(?:^|(?<=[,;:] )|(?<=because )|(?<=since )|(?<=so )|(?<=as ))<[IHB]> (?:\( <V> \) )?"
    r"(?:, an? [^,;:]*, )?(?:(?:in|from) your history )?(\S+)"
)
#: what the item is, given as what follows from the history: "you saw <H>, so <I> is a drama"
_NO_RESULT = re.compile(
    r"(?:^| )so <[IB]> (?:\( <V> \) )?(?:, an? [^,;:]* , )?(?:is|was|won|has) "
    r"(?!our |the |here |recommended |suggested |(?:an? )?(?:good|natural|fitting|next) )"
)
#: what the item is, said as if it were only recommended so, or beside names that it might be said of as well
_AS_IT_IS = re.compile(r"<[IB]> (?:\( <V> \) )?as an? (?!good |natural |fitting |next )|<V> next to <H>")
#: "it" behind two names, neither of them the item
_WHICH_ONE = re.compile(
    r"<H> (?:\( <V> \) )?and <H> (?:(?!<[IB]>)\S+ )*who \S+ it |<H> (?:\( <V> \) )?, and it (?:is|was|has|stars|features) "
)
_BARE_NAME = re.compile(r"<[IHB]> (?:\( <V> \) )?(?:<[IHB]>|a|an|our|it|both|here|recommended|suggested|natural|good) ")


@dataclass(frozen=True)
class Sentence:
    """A sentence as `spans` and their `tags`; `words` of what is recommended."""

    spans: Sequence[Span]
    tags: Sequence[str]
    words: DomainWords

    def faults(self) -> Iterator[Fault]:
        """Yield what is broken."""
        for place in range(len(self.tags)):
            yield from self._doubled(place)
            yield from self._part(place)
            yield from self._article(place)
            yield from self._subject(place)
            yield from self._verb(place)
            yield from self._hanging(place)
            yield from self._noun_phrase(place)
        yield from self._agreement()
        yield from self._clauses()
        yield from self._twice_given()

    def _tag(self, place: int) -> str:
        return self.tags[place] if 0 <= place < len(self.tags) else ""

    def _past_adverbs(self, place: int) -> int:
        while self._tag(place) in _ADVERBS:
            place += 1
        return place

    def _verb_at(self, place: int) -> str:
        """Return the verb at a place or behind adverbs there, "" for another word; "directed by" is none of its own."""
        place = self._past_adverbs(place)
        verb = self._tag(place)
        return "" if verb in _PAST and self._tag(place + 1) == "by" else verb

    @cached_property
    def _did(self) -> frozenset[str]:
        """The first words of what people do with an item."""
        return frozenset(verb.split()[0] for verb in self.words.past_verbs) | {"seen"}

    # one place

    def _doubled(self, place: int) -> Iterator[Fault]:
        here, behind = self._tag(place), self._tag(place + 1)
        if here == "<V>" == behind and self.spans[place].form == self.spans[place + 1].form:
            yield self.spans[place].text, "stands twice in a row"
        if here in _MARKS and behind in _MARKS:
            yield f"{here}{behind}", "two marks in a row"
        if here in _ADVERBS | {"so", "too"} and behind == "," and self._tag(place + 2) == here:
            yield here, "stands twice in a row"

    def _article(self, place: int) -> Iterator[Fault]:
        article = self._tag(place)
        if article not in ("a", "an") or place + 1 >= len(self.spans):
            return
        word = self.spans[place + 1].text
        if article == "a" and self._sounds_open(word):
            yield f"a {word}", "not English before a vowel"
        if article == "an" and self._sounds_closed(word):
            yield f"an {word}", "not English before a consonant"
        before = self._tag(place - 1)
        if before in ("are", "were", "both", "a", "an", "the"):
            yield f"{before} {article}", "not English"

    def _sounds_open(self, word: str) -> bool:
        low = word.casefold()
        named = word.isupper() or not word[:1].isalpha()
        return not named and (low[0] in _VOWELS and not low.startswith(_ONE_SOUND) or low.startswith(_SILENT_H))

    def _sounds_closed(self, word: str) -> bool:
        low = word.casefold()
        named = word.isupper() or not word[:1].isalpha()
        return not named and low[0] not in _VOWELS + "u" and not low.startswith(_SILENT_H)

    def _subject(self, place: int) -> Iterator[Fault]:
        """A subject needs a verb behind it."""
        word, before = self._tag(place), self._tag(place - 1)
        if word in _VERBLESS and getattr(self, _VERBLESS[word])(place, before):
            yield word, "has no verb"

    def _relative_lacks(self, place: int, before: str) -> bool:
        return self._verb_at(place + 1) not in _FINITE | self._did | {"you", "we", "liked", "loved", "enjoyed"}

    def _pronoun_lacks(self, place: int, before: str) -> bool:
        opens = not before or before in _OPENERS
        return opens and self._verb_at(place + 1) not in _FINITE and not self._is_clitic(place + 1)

    def _both_lacks(self, place: int, before: str) -> bool:
        """ "as both dramas" has no verb; ", both dramas" needs none."""
        return before != "," and (not before or before in _OPENERS) and self._lacks_verb(place + 1)

    def _them_lacks(self, place: int, before: str) -> bool:
        return before == "of" and self._tag(place - 2) == "all" and self._lacks_verb(place + 1)

    def _you_lacks(self, place: int, before: str) -> bool:
        return before not in _OBJECT_OF and not self._is_done(place + 1)

    def _we_lacks(self, place: int, before: str) -> bool:
        return self._verb_at(place + 1) not in {"recommend", "suggest", *_MODALS} and not self._is_clitic(place + 1)

    def _lacks_verb(self, place: int) -> bool:
        while self._tag(place) in ("of", "them", "these", "are") or self._is_noun(place):
            if self._tag(place) == "are":
                return False
            place += 1
        return self._verb_at(place) not in _FINITE

    def _is_done(self, place: int) -> bool:
        verb = self._tag(self._past_adverbs(place))
        return verb in self._did | _WISHES | _MODALS or self._is_clitic(place)

    def _is_clitic(self, place: int) -> bool:
        return self._tag(place) in ("s", "ve", "ll", "re", "d")

    def _verb(self, place: int) -> Iterator[Fault]:
        word, behind = self._tag(place), self._tag(place + 1)
        if word in _MODALS:
            follower = self._tag(self._past_adverbs(place + 1))
            if follower not in _BASE:
                yield word, "has no verb behind it"
            elif follower in ("like", "enjoy", "try", "want", "appreciate", "suit", "fit", "love") and self._ends(
                self._past_adverbs(place + 1) + 1
            ):
                yield follower, "has no object"
        if word in (*_BE_ONE, *_BE_MANY) and self._ends_abruptly(place + 1):
            yield word, "says nothing"
        if word in (*_BE_ONE, *_BE_MANY) and behind in _FINITE - {
            "based",
            "directed",
            "written",
            "made",
            "performed",
            "sung",
            "shared",
            "joined",
            "led",
            "won",
        }:
            yield f"{word} {behind}", "two verbs in a row"
        pronoun = self._tag(place - 1)
        if pronoun in ("both", "they", "we", "you", "them") and word in _VERBS and word not in ("suits", "fits"):
            yield f"{pronoun} {word}", "does not agree"
        if pronoun in ("it", "this", *_OFFERS) and word in _VERBS.values():
            yield f"{pronoun} {word}", "does not agree"
        if word in ("try", "recommend", "suggest") and self._tag(place - 1) not in ("to",) and self._ends(place + 1):
            yield word, "has no object"

    def _ends(self, place: int) -> bool:
        return self._tag(place) in {"", *_MARKS, *_CONJUNCTIONS}

    def _ends_abruptly(self, place: int) -> bool:
        aside = self._tag(place) == "," and self._tag(place + 1) in ("like", "just")
        return self._ends(place) and self._tag(place) != "as" and not aside

    def _hanging(self, place: int) -> Iterator[Fault]:
        word, behind = self._tag(place), self._tag(place + 1)
        if word in _HANGING and behind in {"", *_MARKS}:
            yield word, "has nothing behind it"
        if word in _DETERMINERS and behind in (*_BE_ONE, *_BE_MANY):
            yield f"{word} {behind}", "has nothing between"

    # nouns

    def _is_noun(self, place: int) -> bool:
        return self._tag(place) in self._singulars | self._plurals

    @cached_property
    def _singulars(self) -> frozenset[str]:
        own = (self.words.singular, *(word for word in self.words.other_nouns if not word.endswith("s")))
        return frozenset(word for word in own if word != self.words.plural) | {"item", "title"}

    @cached_property
    def _plurals(self) -> frozenset[str]:
        own = (self.words.plural, *(word for word in self.words.other_nouns if word.endswith("s")))
        return frozenset(word for word in own if word != self.words.singular) | {"items", "titles"}

    def _head(self, place: int) -> int | None:
        """Return the number of the noun phrase that begins at a place, 1 or 2; None where no noun is known for sure."""
        head = None
        while place < len(self.tags):
            if self._is_noun(place):
                head = 1 if self._tag(place) in self._singulars else 2
            elif self._tag(place) == "<V>" and self._names_kind(place):
                head = self._number(self.spans[place])
            elif self._tag(place) not in ("good", "natural", "fitting"):
                break
            place += 1
        return head

    def _names_kind(self, place: int) -> bool:
        return any(role(name) == "kind" for name, _ in self.spans[place].facts)

    def _number(self, span: Span) -> int | None:
        """Return whether a kind stands for one or for several where it ends a phrase; None where it may be either."""
        values = {value.casefold() for name, value in span.facts if role(name) == "kind"}
        text = span.text.casefold()
        if text in values:
            return 1 if text in _COUNTED else None
        return 2 if text.endswith("s") and text[:-1] in values | _COUNTED or text[:-3] + "y" in values else None

    def _noun_phrase(self, place: int) -> Iterator[Fault]:
        word = self._tag(place)
        if word not in ("a", "an", "another", "more", *_BE_ONE, *_BE_MANY) or place + 1 >= len(self.tags):
            return
        number = self._head(place + 1)
        of_class = word == "another" and self._tag(place + 1) == "of"
        if of_class:
            number = self._head(place + 3)
        if number == 2 and (word in ("a", "an", *_BE_ONE) or word == "another" and not of_class):
            yield word, "does not go with several"
        if number == 1 and (word in ("more", *_BE_MANY, *_BE_ONE) or of_class):
            yield word, "does not go with one"

    # the whole sentence

    def _agreement(self) -> Iterator[Fault]:
        text = " ".join(self.tags)
        many = frozenset(_VERBS.values())
        for match in _LIST.finditer(text):
            before = text[: match.start()].split()
            joined = before[-1:] == [","] and before[-2:-1] and before[-2].startswith("<")
            if match[1] in _VERBS and (joined or not before or before[-1] not in ("<H>",)):
                yield match[1], "does not agree with several"
        for match in _SINGLE.finditer(text):
            if match[1] in many:
                yield match[1], "does not agree with one"
        yield from self._people()
        if bare := _BARE_NAME.search(f"{text} "):
            yield bare[0].split()[-1], "has no verb before it"
        if _NO_RESULT.search(text):
            yield "so", "is no result of what comes before"
        if _AS_IT_IS.search(text):
            yield "as", "says what it is as if that could be otherwise"
        if _WHICH_ONE.search(text):
            yield "it", "may be one of two"
        if text.count(" as well") > 1:
            yield "as well", "stands twice"

    def _people(self) -> Iterator[Fault]:
        """Those who made an item: "Tom Hanks stars in", "A and B star in"."""
        for place, span in enumerate(self.spans):
            if self._tag(place) != "<V>" or not any(role(name) in PEOPLE for name, _ in span.facts):
                continue
            after = place + 1
            if self._tag(after) == "," and self._tag(after + 1) == "who":
                after += 2
            verb = self._tag(self._past_adverbs(after))
            several = self._tag(place - 1) == "and" and self._tag(place - 2) == "<V>"
            begins = place == 0 or self._tag(place - 1) in (",", ";", ":", "and")
            if several and verb in _VERBS and self._tag(after) != "is" or begins and not several and verb == "star":
                yield f"{span.text} {verb}", "does not agree"

    def _clauses(self) -> Iterator[Fault]:
        """Each sentence within a sentence needs a verb that is not in a side clause."""
        for part in _split(self.tags, frozenset(";:")):
            clauses = _split(part, frozenset(","))
            finite = _FINITE | {"try", "recommend", "suggest", "go"}
            main = [clause for clause in clauses if clause and (clause[0] not in _SIDE or self._inner_verb(clause))]
            if not any(finite & set(clause) or self._did & set(clause) for clause in main):
                yield "", "has no verb"
            for earlier, clause in zip(clauses, clauses[1:], strict=False):
                counts = clause[:1] == ["many"] or clause[:1] and clause[0].isdigit()
                if counts and "who" in clause and earlier in main and not {"among", "of"} & set(earlier[:1]):
                    yield clause[0], "runs two sentences together"
        clauses = _split(self.tags, frozenset(";:,"))
        for place, clause in enumerate(clauses):
            words = clause[1:] if clause[:1] == ["and"] else clause
            goes_on = any(later[:1] and later[0] in _FINITE for later in clauses[place + 1 :])  # behind ", a drama,"
            if words[:1] == ["so"] and not goes_on and not (_FINITE | {"try", "recommend", "suggest"}) & set(words):
                yield "so", "has no verb"

    def _part(self, place: int) -> Iterator[Fault]:
        """Films "that are part of" a series, not "films part of" it; films with people in them, not with another film."""
        word, behind = self._tag(place), self._tag(place + 1)
        if word in (self.words.singular, self.words.plural) and behind == "part":
            yield "part", "has no verb before it"
        if self._is_noun(place) and behind in ("with", "by") and self._tag(place + 2) in ("<I>", "<H>", "<B>"):
            yield f"{word} {behind}", "does not go with a title"

    def _twice_given(self) -> Iterator[Fault]:
        """One sentence gives one reason: not "because you saw <H>, <I> is recommended because it is a drama"."""
        causes = [tag for tag in self.tags if tag in ("because", "since")]
        if len(causes) > 1:
            yield causes[-1], "gives a second reason in one sentence"

    def _inner_verb(self, clause: Sequence[str]) -> bool:
        """Whether a clause that begins like a side clause goes on as the main one: "after <H> we suggest <I>"."""
        if clause[0] in ("a", "an"):
            return False
        return any(
            f"{left} {right}" in ("we suggest", "we recommend") or left == "try" and right.startswith("<")
            for left, right in zip(clause, clause[1:], strict=False)
        )


#: kinds that are nouns which can be counted
_COUNTED = frozenset("comedy drama musical documentary western mystery thriller".split())


def _split(tags: Sequence[str], marks: frozenset[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for tag in tags:
        if tag in marks:
            parts.append([])
        else:
            parts[-1].append(tag)
    return [[tag for tag in part if tag not in ".!?"] for part in parts]


def repetitions(spans: Sequence[Span], named: Sequence[frozenset[int]]) -> Iterator[Fault]:
    """Yield each title that is named more than once. `named`: for each span the items that it may mean."""
    counts = Counter(items for items in named if items)
    for items, count in counts.items():
        if count > len(items):
            yield next(span.text for span, means in zip(spans, named, strict=True) if means == items), "is named twice"
