"""Studies of reasons and conversations: the product's own parts, measured by the means of `eval`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recommender.chat import Chat, Reading
from recommender.data.catalogue import Catalogue
from recommender.engine import Recommender
from recommender.errors import RecommenderError
from recommender.eval.dialogues import Expected, generate, measure
from recommender.eval.grounding import Grounding, Subject, features, groundedness, variety
from recommender.eval.overlap import overlap
from recommender.eval.planted import Room, plant
from recommender.justify import ClaimChecker, Evidence, Justification, Style, sources
from recommender.justify.facts import facts_of, role, years_of
from recommender.justify.item_names import display_name, other_names
from recommender.justify.planning import make_outline
from recommender.justify.template_selection import draw_trials
from recommender.justify.templates import templates_of
from recommender.justify.writing_examples import simulated_evidence
from recommender.progress import Progress

MOST_MISREAD = 20
DRAFTS_AT_ONCE = 16


def planted_errors(
    catalogue: Catalogue, histories: Sequence[np.ndarray], style: Style, count: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Return how many planted errors the product's checker finds, and to how many true sentences it objects.

    True sentences are templates_of on evidence from real histories; the independent reading has to agree that they are true.
    """
    draw, random_ = random.Random(seed), np.random.default_rng(seed)
    checker = ClaimChecker(catalogue, style.phrases)
    usable = [history for history in histories if len(history) > 1]
    planted, found, objected, true, missed = Counter[str](), Counter[str](), 0, 0, []
    while planted.total() < count:
        evidence = simulated_evidence(catalogue, draw.choice(usable), random_)
        text = next(templates_of(catalogue, make_outline(evidence, checker, style), style, draw.randrange(2**31))).text
        true += 1
        objected += not checker.check(text, evidence, style.noun, style.size.words).ok
        wrong = plant(text, _room(catalogue, evidence, text, draw), draw)
        if wrong is None:
            continue
        planted[wrong.kind] += 1
        if not checker.check(wrong.text, evidence, style.noun, style.size.words).ok:
            found[wrong.kind] += 1
        else:
            missed.append(wrong.text)
    kinds = {kind: {"planted": planted[kind], "found": found[kind]} for kind in sorted(planted)}
    return {
        "planted": planted.total(),
        "found": found.total() / planted.total(),
        "kinds": kinds,
        "true_sentences": true,
        "objected_to": objected / true,
        "missed": missed[:MOST_MISREAD],
    }


def _room(catalogue: Catalogue, evidence: Evidence, text: str, draw: random.Random) -> Room:
    """Return what can be swapped in a sentence on this evidence."""
    involved = [evidence.item, *(i.item for i in evidence.influences)]
    named = [i for i in involved if f'"{display_name(catalogue[i])}"' in text]
    taken = {name for i in involved for name in other_names(catalogue[i], years_of(facts_of(catalogue, i)))}
    drawn = [catalogue[draw.randrange(len(catalogue))] for _ in range(20)]
    strangers = [display_name(item) for item in drawn if display_name(item) not in taken]
    held = {v for i in named for v in _values(catalogue, i)}
    every = sorted({v for i in range(0, len(catalogue), 7) for v in _values(catalogue, i)} - held)
    return Room([display_name(catalogue[i]) for i in named], strangers, held, every)


def _values(catalogue: Catalogue, item: int) -> set[str]:
    facts = facts_of(catalogue, item).items()
    return {v for name, values in facts for v in values if role(name) not in ("year", "decade")}


def drafts_by_line(
    model: Recommender,
    histories: Sequence[np.ndarray],
    drafts: int = 12,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, tuple[int, int]]:
    """Return for each line of the language how many drafts were asked and how many of them pass the check.

    Evidence is made up from `histories`, which should be those of the training.
    """
    if not model.writes:
        raise RecommenderError("the model does not write: its adapter was trained on other prompts", "train it again")
    style = replace(model.style, lines=frozenset())
    trials = draw_trials(model.checker, histories, style, drafts, np.random.default_rng(seed))
    counts = {trial.line: [0, 0] for trial in sorted(trials, key=lambda trial: trial.line)}
    for start in range(0, len(trials), DRAFTS_AT_ONCE):
        part = trials[start : start + DRAFTS_AT_ONCE]
        for trial, text in zip(part, model.write([trial.prompt for trial in part]), strict=True):
            sentence = model.checker.first_sentence(text)
            counts[trial.line][0] += 1
            counts[trial.line][1] += model.checker.check(sentence, trial.evidence, style.noun, style.size.words).ok
        if progress:
            progress("drafts", min(start + DRAFTS_AT_ONCE, len(trials)), len(trials))
    return {line: (asked, passed) for line, (asked, passed) in counts.items()}


