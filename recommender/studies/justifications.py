"""Studies of justifications: are they true, varied and faithful, what does the checker find, which drafts pass it?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recommender.data.catalogue import Catalogue
from recommender.engine import Recommender
from recommender.errors import RecommenderError
from recommender.eval.grounding import feature_metrics, groundedness, variety
from recommender.eval.planted_errors import PlantedError, Swaps, plant_error
from recommender.eval.planted_faults import Room, plant_fault
from recommender.eval.text_overlap import text_overlap
from recommender.justify import ClaimChecker, Evidence, Justification, Style, sources
from recommender.justify.companions import Companions
from recommender.justify.facts import facts_of, years_of
from recommender.justify.item_names import display_name, other_names
from recommender.justify.planning import make_outline
from recommender.justify.template_selection import draw_trials
from recommender.justify.templates import templates_of
from recommender.justify.writing_examples import simulated_evidence
from recommender.progress import Progress
from recommender.studies.reading import Readers, read_claims, reading_measures, values_of

MOST_LISTED = 20
"""Examples of each kind in the results."""
DRAFTS_AT_ONCE = 16


def checker_study(
    catalogue: Catalogue,
    histories: Sequence[np.ndarray],
    style: Style,
    count: int = 1000,
    seed: int = 0,
    companions: Companions | None = None,
) -> dict[str, Any]:
    """Return how many of `count` planted errors the product's checker finds, and how many true sentences it rejects.

    Errors make a sentence false, faults make it badly written: each is every second one. The true sentences come from the
    templates, on simulated evidence from these histories. `companions`: what many people had together in them.
    """
    readers = Readers.of(catalogue)
    draw, random_ = random.Random(seed), np.random.default_rng(seed)
    checker = ClaimChecker(catalogue, style.phrases, style.liked)
    usable = [history for history in histories if len(history) > 1]
    planted, found, rejected, true, missed = Counter[str](), Counter[str](), 0, 0, []
    while planted.total() < count:
        evidence = simulated_evidence(catalogue, draw.choice(usable), random_, companions)
        text = next(templates_of(catalogue, make_outline(evidence, checker, style), style, draw.randrange(2**31))).text
        true += 1
        rejected += not checker.check(text, evidence, style.noun, style.size.words).ok
        error = _planted(readers, catalogue, evidence, text, style, draw, faulty=planted.total() % 2 == 1)
        if error is None:
            continue
        planted[error.kind] += 1
        if not checker.check(error.text, evidence, style.noun, style.size.words).ok:
            found[error.kind] += 1
        else:
            missed.append(error.text)
    kinds = {kind: {"planted": planted[kind], "found": found[kind]} for kind in sorted(planted)}
    return {
        "planted": planted.total(),
        "found": found.total() / planted.total(),
        "kinds": kinds,
        "true_sentences": true,
        "objected_to": rejected / true,
        "missed": missed[:MOST_LISTED],
    }


def _planted(
    readers: Readers,
    catalogue: Catalogue,
    evidence: Evidence,
    text: str,
    style: Style,
    draw: random.Random,
    faulty: bool,
) -> PlantedError | None:
    """Return the text with an error, or `faulty`: with a fault."""
    swaps = _swaps(readers, catalogue, evidence, text, draw)
    if not faulty:
        return plant_error(text, swaps, draw)
    words, history = style.words, [influence.item for influence in evidence.influences]
    named = [i for i in (evidence.item, *history) if display_name(catalogue[i]) in swaps.names]
    decades = [set(facts_of(catalogue, item).get("decade", ())) for item in named]
    decade = min(set.intersection(*decades), default=None) if decades else None
    telling = not readers.told(text, evidence.item, history).vacuous
    return plant_fault(text, Room(swaps.names, words.verbs[0], words.singular, words.plural, decade, telling), draw)


def _swaps(readers: Readers, catalogue: Catalogue, evidence: Evidence, text: str, draw: random.Random) -> Swaps:
    """Return what an error in a sentence on this evidence may swap."""
    involved = [evidence.item, *(influence.item for influence in evidence.influences)]
    named = [item for item in involved if f'"{display_name(catalogue[item])}"' in text]
    taken = {name for i in involved for name in other_names(catalogue[i], years_of(facts_of(catalogue, i)))}
    drawn = [catalogue[draw.randrange(len(catalogue))] for _ in range(20)]
    strangers = [display_name(item) for item in drawn if display_name(item) not in taken]
    true_values = {value for item in named for value in values_of(catalogue, item)}
    sampled_values = {value for item in range(0, len(catalogue), 7) for value in values_of(catalogue, item)}
    spoken = readers.grounding.spoken.items()
    true_forms = {form for form, meant in spoken if meant & true_values}
    false_forms = {form for form, meant in spoken if meant <= sampled_values - true_values}
    names = [display_name(catalogue[item]) for item in named]
    together = {item for item, _ in evidence.companions}
    apart = [display_name(catalogue[i.item]) for i in evidence.influences if i.item not in together]
    companions = {display_name(catalogue[item]) for item in together} - set(apart)
    return Swaps(names, strangers, true_forms, sorted(false_forms), companions, apart)


def draft_study(
    model: Recommender,
    histories: Sequence[np.ndarray],
    drafts: int = 12,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, tuple[int, int]]:
    """Return template line -> how many drafts were asked for in that wording, and how many of them pass the check.

    Evidence is simulated from `histories`, which should be training histories. Raises RecommenderError for a model that
    does not write.
    """
    if not model.writes:
        raise RecommenderError(f"the model does not write: {model.plain_because}", "train it again")
    style = replace(model.style, lines=frozenset())
    random_ = np.random.default_rng(seed)
    trials = draw_trials(model.checker, histories, style, drafts, random_, model.setup.companions)
    counts = {trial.line: [0, 0] for trial in sorted(trials, key=lambda trial: trial.line)}
    for start in range(0, len(trials), DRAFTS_AT_ONCE):
        batch = trials[start : start + DRAFTS_AT_ONCE]
        for trial, text in zip(batch, model.write([trial.prompt for trial in batch]), strict=True):
            sentence = model.checker.first_sentence(text)
            counts[trial.line][0] += 1
            counts[trial.line][1] += model.checker.check(sentence, trial.evidence, style.noun, style.size.words).ok
        if progress:
            progress("drafts", min(start + DRAFTS_AT_ONCE, len(trials)), len(trials))
    return {line: (drafted, passed) for line, (drafted, passed) in counts.items()}


@dataclass(frozen=True)
class JustificationStudy:
    """Measures of justifications, and these: `of_users` for each history."""

    measures: dict[str, Any]
    of_users: tuple[tuple[Justification, ...], ...]


def justification_study(
    model: Recommender, histories: Sequence[np.ndarray], k: int = 10, progress: Progress | None = None
) -> dict[str, Any]:
    """Return measures of the justifications of each user's next k items: see `study_justifications`."""
    return study_justifications(model, histories, k, progress).measures


