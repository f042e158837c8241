"""Generated dialogues of one or two messages, each with what must be understood of it.

Their phrasings are not those that a model learns from: alternatives, mild refusals, what other people want, corrections,
courtesy, questions for facts, misspelt names, and titles with their year. The first five of each subject were known while
the reader was built; the others were written by somebody who had not seen it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from recommender.errors import DataError

#: subject -> user's messages, a line each; {a}, {b}: kinds; {t}: a title; {y}: its year; what is to be read: see `_expected`
PHRASINGS: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "alternatives": (
        (("{a} or {b}, I don't mind which",), "either"),
        (("could be {a}, could also be {b}, you choose: {a} or {b}",), "either"),
        (("we would take {a} or {b} tonight",), "either"),
        (("either {a} or else {b}, surprise me",), "either"),
        (("one of us voted {a} or {b}",), "either"),
        (("I'm in the mood for {a} or {b} tonight",), "either"),
        (("Got anything that's either {a} or {b}?",), "either"),
        (("it has to be {a} or {b}, I don't mind which",), "either"),
        (("Hi there", "could you find me a {a} film, or else a {b} one"), "either"),
        (("Something {a} or maybe {b} please, one of the two",), "either"),
        (("{a} or {b}, nothing else",), "either"),
        (
            ("what should I watch this evening?", "{a} would be good, {b} would be fine too, just one of those"),
            "either",
        ),
        (("We can't decide between {a} and {b}, so pick us a film from either",), "either"),
    ),
    "mild refusals": (
        (("nothing overly {a} tonight",), "not a"),
        (("preferably not {a}",), "not a"),
        (("I could do without {a} today",), "not a"),
        (("not so much {a} please",), "not a"),
        (("a quiet evening, so not {a}",), "not a"),
        (("I'd rather not watch {a} tonight, if that's ok",), "not a"),
        (("I'm not really a fan of {a}, sorry",), "not a"),
        (("Could we maybe skip {a} this time?",), "not a"),
        (("Recommend me something good", "hmm, {a} isn't really my thing"), "not a"),
        (("anything but {a} please",), "not a"),
        (("I'd prefer to stay away from {a} if possible",), "not a"),
        (("What do you suggest for a Friday night?", "thanks, but I don't much feel like {a}"), "not a"),
        (("{a} doesn't do much for me to be honest, could you leave it out?",), "not a"),
    ),
    "other people": (
        (("my sister can't bear {a}",), "not a"),
        (("grandpa only wants {a}",), "a"),
        (("my flatmate insists on {a}",), "a"),
        (("he detests {a}, so leave that",), "not a"),
        (("the children asked for {a}",), "a"),
        (("My wife insists on {a}",), "a"),
        (("I'm watching with my brother and he only wants {a}",), "a"),
        (("My daughter will only sit through it if it's {a}",), "a"),
        (("We need a film for tonight", "my boyfriend says it absolutely must be {a}"), "a"),
        (("My husband can't stand {a}",), "not a"),
        (("my girlfriend refuses to watch {a}, so none of that",), "not a"),
        (("Looking for something to watch with my mum", "she won't have {a} at any price"), "not a"),
        (("My flatmate hates {a} so that's out",), "not a"),
    ),
    "corrections": (
        (("a {a} film please", "oh, it needn't be {a}"), "nothing"),
        (("I want {a}", "hold on, not solely {a}"), "nothing"),
        (("a {a} film please", "on second thought it does not have to be {a}"), "nothing"),
        (("no {a} please", "well, {a} would be alright after all"), "nothing"),
        (("without {a}", "I changed my mind, {a} is okay too"), "nothing"),
        (("It has to be {a}", "actually, forget that, it doesn't have to be {a}"), "nothing"),
        (("No {a} please", "on second thoughts {a} is fine too"), "nothing"),
        (("I only want {a} films", "hmm never mind, any genre will do"), "nothing"),
        (("Please leave out {a}", "sorry, I changed my mind, you can include {a} again"), "nothing"),
        (("I want to see a {a} movie", "wait, scratch that, I'm open to anything"), "nothing"),
        (("I don't want any {a}", "oh, ignore what I said about {a}, I don't mind it after all"), "nothing"),
        (("Must be {a}", "no, I take that back, it needn't be {a}"), "nothing"),
        (("nothing with {a} in it", "ok actually I'm all right with {a}"), "nothing"),
    ),
    "courtesy": (
        (("many thanks!",), "courtesy"),
        (("that is very kind of you, goodbye",), "courtesy"),
        (("good day to you",), "courtesy"),
        (("hi there, how is it going?",), "courtesy"),
        (("a {a} film please", "thank you, I will have a look"), "courtesy"),
        (("Hello!",), "courtesy"),
        (("hey, how are you?",), "courtesy"),
        (("Good evening",), "courtesy"),
        (("Can you suggest a {a} film?", "great, thank you so much!"), "courtesy"),
        (("I'd like to watch a {a} film", "cheers, that's really helpful"), "courtesy"),
        (("Thanks, bye!",), "courtesy"),
        (("Show me a good {a} movie please", "perfect, thanks a lot. Have a nice evening!"), "courtesy"),
        (("ok that's all for today, see you later",), "courtesy"),
    ),
    "facts": (
        (("who was the director of {t}?",), "director"),
        (("which actors are in {t}?",), "cast"),
        (("what year is {t} from?",), "year"),
        (("would {t} be suitable for my kids?",), "audience"),
        (("could you tell me the plot of {t}?",), "about"),
        (("Who directed {t}?",), "director"),
        (("{t}, whose film is that? I mean who was the director",), "director"),
        (("who's in {t}?",), "cast"),
        (("Which actors star in {t}?",), "cast"),
        (("When did {t} come out?",), "year"),
        (("Is {t} ok to watch with my kids?",), "audience"),
        (("What's {t} about?",), "about"),
        (("I've never seen {t}, can you tell me the story in short?",), "about"),
    ),
    "misspelt names": (
        (("i liked {m} very much",), "liked"),
        (("one of my favourites is {m}",), "liked"),
        (("have you something similar to {m}?",), "liked"),
        (("we really enjoyed {m} last week",), "liked"),
        (("I would love another one like {m}",), "liked"),
        (("I loved {m}",), "liked"),
        (("Can you find me something like {m}?",), "liked"),
        (("{m} was brilliant, any more like that?",), "liked"),
        (("Hi, what do you recommend?", "well I really enjoyed {m}"), "liked"),
        (("one of my favourites is {m}",), "liked"),
        (("I'm looking for films similar to {m}",), "liked"),
        (("saw {m} last week and thought it was great",), "liked"),
        (("More movies in the style of {m} please",), "liked"),
    ),
    "titles with years": (
        (("{t} ({y}) was such a good one",), "liked"),
        (("more in the vein of {t} ({y}) please",), "liked"),
        (("I could see {t} ({y}) again and again",), "liked"),
        (("what do people see who love {t} ({y})?",), "liked"),
        (("my all time favourite must be {t} ({y})",), "liked"),
        (("I really liked {t} ({y})",), "liked"),
        (("What else is there like {t} ({y})?",), "liked"),
        (("{t} ({y}) is one of my all-time favourites",), "liked"),
        (("Hello", "I'd love to see something along the lines of {t} ({y})"), "liked"),
        (("just watched {t} ({y}) and loved every minute",), "liked"),
        (("If I enjoyed {t} ({y}), what should I watch next?",), "liked"),
        (("I'm a big fan of {t} ({y})",), "liked"),
        (("give me films similar to {t} ({y})",), "liked"),
    ),
}
QUESTIONS = ("director", "cast", "year", "audience", "about")


@dataclass(frozen=True)
class Understood:
    """What a conversation asks for at its end. `only`: groups of values, one of each of which must hold; `without`: values;
    `liked`: an item that is liked or that others like it are wanted of; `years`: whether years are bounded; `act`: list,
    courtesy, or the topic of a question."""

    only: frozenset[frozenset[str]] = frozenset()
    without: frozenset[str] = frozenset()
    liked: frozenset[str] = frozenset()
    years: bool = False
    act: str = "list"


@dataclass(frozen=True)
class GeneratedDialogue:
    """The user's messages, what must be understood of them, and a key of `PHRASINGS`."""

    messages: tuple[str, ...]
    expected: Understood
    subject: str


