"""What checkpoints tell of the people they learned from: attacks on each, canaries in the writing, and a page of it all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.errors import DataError
from recommender.eval.report import for_card
from recommender.files import write_together
from recommender.model.card import PRIVACY
from recommender.model.checkpoint import Checkpoint, from_pretrained, record, resolve
from recommender.pages import Picture, Report, Table, report_html
from recommender.pages.drawing import line_chart
from recommender.pipelines.private import promise_of
from recommender.pipelines.train import build, prepare, split_of
from recommender.progress import Progress
from recommender.studies.canaries import exposures, make_canaries, plant
from recommender.studies.comparison import evaluate
from recommender.studies.entries import Entry
from recommender.studies.membership import ATTACKS, LISTED, SHORTEST, Scores, alike, attack, knowledge, roc

#: as a reference: the model as it was before it learned from anybody
BASE = "base"
FIGURES, PAGE = "privacy.json", "report.html"
_NOTES = (
    "AUC: the chance that a person who was learned from looks more like it than one who was not; .5 is guessing.",
    "True positives: the share of those who were learned from that is found while at most one in a hundred others is.",
    "By loss: how much lower the loss of a history is than under the reference. By lists: how many more of the second half"
    " of a history are listed for its first half than by the reference. Both groups had as much, pair by pair.",
    "An attack that fails proves nothing by itself: others may be better. What epsilon promises holds for all of them.",
)


@dataclass(frozen=True)
class PrivacyOptions:
    """How people are attacked.

    reference: a checkpoint that learned from none of them, or `base`. others: a table of people whom no model learned from;
    None: those whom data.users left out. pairs: at most so many pairs of people. canary_texts: texts that the writer learns
    beside canaries; 0: none is planted.
    """

    reference: str = BASE
    others: str | None = None
    pairs: int | None = None
    listed: int = LISTED
    canary_texts: int = 0
    seed: int = 0


@dataclass(frozen=True)
class PrivacyStudy:
    """What was found: `figures`, for JSON, and for each model and attack a line (false, true positives) of its ROC."""

    figures: dict[str, Any]
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]


def check_entries(entries: Sequence[Entry]) -> None:
    """Raise DataError for what cannot be attacked: a baseline, a fusion, several runs as one."""
    for entry in entries:
        if len(entry.folders) != 1 or entry.fused:
            raise DataError(
                f"{entry.name}: is not one checkpoint, and only checkpoints are attacked",
                "give folders, or NAME=FOLDER",
            )


def study_privacy(
    entries: Sequence[Entry], options: PrivacyOptions, work: Path, progress: Progress | None = None
) -> PrivacyStudy:
    """Attack each checkpoint, all by the same people. `work`: a folder for the training of a writer with canaries.

    Raises DataError if the models learned from different people, or nobody was left out.
    """
    config = _shared_config(entries)
    catalogue = Catalogue.load(config.data.items, config.data, media=False)
    histories, member = people(config, catalogue, options)
    base = _reference(config, options.reference, progress)
    reference = knowledge(base, histories, options.listed, progress)
    models: dict[str, Any] = {}
    lines: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
    for entry in entries:
        checkpoint = from_pretrained(entry.folders[0], catalogue, progress)
        target = knowledge(checkpoint, histories, options.listed, progress)
        attacks = attack(target, reference, member, options.seed)
        models[entry.name] = {
            "privacy": checkpoint.metrics.get(PRIVACY),
            "attacks": {name: found.told() for name, found in attacks.items()},
        }
        lines |= {f"{entry.name}, by {name}": _line(name, target, reference, member) for name in ATTACKS}
    figures: dict[str, Any] = {
        "about": {
            "reference": options.reference,
            "members": int(member.sum()),
            "others": int((~member).sum()),
            "listed": options.listed,
            "seed": options.seed,
            "interactions_a_member": round(
                float(np.mean([len(h) for h, m in zip(histories, member, strict=True) if m])), 1
            ),
            "interactions_another": round(
                float(np.mean([len(h) for h, m in zip(histories, member, strict=True) if not m])), 1
            ),
        },
        "models": models,
    }
    if options.canary_texts:
        figures["canaries"] = _canaries(
            from_pretrained(entries[0].folders[0], catalogue, progress), options, work, progress
        )
    return PrivacyStudy(figures, lines)


def people(config: Config, catalogue: Catalogue, options: PrivacyOptions) -> tuple[list[np.ndarray], np.ndarray]:
    """Return histories of people, and of each whether a model of this config learned from them, bool [people].

    Of others, too, only that part of a history counts that a training would have read. As many of both kinds, alike in how
    much they had. Raises DataError if nobody was left out.
    """
    data = config.data
    everybody = Histories.load(data.interactions, catalogue, data, minimum_rating=data.minimum_rating)
    learned = everybody.sampled(data.users)
    inside = _long_enough(config, learned)
    if options.others is not None:
        outside = _long_enough(
            config, Histories.load(options.others, catalogue, data, minimum_rating=data.minimum_rating)
        )
    else:
        names = set(learned.user_ids)
        left = [place for place, name in enumerate(everybody.user_ids) if name not in names]
        outside = _long_enough(
            config, Histories([everybody.user_ids[n] for n in left], [everybody.items[n] for n in left])
        )
    if not inside or not outside:
        raise DataError(
            f"{len(inside)} people with {SHORTEST} interactions were learned from, and {len(outside)} were left out",
            "train with data.users below the number of all, or name a table of others: --others TABLE",
        )
    first, second = alike([len(h) for h in inside], [len(h) for h in outside])
    chosen = np.random.default_rng(options.seed).permutation(len(first))[: options.pairs]
    histories = [*(inside[n] for n in first[chosen]), *(outside[n] for n in second[chosen])]
    return histories, np.arange(len(histories)) < len(chosen)


def _long_enough(config: Config, histories: Histories) -> list[np.ndarray]:
    if not len(histories):
        return []
    return [items for items in split_of(config, histories).train.items if len(items) >= SHORTEST]


def _shared_config(entries: Sequence[Entry]) -> Config:
    """Return the config of the models that learned from people; drawn histories stand for the same ones."""
    configs = {entry.name: Config.load(resolve(entry.folders[0]) / "config.yaml") for entry in entries}
    of_people = {name: config for name, config in configs.items() if promise_of(config.data.interactions) is None}
    if not of_people:
        raise DataError(
            "all models learned from drawn histories, and whose they stand for is not known",
            "name a model of the people themselves, too",
        )
    first, *others = of_people
    for name in others:
        if of_people[name].data != of_people[first].data:
            raise DataError(
                f"{first} and {name} learned from different people: their sections data differ",
                "study each by itself, or train both on the same",
            )
    return of_people[first]


def _reference(config: Config, reference: str, progress: Progress | None) -> Checkpoint:
    if reference != BASE:
        return from_pretrained(reference, config.data.items, progress)
    return build(config, prepare(config, progress), progress)


def _line(name: str, target: Scores, reference: Scores, member: np.ndarray) -> tuple[Sequence[float], Sequence[float]]:
    return roc(getattr(target, name) - getattr(reference, name), member)


def _canaries(
    checkpoint: Checkpoint, options: PrivacyOptions, work: Path, progress: Progress | None
) -> list[dict[str, Any]]:
    """Return the exposure of canaries before and after a writer learned texts among which they stand."""
    canaries = make_canaries(seed=options.seed)
    before = exposures(checkpoint, canaries, seed=options.seed, progress=progress)
    plant(checkpoint, canaries, options.canary_texts, work, progress=progress)
    after = exposures(checkpoint, canaries, seed=options.seed, progress=progress)
    return [{**late, "exposure_bits_before": early["exposure_bits"]} for early, late in zip(before, after, strict=True)]


def rows_of(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each model and attack, for tables."""
    rows = []
    for name, model in figures["models"].items():
        epsilon = model["privacy"]["epsilon"] if model["privacy"] else None
        for kind, found in model["attacks"].items():
            rows.append(
                {
                    "model": name,
                    "epsilon": epsilon,
                    "attack": kind,
                    "AUC": _with_interval(found["auc"], found["auc_interval"]),
                    "true positives at 1 %": _with_interval(
                        found["true_positives_at_1_percent"], found["true_positives_interval"]
                    ),
                }
            )
    return rows


