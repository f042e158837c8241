"""How far results of experiments can be trusted, in made-up worlds where the truth is known.

A/B tests that are looked at after every person, with a difference and without; estimates for a policy that never served;
and how much sooner interleaving tells than A/B.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from recommender.experiments import off_policy, rates, slates
from recommender.experiments.interleaving import credit, team_draft
from recommender.experiments.off_policy import OffPolicyEstimate
from recommender.experiments.rates import Sums
from recommender.experiments.sequential import ALPHA, log_evidence
from recommender.files import write_together
from recommender.pages import Picture, Report, Table, report_html
from recommender.pages.drawing import bar_chart
from recommender.progress import Progress
from recommender.strict.json_documents import json_text
from recommender.studies.experiment_worlds import (
    KINDS,
    Kind,
    ListWorld,
    Log,
    RankerWorld,
    list_world,
    people_stream,
    served_log,
    taken_from,
)

FIGURES, PAGE = "experiments.json", "report.html"
#: what people take of whom an estimator is right, beside what is plainer
_RIGHT: Mapping[str, tuple[Kind, ...]] = {
    "SIPS": KINDS,
    "SNIPS": KINDS,
    "RIPS": ("independent", "cascade"),
    "cascade DR": ("independent", "cascade"),
    "IIPS": ("independent",),
}
_ITEMS_OF_ONE = 20
_NOTES = (
    "Found: the always-valid interval around the difference excludes 0 after some person, at whatever time that is.",
    "Right: the interval held the truth after every person from the first look to the last.",
    "By a t test: what a test for one look says if it is looked at as often. It is there as a warning.",
    "Within: the share of worlds whose truth lies in the interval, which is to be 95 %; `assumes`: whether people behave as"
    " the estimator takes for granted. Effective: as many lists of the policy's own would tell as much.",
)


@dataclass(frozen=True)
class ExperimentStudyOptions:
    """`worlds`: made for each row. `people`: most people of an A/B test, both arms; `rate`: takes a list in the first arm;
    `difference`: how much more in the second, as a share; `logged`: people whose lists an estimate reads.
    `rankers`: pairs of rankers that are compared, by interleaved lists at most `drafted`."""

    worlds: int = 1000
    people: int = 100_000
    rate: float = 0.2
    difference: float = 0.05
    logged: int = 1000
    rankers: int = 100
    drafted: int = 5000
    seed: int = 0


def study_experiments(options: ExperimentStudyOptions, progress: Progress | None = None) -> dict[str, Any]:
    """Return the figures of all parts."""
    return {
        "about": asdict(options),
        "tests": [ab_row(options, share, progress) for share in (options.difference, 0.0)],
        "estimates": [*single_rows(options, progress), *list_rows(options, progress)],
        "interleaving": interleaving_rows(options, progress),
    }


# A/B


@dataclass(frozen=True)
class _Looked:
    """One A/B test after every person: when it first found a difference (None: never), whether its interval was right at
    all times, and whether a t test ever found one."""

    found: int | None
    right: bool
    by_t_test: bool


def ab_row(options: ExperimentStudyOptions, difference: float, progress: Progress | None = None) -> dict[str, Any]:
    """Return what A/B tests find whose second arm takes more by a share of the rate."""
    random = np.random.default_rng([options.seed, round(difference * 1e6)])
    worlds = _rounds(options.worlds, f"A/B with a difference of {difference:.0%}", progress)
    looks = [_looked(random, options, difference) for _ in worlds]
    found = sorted(look.found for look in looks if look.found is not None)
    return {
        "difference": difference,
        "worlds": len(looks),
        "found": len(found) / len(looks),
        "people, median": _quantile(found, 0.5, len(looks)),
        "people, 90 %": _quantile(found, 0.9, len(looks)),
        "right at all times": float(np.mean([look.right for look in looks])),
        "found by a t test": float(np.mean([look.by_t_test for look in looks])),
    }


def _looked(random: np.random.Generator, options: ExperimentStudyOptions, difference: float) -> _Looked:
    arms = []
    for more in (0.0, difference):
        takes, lists = people_stream(random, options.people // 2, options.rate * (1 + more))
        arms.append(Sums.running(takes, lists))
    first, second = arms
    half = rates.half_width(first, second, difference or ALPHA)
    seen, truth = second.rate - first.rate, options.rate * difference
    finds = np.flatnonzero(np.abs(seen) > half)
    with np.errstate(invalid="ignore", divide="ignore"):
        plain = norm.ppf(1 - ALPHA / 2) * np.sqrt(first.variance + second.variance)
    once = np.isfinite(half) & (np.abs(seen) > plain)
    return _Looked(
        int(2 * (finds[0] + 1)) if len(finds) else None, bool(np.all(np.abs(seen - truth) <= half)), bool(once.any())
    )


def _quantile(found: Sequence[int], share: float, worlds: int) -> int | None:
    """Return after how many people a share of all worlds had found it; None if so many never did."""
    place = int(np.ceil(share * worlds)) - 1
    return found[place] if place < len(found) else None


# estimates


def single_rows(options: ExperimentStudyOptions, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Return how often estimates for lists of one item hold the truth."""
    random = np.random.default_rng([options.seed, 1])
    estimates: dict[str, list[tuple[OffPolicyEstimate, float]]] = {}
    for _ in _rounds(options.worlds, "estimates for one item", progress):
        world = list_world(random, "independent", _ITEMS_OF_ONE, 1)
        log = served_log(random, world, options.logged)
        for name, estimate in _single(world, log).items():
            estimates.setdefault(name, []).append((estimate, world.truth))
    return [_estimate_row("one item", name, True, found) for name, found in estimates.items()]