@dataclass
class DialogueMeasures:
    """How many dialogues of each subject are read right, and how many items of the lists meet the conditions."""

    right: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    shown: int = 0
    meeting: int = 0
    misread: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Return shares by subject, of all, and of the items that meet all conditions."""
        everything = [one for values in self.right.values() for one in values]
        shares = {subject: sum(values) / len(values) for subject, values in self.right.items()}
        met = self.meeting / self.shown if self.shown else 1.0
        return {
            "read right": sum(everything) / max(len(everything), 1),
            **shares,
            "items shown": self.shown,
            "items that meet all conditions": met,
            "misread": self.misread,
        }


def generate_dialogues(
    kinds: Sequence[str], titles: Sequence[tuple[str, str, str]], count: int = 200, seed: int = 0
) -> list[GeneratedDialogue]:
    """Return `count` dialogues, evenly over the subjects. `kinds`: values; `titles`: names without
    year, years, and names as lists show them.

    Raises DataError if there are fewer than two kinds, or no titles.
    """
    if len(kinds) < 2 or not titles:
        raise DataError(
            "dialogues need two kinds of items and an unmistakable title with a year", "leave them out: --dialogues 0"
        )
    draw, subjects = random.Random(seed), list(PHRASINGS)
    return [_dialogue(subjects[n % len(subjects)], kinds, titles, draw) for n in range(count)]


def _dialogue(
    subject: str, kinds: Sequence[str], titles: Sequence[tuple[str, str, str]], draw: random.Random
) -> GeneratedDialogue:
    lines, meant = draw.choice(PHRASINGS[subject])
    a, b = draw.sample(list(kinds), 2)
    title, year, shown = draw.choice(list(titles))
    spelled = {"a": a.lower(), "b": b.lower(), "t": title, "y": year, "m": _misspelt(title, draw)}
    messages = tuple(line.format(**spelled) for line in lines)
    return GeneratedDialogue(messages, _expected(meant, a, b, shown), subject)


def _expected(meant: str, a: str, b: str, title: str) -> Understood:
    if meant in QUESTIONS:
        return Understood(act=meant)
    return {
        "either": Understood(only=frozenset({frozenset({a, b})})),
        "a": Understood(only=frozenset({frozenset({a})})),
        "not a": Understood(without=frozenset({a})),
        "nothing": Understood(),
        "courtesy": Understood(act="courtesy"),
        "liked": Understood(liked=frozenset({title})),
    }[meant]


def _misspelt(name: str, draw: random.Random) -> str:
    """Return a name with two neighbouring letters of its longest word changed."""
    word = max(name.split(), key=len)
    place = draw.randrange(1, max(len(word) - 2, 2))
    wrong = word[:place] + word[place + 1 : place + 2] + word[place : place + 1] + word[place + 2 :]
    return name.replace(word, wrong, 1)


def measure_dialogues(
    dialogues: Sequence[GeneratedDialogue],
    understand: Callable[[Sequence[str]], Understood],
    answer: Callable[[Sequence[str]], Sequence[frozenset[str]]],
    most_listed: int = 40,
) -> DialogueMeasures:
    """Compare what is understood of dialogues with what must be. `answer`: messages -> the values of each listed item."""
    measures = DialogueMeasures()
    for dialogue in dialogues:
        read = understand(dialogue.messages)
        courteous = dialogue.expected.act == "courtesy"
        right = read.act == "courtesy" if courteous else read == dialogue.expected
        measures.right[dialogue.subject].append(right)
        if not right and len(measures.misread) < most_listed:
            measures.misread.append(f"{' / '.join(dialogue.messages)} -> {read}")
        for values in answer(dialogue.messages) if not courteous and dialogue.expected.act == "list" else ():
            measures.shown += 1
            met = all(group & values for group in dialogue.expected.only) and not dialogue.expected.without & values
            measures.meeting += met
    return measures