def study_justifications(
    model: Recommender, histories: Sequence[np.ndarray], k: int = 10, progress: Progress | None = None
) -> JustificationStudy:
    """Justify each user's next k items and measure the texts.

    Measured are: truth by an independent reading, what the texts tell, their patterns and grammar, where they come from,
    drafts that pass the check and what was wrong with the others, overlap of drafts and templates, variety, features, and
    faithfulness by deletion.
    """
    of_users: list[tuple[Justification, ...]] = []
    faithful: list[bool] = []
    for number, history in enumerate(histories):
        items = [int(item) for item in model.rank([history], k, fused=False)[0].items]
        of_user = model.explain(history, items)
        of_users.append(tuple(of_user))
        faithful += _deletions(model, history, of_user, np.random.default_rng(number))
        if progress:
            progress("justifications", number + 1, len(histories))
    justifications = [justification for of_user in of_users for justification in of_user]
    measures = text_measures(
        Readers.of(model.catalogue, model.setup.companions, model.style.noun), model.catalogue, justifications
    )
    measures["deletion_faithfulness"] = sum(faithful) / len(faithful) if faithful else None
    return JustificationStudy(measures, tuple(of_users))


def text_measures(readers: Readers, catalogue: Catalogue, justifications: Sequence[Justification]) -> dict[str, Any]:
    """Return all measures that need the texts and their evidence only."""
    texts = [justification.text for justification in justifications]
    claims = read_claims(readers, justifications)
    false = [text for text, made in zip(texts, claims, strict=True) if not all(claim.true for claim in made)]
    return {
        "groundedness": groundedness(claims),
        "false": false[:MOST_LISTED],
        "sources": sources(justifications),
        **reading_measures(readers, justifications, claims),
        **_draft_measures(justifications),
        **variety(texts),
        **feature_metrics(texts, [values_of(catalogue, j.evidence.item) for j in justifications]),
    }


def _draft_measures(justifications: Sequence[Justification]) -> dict[str, Any]:
    """Return the share of first drafts that pass the check, why others fail, and their overlap with a true template."""
    drafted = [j for j in justifications if j.draft]
    errors = Counter(_error_of(j) for j in drafted if not j.draft_verdict.ok)
    passed = sum(j.draft_verdict.ok for j in justifications)
    return {
        "first_draft_pass_rate": passed / len(drafted) if drafted else None,
        "what_was_wrong": dict(errors.most_common(MOST_LISTED)),
        "draft_overlap": _overlap(drafted),
    }


def _overlap(drafted: Sequence[Justification]) -> dict[str, Any]:
    """Return BLEU and ROUGE of drafts against a true sentence in the wording that was asked for."""
    try:
        return dict(text_overlap([j.draft for j in drafted], [j.reference for j in drafted]))
    except RecommenderError as error:  # the libraries are an extra
        return {"not measured": str(error)}


def _error_of(justification: Justification) -> str:
    """Return why a draft failed, without the words that it is about."""
    false = next((claim for claim in justification.draft_verdict.claims if not claim.true), None)
    return f"{false.kind}: {false.reason}" if false else "form: not a whole sentence"


def _deletions(
    model: Recommender, history: np.ndarray, justifications: Sequence[Justification], random_: np.random.Generator
) -> list[bool]:
    """Return for each justification whether removing its strongest influence from the history costs the item's score more
    than removing a random other item. Justifications without an influence, and histories without another item, are left
    out."""
    with_influence = [j for j in justifications if j.evidence.influences]
    if not with_influence:
        return []
    strongest = [j.evidence.influences[0].item for j in with_influence]
    others = [int(random_.choice(sorted(set(history.tolist()) - {item}) or [item])) for item in strongest]
    removed = list(dict.fromkeys((*strongest, *others)))
    shortened = [history[history != item] for item in removed]
    scores = model.score(shortened, [j.evidence.item for j in with_influence])
    row_of = {item: row for row, item in enumerate(removed)}
    pairs = enumerate(zip(strongest, others, strict=True))
    return [bool(scores[row_of[item], n] < scores[row_of[other], n]) for n, (item, other) in pairs if item != other]