def _single(world: ListWorld, log: Log) -> dict[str, OffPolicyEstimate]:
    weights = log.of(world.other)[:, 0] / log.of(world.served)[:, 0]
    rewards, people = log.rewards[:, 0], log.people
    model = _item_model(log, world.slates[:, 0])
    predicted = model[np.arange(len(rewards)), log.slates]
    expected = (model * world.other[log.situations, :, 0]).sum(1)
    return {
        "IPS": off_policy.ips(weights, rewards, people),
        "SNIPS": off_policy.snips(weights, rewards, people),
        "DR": off_policy.doubly_robust(weights, rewards, predicted, expected, people),
    }


def _item_model(log: Log, items: np.ndarray) -> np.ndarray:
    """Return each item's mean reward [n, items] among the other half of the people, whatever the situation."""
    half, model = log.people % 2, np.zeros((len(log.people), len(items)))
    for part in (0, 1):
        others = half != part
        shown = np.bincount(log.slates[others], minlength=len(items))
        taken = np.bincount(log.slates[others], weights=log.rewards[others, 0], minlength=len(items))
        model[half == part] = (taken + 1) / (shown + 4)
    return model


def list_rows(options: ExperimentStudyOptions, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Return how often estimates for lists of three hold the truth, for people who behave in three ways."""
    rows = []
    for number, kind in enumerate(KINDS):
        random = np.random.default_rng([options.seed, 2, number])
        estimates: dict[str, list[tuple[OffPolicyEstimate, float]]] = {}
        for _ in _rounds(options.worlds, f"estimates for lists, {kind}", progress):
            world = list_world(random, kind)
            log = served_log(random, world, options.logged)
            for name, estimate in _of_lists(world, log).items():
                estimates.setdefault(name, []).append((estimate, world.truth))
        rows += [_estimate_row(kind, name, kind in _RIGHT[name], found) for name, found in estimates.items()]
    return rows


def _of_lists(world: ListWorld, log: Log) -> dict[str, OffPolicyEstimate]:
    served, other, rewards, people = log.of(world.served), log.of(world.other), log.rewards, log.people
    served_there, other_there = (log.of(table) for table in world.at_rank)
    model = slates.rank_model(rewards, people)
    return {
        "SIPS": slates.sips(served, other, rewards, people),
        "SNIPS": slates.snips(served, other, rewards, people),
        "RIPS": slates.rips(served, other, rewards, people),
        "cascade DR": slates.cascade_dr(served, other, rewards, model, model, people),
        "IIPS": slates.iips(served_there, other_there, rewards, people),
    }


def _estimate_row(
    kind: str, name: str, assumes: bool, found: Sequence[tuple[OffPolicyEstimate, float]]
) -> dict[str, Any]:
    errors = [estimate.value - truth for estimate, truth in found]
    return {
        "people": kind,
        "estimator": name,
        "assumes": assumes,
        "within": float(np.mean([estimate.low <= truth <= estimate.high for estimate, truth in found])),
        "width": float(np.mean([estimate.high - estimate.low for estimate, _ in found])),
        "bias": float(np.mean(errors)),
        "error": float(np.sqrt(np.mean(np.square(errors)))),
        "lists": round(float(np.mean([estimate.lists for estimate, _ in found]))),
        "effective": round(float(np.mean([estimate.effective for estimate, _ in found]))),
    }


# interleaving


def interleaving_rows(options: ExperimentStudyOptions, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Return after how many lists, one a person, interleaving and an A/B test find the better of two rankers, and how often
    they find one where both are the same."""
    rows: list[dict[str, Any]] = []
    for name, world in (("better", RankerWorld()), ("the same", RankerWorld(second_error=RankerWorld.first_error))):
        random = np.random.default_rng([options.seed, 3, len(rows)])
        drafts, tests, takes = [], [], []
        for _ in _rounds(options.rankers, f"interleaving, {name}", progress):
            drafts.append(_draft_finds(world, random, options.drafted))
            found, means = _ab_finds(world, random, options)
            tests.append(found)
            takes.append(means)
        first, second = np.mean(takes, axis=0)
        for test, finds, most in (("interleaving", drafts, options.drafted), ("A/B", tests, options.people)):
            times = sorted(find for find in finds if find is not None)
            rows.append(
                {
                    "second ranker": name,
                    "test": test,
                    "takes": f"{first:.3f}, {second:.3f}",
                    "found": len(times) / options.rankers,
                    "lists, median": _quantile(times, 0.5, options.rankers),
                    "lists, 90 %": _quantile(times, 0.9, options.rankers),
                    "most lists": most,
                }
            )
    return rows


def _draft_finds(world: RankerWorld, random: np.random.Generator, people: int) -> int | None:
    """Return after how many lists one ranker is found to win more often than the other."""
    chances, first, second = world.people(random, people)
    drafts = [
        team_draft(one.astype(str).tolist(), other.astype(str).tolist(), world.shown, random)
        for one, other in zip(first, second, strict=True)
    ]
    taken = taken_from(random, chances, np.array([draft.items for draft in drafts]).astype(int))
    wins = np.array([credit(draft.teams, np.flatnonzero(row)) for draft, row in zip(drafts, taken, strict=True)])
    told = np.flatnonzero(wins)
    evidence = log_evidence(np.cumsum(wins[told] > 0), np.arange(1, len(told) + 1))
    finds = np.flatnonzero(evidence > np.log(1 / ALPHA))
    return int(told[finds[0]]) + 1 if len(finds) else None


def _ab_finds(
    world: RankerWorld, random: np.random.Generator, options: ExperimentStudyOptions
) -> tuple[int | None, tuple[float, float]]:
    """Return after how many lists an A/B test, half of them for each ranker, finds a difference; and the takes a list."""
    arms = []
    for ranker in (1, 2):
        part = world.people(random, options.people // 2)
        takes = taken_from(random, part[0], part[ranker]).sum(1)
        arms.append(Sums.running(takes, np.ones(len(takes))))
    first, second = arms
    finds = np.flatnonzero(np.abs(second.rate - first.rate) > rates.half_width(first, second, options.difference))
    return (int(2 * (finds[0] + 1)) if len(finds) else None), (float(first.rate[-1]), float(second.rate[-1]))


def _rounds(count: int, what: str, progress: Progress | None) -> Iterator[int]:
    for done in range(count):
        yield done
        if progress is not None:
            progress(what, done + 1, count)


# the report


def write_experiments(output: Path, figures: Mapping[str, Any]) -> None:
    """Write the figures as JSON and the page into a folder."""
    about = figures["about"]
    lead = f"{about['worlds']} made-up worlds a row; the level of tests and intervals is {1 - ALPHA:.0%}."
    within = {f"{row['estimator']}, {row['people']}": row["within"] for row in figures["estimates"] if row["assumes"]}
    parts: list[Table | Picture] = [
        Table("A/B tests that are looked at after every person", figures["tests"]),
        Table("Interleaving and A/B", figures["interleaving"]),
        Table("Estimates for a policy that never served", figures["estimates"]),
        Picture("Truths within 95 % intervals, where the estimator's assumption holds", bar_chart(within, "share")),
    ]
    page = Report("How far experiments can be trusted", lead, parts, _NOTES, about)
    contents = {FIGURES: (json_text(figures, indent=1) + "\n").encode(), PAGE: report_html(page).encode()}
    write_together(output, contents)
