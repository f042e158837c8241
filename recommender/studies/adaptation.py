"""Do explanations that follow each person's feedback suit them better? Measured on simulated people.

Each has a taste that nobody told the system: how long a text they like, and what they like to be told of. Round by round
they read why some items are recommended to them, and mark what they found helpful. One system adapts to these marks, one
explains as configured, one knows the taste from the start, which is the most that adapting can reach. What a text tells is
read by code that shares nothing with what writes and adapts; the same draws decide what is marked in all systems.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import LENGTHS, Length
from recommender.engine import Engine
from recommender.engine.feedback_policy import FeedbackPolicy
from recommender.engine.justifying import Justifier
from recommender.eval.bootstrap import Bootstrap
from recommender.justify import Justification, justify
from recommender.justify.facts import FactIndex, fact_index, role
from recommender.justify.style import CROWD, Style
from recommender.progress import Progress
from recommender.store.opinions import Feedback
from recommender.studies.reading import Readers

SYSTEMS = ("as configured", "adapts", "knows the taste")
#: what people may like to be told of -> the roles of its attributes; "others": what others chose
SUBJECTS = {"person": ("director", "cast", "writer", "artist"), "kind": ("kind",), "others": (CROWD,)}
#: words, names counted as one, of the texts that people of each length like best, and how soon they like others less
_WORDS: dict[Length, int] = {"short": 13, "normal": 18, "detailed": 26}
_WIDTH = 4.0
#: the chance to call any text helpful, and what length and subject add to it at most
_ANYWAY, _LENGTH, _SUBJECT = 0.05, 0.3, 0.4


@dataclass(frozen=True)
class AdaptationSettings:
    """people: simulated. rounds: of marks. texts: that a person reads in a round."""

    rounds: int = 8
    texts: int = 5
    seed: int = 0


@dataclass(frozen=True)
class _Person:
    """A simulated person: a history [n], the length and the subject that they like."""

    name: str
    history: np.ndarray
    length: Length
    subject: str


def study_adaptation(
    engine: Engine, histories: Sequence[np.ndarray], settings: AdaptationSettings, progress: Progress | None = None
) -> dict[str, Any]:
    """Return how helpful each system's texts were by round: mean chance of being marked, with 95 % intervals over people.

    Sentences are plain ones: what adapts is which facts are told, and how many, whoever writes them. `false`: texts with a
    claim that is not true.
    """
    readers = Readers.of(engine.catalogue, engine.setup.companions, engine.style.noun)
    draws = np.random.default_rng(settings.seed)
    people = [
        _Person(f"p{n}", history, LENGTHS[n % len(LENGTHS)], list(SUBJECTS)[n // len(LENGTHS) % len(SUBJECTS)])
        for n, history in enumerate(histories)
    ]
    chances = np.zeros((len(people), len(SYSTEMS), settings.rounds))
    false, words = np.zeros(len(SYSTEMS), int), np.zeros(len(SYSTEMS))
    for place, person in enumerate(people):
        marks = draws.random((settings.rounds, settings.texts))
        items = _listed(engine, person.history, settings.rounds * settings.texts)
        for number, system in enumerate(SYSTEMS):
            for round_number, texts in enumerate(_rounds(engine, person, items, marks, system, readers)):
                chances[place, number, round_number] = np.mean([read.chance for read in texts])
                false[number] += sum(read.false for read in texts)
                words[number] += sum(read.words for read in texts)
        if progress:
            progress("simulated people", place + 1, len(people))
    return _told(chances, false, words, settings, len(people))


def _listed(engine: Engine, history: np.ndarray, count: int) -> list[int]:
    """Return as many items as a person reads about, the best first; a small catalogue begins again."""
    scores = np.array(engine.score_all([history])[0], np.float64)
    scores[history] = -np.inf
    best = [int(item) for item in np.argsort(-scores, kind="stable")[:count] if np.isfinite(scores[item])]
    return [best[n % len(best)] for n in range(count)]


@dataclass(frozen=True)
class _Read:
    """A text as a person read it: the chance to be called helpful, its words, whether it holds a false claim."""

    text: str
    chance: float
    words: int
    false: bool


class _Silent:
    """A writer that does not write: sentences are plain."""

    writes = False

    def write(self, *_: Any, **__: Any) -> list[str]:
        raise AssertionError("nobody asks it")

    def write_list(self, *_: Any, **__: Any) -> Iterator[str]:
        raise AssertionError("nobody asks it")


def _rounds(
    engine: Engine, person: _Person, items: Sequence[int], marks: np.ndarray, system: str, readers: Readers
) -> Iterator[list[_Read]]:
    """Yield what a person reads in each round; `marks` [rounds, texts]: a text is helpful if its chance is above them."""
    index = fact_index(engine.catalogue)
    with tempfile.TemporaryDirectory() as folder:
        policy = FeedbackPolicy(engine.checker, adapts=system == "adapts")
        policy.keep_in(Path(folder) / "feedback.jsonl")
        justifier = Justifier(engine.setup, _Silent(), policy)
        for number, row in enumerate(marks):
            chosen = items[number * len(row) : (number + 1) * len(row)]
            evidence = justifier.evidence(person.history, chosen, engine.score, person.name)
            if system == "knows the taste":
                best = _ideal(engine.style, person, index)
                written = justify(engine.catalogue, evidence, None, engine.checker, best)
            else:
                written = justifier.justify(evidence, person.name)
            read = [_read(readers, person, justification) for justification in written]
            for one, justification, mark in zip(read, written, row, strict=True):
                if mark < one.chance:
                    item = engine.catalogue[justification.evidence.item].item_id
                    opinion = Feedback(item_id=item, opinion="helpful", user=person.name, justification=one.text)
                    policy.take(opinion, engine.style.noun)
            yield read


def _ideal(style: Style, person: _Person, index: FactIndex) -> Style:
    """Return the style of somebody whose taste is known."""
    roles = SUBJECTS[person.subject]
    prefers = roles if roles == (CROWD,) else tuple(name for name in index.names if role(name) in roles)
    return replace(style, length=person.length, prefers=prefers)


def _read(readers: Readers, person: _Person, justification: Justification) -> _Read:
    history = [influence.item for influence in justification.evidence.influences]
    item, text = justification.evidence.item, justification.text
    claims = readers.claims(text, item, history)
    told = {"person"} & readers.told(text, item, history).of
    told |= {"others"} if any(claim.kind == "crowd" for claim in claims) else set()
    words = sum(not quoted for quoted in _quoted_words(text))
    liked = np.exp(-(((words - _WORDS[person.length]) / _WIDTH) ** 2))
    suits = person.subject in told or (person.subject == "kind" and not told)
    chance = _ANYWAY + _LENGTH * float(liked) + _SUBJECT * suits
    return _Read(text, chance, words, any(not claim.true for claim in claims))


def _quoted_words(text: str) -> Iterator[bool]:
    """Yield for each word whether it stands within quotation marks and is not the first one there."""
    for place, part in enumerate(text.split('"')):
        for number, _ in enumerate(part.split()):
            yield place % 2 == 1 and number > 0


def _told(
    chances: np.ndarray, false: np.ndarray, words: np.ndarray, settings: AdaptationSettings, people: int
) -> dict[str, Any]:
    late = chances[:, :, settings.rounds // 2 :].mean(axis=2, keepdims=True)
    resampled = Bootstrap(np.concatenate([chances, late], axis=2), settings.seed)
    means, differences = resampled.means(), resampled.differences(0)
    texts = people * settings.rounds * settings.texts

    def interval(estimates: Any, system: int, column: int) -> dict[str, float]:
        return {part: float(getattr(estimates, part)[system, column]) for part in ("mean", "low", "high")}

    systems = {
        name: {
            "rounds": [interval(means, number, column) for column in range(settings.rounds)],
            "later half": interval(means, number, settings.rounds),
            "later half, more than as configured": interval(differences, number, settings.rounds),
            "words": float(words[number] / texts),
            "false": int(false[number]),
        }
        for number, name in enumerate(SYSTEMS)
    }
    about = {"people": people, "rounds": settings.rounds, "texts": settings.texts, "seed": settings.seed}
    return {"about": about, "systems": systems}