def justifications(
    model: Recommender, histories: Sequence[np.ndarray], k: int = 10, progress: Progress | None = None
) -> dict[str, Any]:
    """Return measures of a model's sentences for these users' next items: sources, truth, variety, features, deletion."""
    reasons: list[Justification] = []
    wins: list[bool] = []
    for number, history in enumerate(histories):
        items = [int(i) for i in model.rank([history], k)[0].items]
        found = model.explain(history, items)
        reasons += found
        wins += _deletions(model, history, found, np.random.default_rng(number))
        if progress:
            progress("sentences", number + 1, len(histories))
    catalogue, texts = model.catalogue, [reason.text for reason in reasons]
    reader = Grounding({v for i in range(len(catalogue)) for v in _values(catalogue, i)})
    claims = [
        reader.claims(
            reason.text,
            _subject(catalogue, reason.evidence.item),
            [_subject(catalogue, i.item) for i in reason.evidence.influences],
        )
        for reason in reasons
    ]
    false = [text for text, made in zip(texts, claims, strict=True) if not all(claim.true for claim in made)]
    wrong = Counter(_what_is_wrong(reason) for reason in reasons if reason.draft and not reason.draft_verdict.ok)
    drafted = sum(bool(reason.draft) for reason in reasons)
    return {
        "groundedness": groundedness(claims),
        "false": false[:MOST_MISREAD],
        "sources": sources(reasons),
        "first_draft_pass_rate": sum(r.draft_verdict.ok for r in reasons) / drafted if drafted else None,
        "what_was_wrong": dict(wrong.most_common(MOST_MISREAD)),
        "draft_overlap": _overlap(reasons),
        **variety(texts),
        **features(texts, [_values(catalogue, reason.evidence.item) for reason in reasons]),
        "deletion_faithfulness": sum(wins) / len(wins) if wins else None,
    }


def _overlap(reasons: Sequence[Justification]) -> dict[str, Any]:
    """Return BLEU and ROUGE of drafts against a true sentence in the words that were asked for."""
    told = [reason for reason in reasons if reason.draft]
    try:
        return dict(overlap([reason.draft for reason in told], [reason.reference for reason in told]))
    except RecommenderError as error:
        return {"not measured": str(error)}


def _what_is_wrong(reason: Justification) -> str:
    """Return why a draft failed, without the words it is about."""
    first = next((claim for claim in reason.draft_verdict.claims if not claim.true), None)
    return f"{first.kind}: {first.reason}" if first else "form: not a whole sentence"


def _deletions(
    model: Recommender, history: np.ndarray, reasons: Sequence[Justification], random_: np.random.Generator
) -> list[bool]:
    """For each sentence: whether removing the history item it rests on most costs more than removing a random other."""
    told = [reason for reason in reasons if reason.evidence.influences]
    first = [reason.evidence.influences[0].item for reason in told]
    other = [int(random_.choice(sorted(set(history.tolist()) - {f}) or [f])) for f in first]
    removed = list(dict.fromkeys((*first, *other)))
    if not told:
        return []
    scores = model.score([history[history != item] for item in removed], [reason.evidence.item for reason in told])
    place = {item: row for row, item in enumerate(removed)}
    pairs = [(n, f, o) for n, (f, o) in enumerate(zip(first, other, strict=True)) if f != o]
    return [bool(scores[place[f], n] < scores[place[o], n]) for n, f, o in pairs]


def _subject(catalogue: Catalogue, item: int) -> Subject:
    years = years_of(facts_of(catalogue, item))
    names = frozenset(other_names(catalogue[item], years))
    return Subject(names, frozenset(_values(catalogue, item)), frozenset(map(int, years)))


def dialogues(chat: Chat, count: int = 600, seed: int = 0) -> dict[str, Any]:
    """Return how many generated messages are read right, and whether all items of the answers meet what they ask for."""
    catalogue = chat.catalogue
    facts = [facts_of(catalogue, i) for i in range(len(catalogue))]
    kinds = Counter(v for known in facts for name, values in known.items() if role(name) == "kind" for v in values)
    years = sorted(int(y) for known in facts for y in years_of(known))
    values = [value for value, number in kinds.items() if number >= len(catalogue) / 200]
    queries = generate(values, (years[len(years) // 50], years[-len(years) // 50]), count, seed)

    def answer(text: str) -> list[tuple[Any, int | None]]:
        items = chat.reply([{"role": "user", "content": text}], explain=False).items
        places = [catalogue.index(item.item_id) for item in items]
        return [(facts[i], next(map(int, years_of(facts[i])), None)) for i in places]

    told = measure(queries, lambda text: _expected(chat.reader.read(text)), answer)
    return told | {"misread": list(told["misread"])[:MOST_MISREAD]}  # type: ignore[call-overload]


def _expected(reading: Reading) -> Expected:
    def one(groups: Sequence[Sequence[tuple[str, str]]]) -> str | None:
        return " + ".join(sorted({group[0][1] for group in groups})) or None

    out = reading.years_out[0] if reading.years_out else None
    return Expected(reading.first_year, reading.last_year, out, one(reading.only), one(reading.without))
