"""Conversations made from a catalogue and from histories: a model learns to listen from them.

A seeker has a real history. They speak of a few of its items, of works that the catalogue lacks, of kinds, people, themes
and times; they refuse, ask, change their mind and make small talk, in several styles. Somebody answers with questions and
suggestions. Wherever the recommender would speak next, what suits is known: see `taste`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recommender.conversations.made import MadeConversation, MadeTurn, Said
from recommender.conversations.outside import OutsideWorks
from recommender.conversations.phrases import filled, phrases_of, pick
from recommender.conversations.spelling import spelled, with_typo
from recommender.conversations.taste import Taste
from recommender.conversations.wishes import (
    ASKED,
    COURTESY,
    DISLIKED,
    FREE,
    LIKED,
    LIST,
    MUST,
    NOT,
    OR,
    QUESTION,
    SEEN,
    SIMILAR,
    WISH,
    Wish,
)
from recommender.data.catalogue import Catalogue
from recommender.justify.english import domain_words
from recommender.justify.facts import PEOPLE, fact_index, facts_of, role, years_of
from recommender.justify.item_names import display_name

#: neighbouring places of a history from which a seeker speaks
WINDOW = 30
#: how often a seeker's message has each subject
SUBJECTS = {
    "conditions": 22,
    "tastes": 10,
    "theme": 6,
    "quote": 14,
    "person": 8,
    "era": 4,
    "items": 20,
    "outside": 22,
    "refusals": 6,
    "disliked": 4,
    "known before": 3,
    "asked": 3,
    "corrections": 4,
}
#: chances of a further message, one after the other
_GOES_ON = (0.65, 0.45, 0.3)
_LOWER_CASE, _TYPOS, _SMALL_TALK, _GREETED, _THANKED = 0.35, 0.15, 0.25, 0.55, 0.06
#: share of the conversations that are a single message on one thing, and of these that quote what happens in an item
_BRIEF, _BRIEF_QUOTE = 0.65, 0.7
#: how often something of a seeker is known before they speak, often nothing else, and seldom more than a few items
_KNOWN_PERSON, _SILENT, _LONG_PROFILE, _FEW = 0.35, 0.35, 0.35, 5
#: answers to a suggestion: liked, not known, and the rest not liked
_KNOWN, _UNKNOWN = 0.42, 0.44
#: how much the popular items of a history are spoken of more
_FAME = 0.6
_TRIES = 20
#: fewest and most words of a description that are quoted
_QUOTED = 3, 10
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
#: chance that one message has a further subject, and another
_MORE_SUBJECTS = 0.25


@dataclass(frozen=True)
class _Named:
    """An item of the catalogue, or a work that it lacks."""

    place: int
    outside: bool


class ConversationMaker:
    """Makes conversations about one catalogue, each in one of some languages."""

    def __init__(
        self,
        taste: Taste,
        histories: Sequence[np.ndarray],
        noun: str = "items",
        outside: OutsideWorks | None = None,
        languages: Sequence[str] = ("en",),
    ) -> None:
        """`histories`: catalogue indices; those of a single item are left out. `outside`: `taste` must know the same."""
        self.outside = outside
        self.taste, self.phrases = taste, [phrases_of(language) for language in languages]
        self.words = domain_words(noun)
        self.histories = [history for history in histories if len(history) > 1]
        self.kinds = tuple(sorted(taste.kinds.names))
        self.people = {person: items for person, items in taste.people.items() if len(items) > 1}

    def conversations(self, seed: int | Sequence[int]) -> Iterator[MadeConversation]:
        """Yield conversations without end; the same for the same seed."""
        random = np.random.default_rng(seed)
        while True:
            made = _Talk(self, random).run()
            if made.wishes:
                yield made


class _Talk:
    """One conversation while it goes on."""

    def __init__(self, maker: ConversationMaker, random: np.random.Generator) -> None:
        self.maker, self.random = maker, random
        self.taste, self.words = maker.taste, maker.words
        several = len(maker.phrases) > 1
        self.phrases = maker.phrases[int(random.integers(len(maker.phrases))) if several else 0]
        history = maker.histories[int(random.integers(len(maker.histories)))]
        start = int(random.integers(max(len(history) - WINDOW, 1)))
        self.window = list(dict.fromkeys(int(item) for item in history[start : start + WINDOW]))
        self.wish, self.turns, self.wishes = Wish(), list[MadeTurn](), list[tuple[int, Wish]]()
        self.lower, self.typos = random.random() < _LOWER_CASE, random.random() < _TYPOS
        self.suggested: _Named | None = None
        self.act, self.reaction = LIST, ""

    def run(self) -> MadeConversation:
        """Talk to the end."""
        if self.random.random() < _BRIEF:
            return self._one_message()
        profile = self._profile() if self.random.random() < _KNOWN_PERSON else ()
        if profile and self.random.random() < _SILENT:
            self.turns.append(MadeTurn("user", (Said("What next?"),), LIST))
            self.wishes.append((1, self.wish.copy()))
        else:
            self._converse()
        left = tuple(item for item in self.window if item not in self.wish.named)
        return MadeConversation(profile, tuple(self.turns), tuple(self.wishes), left)

    def _one_message(self) -> MadeConversation:
        """Say one thing: mostly what happens in an item, in many words and none that is a name."""
        parts = self._quote() if self.random.random() < _BRIEF_QUOTE else None
        self._say("user", parts or self._subject(), self.act)
        return MadeConversation((), tuple(self.turns), ((1, self.wish.copy()),), (), brief=True)

    def _profile(self) -> tuple[int, ...]:
        """Return items that are known of the seeker, shuffled: people name favourites, not sequences."""
        most = len(self.window) * 2 // 3 if self.random.random() < _LONG_PROFILE else _FEW
        count = int(self.random.integers(1, max(min(most, len(self.window) - 1), 1) + 1))
        items = [int(item) for item in self.random.permutation(self.window)[:count]]
        self.wish.liked += items
        self.wish.named |= set(items)
        return tuple(items)

    def _converse(self) -> None:
        if self.random.random() < _GREETED:
            self._greet()
        turns = 1 + sum(bool(np.all(self.random.random(n + 1) < _GOES_ON[: n + 1])) for n in range(len(_GOES_ON)))
        for number in range(turns):
            self._speak()
            if number < turns - 1:
                self._answer()
        if self.random.random() < _THANKED:
            self._answer()
            self._say("user", [Said(self._phrase("thanks"))], COURTESY)
            self.wishes.append((len(self.turns), self.wish.copy()))

    def _greet(self) -> None:
        if self.random.random() < 0.5:
            self._say("user", [Said(self._phrase("greetings"))], COURTESY)
            if self.random.random() < 0.2:
                self.wishes.append((len(self.turns), self.wish.copy()))
        self._say("assistant", [Said(self._phrase("welcomes"))])

    def _speak(self) -> None:
        """Say something as the seeker; afterwards it is known what suits."""
        parts, self.act, self.reaction = list[Said](), LIST, ""
        if self.random.random() < _SMALL_TALK:
            parts.append(Said(self._phrase("small_talk") + pick([". ", ", ", " ", "! "], self.random)))
        if self.suggested is not None:
            parts += [*self._reaction(self.suggested), Said(pick([". ", " ", ", ", "! "], self.random))]
        if self.suggested is None or self.random.random() < 0.6:
            parts += self._subject()
            while self.act == LIST and self.random.random() < _MORE_SUBJECTS:
                parts += [Said(pick([". ", " and ", ", ", " but "], self.random)), *self._subject()]
        elif self.random.random() < 0.4:
            parts.append(Said(self._phrase("more")))
        self.suggested = None
        self._say("user", parts, self.act, self.reaction)
        self.wishes.append((len(self.turns), self.wish.copy()))

    def _answer(self) -> None:
        """Ask, or suggest something that suits."""
        if self.random.random() < 0.3:
            self._say("assistant", [Said(self._phrase("questions"))])
            return
        work = self._outside() if self.random.random() < 0.6 else None
        self.suggested = _Named(self._suiting(), False) if work is None else _Named(work, True)
        if work is None:
            self.wish.named.add(self.suggested.place)
        before = pick(["Sure! ", "ok, ", "great. ", "I see. ", ""], self.random)
        parts = [Said(before), *self._pieces("suggestions", name=self._named(self.suggested, ""))]
        if self.random.random() < 0.3:
            parts += [Said(" "), Said(self._description(self.suggested))]
        self._say("assistant", parts)

    def _reaction(self, suggested: _Named) -> list[Said]:
        """Say what becomes of a suggestion; sometimes ask about it."""
        drawn = self.random.random()
        liked = self.wish.outside if suggested.outside else self.wish.liked
        if drawn < _KNOWN:
            liked.append(suggested.place)
            self.reaction = LIKED
            return [Said(self._phrase("known"))]
        if drawn < _KNOWN + _UNKNOWN:
            # what was suggested tells something of what fits, before all that was said
            liked.insert(0, suggested.place)
            if self.random.random() < 0.25:
                self.act = QUESTION
                return [Said(self._phrase("asked_again"))]
            return [Said(self._phrase("unknown"))]
        if not suggested.outside:
            self.wish.disliked.append(suggested.place)
        self.reaction = DISLIKED
        return [Said(self._phrase("not_liked"))]

    # what a seeker speaks of

    def _subject(self) -> list[Said]:
        """Say one thing that bears on the wish. Some subjects are not there for every catalogue."""
        if self.act == QUESTION:
            return []
        ways: dict[str, Callable[[], list[Said] | None]] = {
            "conditions": self._conditions,
            "tastes": self._tastes,
            "theme": self._theme,
            "quote": self._quote,
            "person": self._person,
            "era": self._era,
            "items": self._items,
            "outside": self._outside_works,
            "refusals": self._refusals,
            "disliked": self._disliked,
            "known before": self._known_before,
            "asked": self._asked,
            "corrections": self._corrections,
        }
        shares = np.array([SUBJECTS[name] for name in ways], float)
        for _ in range(_TRIES):
            name = list(ways)[int(self.random.choice(len(ways), p=shares / shares.sum()))]
            if (parts := ways[name]()) is not None:
                return parts
        return [Said(self._phrase("more"))]

    def _conditions(self) -> list[Said] | None:
        kind = self._some_kind()
        if kind is None:
            return None
        other = pick(self.maker.kinds, self.random)
        if other == kind or self.random.random() < 0.7:
            self.wish.kinds.append((kind,))
            return self._pieces("conditions", kind=[self._kind(kind, MUST)])
        how, meant = "either", OR
        self.wish.kinds.append((kind, other))
        if self.random.random() < 0.5:
            how, meant = ("both", MUST) if self.random.random() < 0.5 else ("except", NOT)
            self.wish.kinds[-1] = (kind,)
            if how == "both":
                self.wish.kinds.append((other,))
            else:
                self.wish.not_kinds.append(other)
        both = self._pieces(how, kind=[self._kind(kind, MUST)], other=[self._kind(other, meant)])
        return self._pieces("conditions", kind=both)

    def _tastes(self) -> list[Said] | None:
        kind = self._some_kind()
        if kind is None:
            return None
        self.wish.tastes.append(kind)
        pieces, other = [self._kind(kind, WISH)], self._some_kind()
        if other is not None and other != kind and self.random.random() < 0.3:
            self.wish.tastes.append(other)
            pieces = self._pieces("both", kind=pieces, other=[self._kind(other, WISH)])
        return self._pieces("tastes", kind=pieces)

    def _refusals(self) -> list[Said] | None:
        own = {kind.casefold() for kind in self._own_values("kind")}
        others = [kind for kind in self.maker.kinds if kind not in own]
        if not others:
            return None
        kind, pieces = pick(others, self.random), list[Said]()
        self.wish.not_kinds.append(kind)
        pieces = [self._kind(kind, NOT)]
        if len(others) > 1 and self.random.random() < 0.25:
            self.wish.not_kinds.append(other := pick([k for k in others if k != kind], self.random))
            pieces += [Said(pick([" or ", " and ", " nor ", ", "], self.random)), self._kind(other, NOT)]
        return self._pieces("refusals", kind=pieces)

    def _corrections(self) -> list[Said] | None:
        """Take back a condition, or a refusal."""
        back = [(group[0], "corrections") for group in self.wish.kinds if len(group) == 1]
        back += [(kind, "pardons") for kind in self.wish.not_kinds]
        if not back:
            return None
        kind, group = back[int(self.random.integers(len(back)))]
        self.wish.free(kind)
        return self._pieces(group, kind=[self._kind(kind, FREE)])

    def _theme(self) -> list[Said] | None:
        themes = [theme for theme in self._own_values("theme") if theme in self.taste.themes]
        if not themes:
            return None
        self.wish.themes.append(theme := pick(themes, self.random))
        return self._pieces("themes", theme=[Said(theme, WISH)])

    def _quote(self) -> list[Said] | None:
        """Say what happens in an item, in a few words of its description."""
        item = self.window[int(self.random.integers(len(self.window)))]
        sentences = _SENTENCE.split(self.taste.catalogue[item].text or "")
        said = sentences[int(self.random.integers(len(sentences)))].rstrip(".!? ").split()
        if len(said) < _QUOTED[0]:
            return None
        count = int(self.random.integers(_QUOTED[0], min(_QUOTED[1], len(said)) + 1))
        start = int(self.random.integers(len(said) - count + 1))
        self.wish.quoted.append(item)
        return self._pieces("quotes", quote=[Said(" ".join(said[start : start + count]).rstrip(",;:"))])

    def _person(self) -> list[Said] | None:
        people = [person for name in PEOPLE for person in self._own_values(name) if person in self.maker.people]
        if not people:
            return None
        person, drawn = pick(people[:6], self.random), self.random.random()
        group, meant = ("people", MUST) if drawn < 0.5 else ("people_liked", WISH)
        if drawn > 0.9:
            person, group, meant = pick(list(self.maker.people), self.random), "people_refused", NOT
        (self.wish.not_people if meant == NOT else self.wish.people).append(person)
        return self._pieces(group, person=[Said(person, meant)])

    def _era(self) -> list[Said] | None:
        years = sorted({int(year) for year in self.taste.years if year > 0})
        if len(years) < 2:
            return None
        first = int(self.random.choice(years)) // 10 * 10
        if first + 9 >= years[0] + 30 or self.random.random() < 0.8:
            self.wish.years = (first, first + 9)
            short = f"{first % 100:02d}s"
            said = pick([f"from the {short}", f"from the {first}s", f"{short}"], self.random)
        else:
            self.wish.years = (0, first + 9)
            said = pick(["old", "a classic", "from before I was born"], self.random)
        return self._pieces("eras", era=[Said(said)])

    def _items(self) -> list[Said] | None:
        left = [item for item in self.window if item not in self.wish.named]
        if not left:
            return None
        count = 2 if self.random.random() < 0.35 and len(left) > 1 else 1
        fame = _FAME * self.taste.popularity[left] + self.random.gumbel(size=len(left))
        if self.wish.liked:
            fame = fame + 3 * self.taste.company.rows(self.wish.liked).sum(0)[left]
        items = [left[place] for place in np.argsort(-fame)[:count]]
        self.wish.liked += items
        self.wish.named |= set(items)
        return self._liking([_Named(item, False) for item in items])

    def _outside_works(self) -> list[Said] | None:
        count = 2 if self.random.random() < 0.35 else 1
        works = [work for _ in range(count) if (work := self._outside()) is not None]
        if len(works) < count:
            return None
        self.wish.outside += works
        return self._liking([_Named(work, True) for work in works])

    def _liking(self, named: Sequence[_Named]) -> list[Said]:
        """Say that one or two items are liked, or that others like them are wanted."""
        group, meant = ("likes", LIKED) if self.random.random() < 0.6 else ("similar", SIMILAR)
        names = [self._named(one, meant) for one in named]
        if len(names) == 1:
            return self._pieces(group, name=names[0])
        return self._pieces(f"{group}_two", name=names[0], other=names[1])

    def _known_before(self) -> list[Said] | None:
        left = [item for item in self.window if item not in self.wish.named]
        if not left:
            return None
        item = left[int(self.random.integers(len(left)))]
        self.wish.liked.insert(0, item)
        self.wish.named.add(item)
        return self._pieces("known_before", name=self._named(_Named(item, False), SEEN))

    def _disliked(self) -> list[Said] | None:
        item = self._popular()
        if item in self.wish.named:
            return None
        self.wish.disliked.append(item)
        self.wish.named.add(item)
        return self._pieces("dislikes", name=self._named(_Named(item, False), DISLIKED))

    def _asked(self) -> list[Said] | None:
        item = self._popular()
        self.act = QUESTION
        return self._pieces("asked", name=self._named(_Named(item, False), ASKED))

    # whom and what

    def _some_kind(self) -> str | None:
        own = [kind.casefold() for kind in self._own_values("kind")]
        if not self.maker.kinds:
            return None
        own = [kind for kind in own if kind in self.maker.kinds]
        return pick(own if own and self.random.random() < 0.75 else self.maker.kinds, self.random)

    def _suiting(self) -> int:
        scores = self.taste.scores(self.wish)
        return int(np.argmax(scores + self.random.gumbel(size=len(scores))))

    def _popular(self) -> int:
        return int(np.argmax(self.taste.popularity + self.random.gumbel(size=len(self.taste.popularity))))

    def _outside(self) -> int | None:
        """Draw a work that the catalogue lacks and that suits what was said; None where there are none."""
        if self.maker.outside is None:
            return None
        kinds = [*(kind for group in self.wish.kinds for kind in group), *self.wish.tastes]
        if not kinds and self.wish.liked:
            kinds = list(fact_index(self.taste.catalogue).kinds[self.wish.liked[-1]])
        return self.maker.outside.draw(self.wish, kinds, self.random)

    def _own_values(self, of_role: str) -> list[str]:
        """Return the values of a role of one item that the seeker had."""
        item = self.window[int(self.random.integers(len(self.window)))]
        facts = facts_of(self.taste.catalogue, item)
        return [value for name, values in facts.items() if role(name) == of_role for value in values]

    # how it is said

    def _phrase(self, group: str, **values: str) -> str:
        return filled(self.phrases.draw(group, self.random), self.words, self.random, **values)

    def _pieces(self, group: str, **values: Sequence[Said]) -> list[Said]:
        """Return a phrase with what stands in its places."""
        text = self._phrase(group, **{name: f"\x00{name}\x00" for name in values})
        parts = text.split("\x00")
        return [
            piece
            for number, part in enumerate(parts)
            for piece in (values[part] if number % 2 else [Said(part)])
            if piece.text
        ]

    def _kind(self, kind: str, meant: str) -> Said:
        return Said(pick(self.phrases.words_for(kind), self.random), meant)

    def _description(self, named: _Named) -> str:
        """Return what one of the two knows of an item, "" where nothing is known."""
        known: dict[str, list[str]] = {"person": [], "kind": [], "theme": []}
        for name, values in facts_of(self._catalogue(named), named.place).items():
            part = "person" if role(name) in PEOPLE else role(name)
            known[part] = [*known.get(part, []), *values]
        phrase = self.phrases.draw("descriptions", self.random)
        wanted = [name for name in ("person", "kind", "theme") if f"{{{name}}}" in phrase]
        if not all(known[name] for name in wanted):
            return ""
        return filled(phrase, self.words, self.random, **{name: pick(known[name][:4], self.random) for name in wanted})

    def _catalogue(self, named: _Named) -> Catalogue:
        return self.taste.outside if named.outside and self.taste.outside is not None else self.taste.catalogue

    def _named(self, named: _Named, meant: str) -> list[Said]:
        """Return the name of an item as people write it."""
        catalogue = self._catalogue(named)
        year = next(iter(years_of(facts_of(catalogue, named.place))), None)
        return [Said(spelled(display_name(catalogue[named.place]), year, self.random), meant)]

    def _say(self, role_: str, parts: Sequence[Said], act: str = "", reaction: str = "") -> None:
        styled = [replace(part, text=self._styled(part.text)) for part in parts]
        self.turns.append(MadeTurn(role_, tuple(part for part in styled if part.text), act, reaction))

    def _styled(self, text: str) -> str:
        text = text.lower() if self.lower else text
        return with_typo(text, self.random) if self.typos and self.random.random() < 0.5 else text