def write_privacy(output: Path, study: PrivacyStudy) -> None:
    """Write the figures as JSON and the page into a folder."""
    about, lines = study.figures["about"], {"guessing": ([0.0, 1.0], [0.0, 1.0]), **study.lines}
    lead = (
        f"{about['members']} people who were learned from, {about['others']} others; reference: {about['reference']}."
    )
    parts: list[Table | Picture] = [
        Table("Who was learned from?", rows_of(study.figures)),
        Picture(
            "Found members by false alarms",
            line_chart(lines, "false positives", "true positives"),
            "a line for each model and attack; the diagonal is guessing",
        ),
    ]
    if "canaries" in study.figures:
        note = (
            "Bits by which a planted secret is likelier than chance; all of them: it is written out. About 1 is chance."
        )
        parts.append(Table("Canaries in the writing", study.figures["canaries"], note))
    if "cost" in study.figures:
        parts.append(Table("What privacy costs", study.figures["cost"]))
    report = Report("What the models tell of people", lead, parts, _NOTES, about)
    contents = {FIGURES: (json.dumps(study.figures, indent=1) + "\n").encode(), PAGE: report_html(report).encode()}
    write_together(output, contents)


def add_cost(study: PrivacyStudy, entries: Sequence[Entry], progress: Progress | None = None) -> None:
    """Measure what privacy costs, add it to the figures, and write it on the cards of the private checkpoints."""
    folders = {entry.name: entry.folders[0] for entry in entries}
    interactions = _shared_config(entries).data.interactions  # people's, whatever was learned from
    named = [f"{name}={folder}" for name, folder in folders.items()]
    ranked = evaluate(named, interactions=interactions, progress=progress)
    told = for_card(ranked)
    by_loss, by_lists = (
        {row["model"]: row["AUC"] for row in rows_of(study.figures) if row["attack"] == kind} for kind in ATTACKS
    )
    rows = [
        {
            "model": row["model"],
            "epsilon": (study.figures["models"][row["model"]]["privacy"] or {}).get("epsilon", "none"),
            "recall": row["recall"],
            "ndcg": row["ndcg"],
            "loss_attack": by_loss[row["model"]],
            "list_attack": by_lists[row["model"]],
        }
        for row in told["rows"]
    ]
    study.figures["cost"] = rows
    for name, folder in folders.items():
        privacy = study.figures["models"][name]["privacy"]
        if privacy:
            record(folder, PRIVACY, {**privacy, "cost": rows})


def _with_interval(value: float, interval: Sequence[float]) -> str:
    return f"{value:.3f} ({interval[0]:.3f}-{interval[1]:.3f})"
