"""What an experiment has shown so far: each arm's rate, differences, who wins interleaved lists, and estimates for arms from
the lists of others. Rates, differences and wins may be looked at at any time; estimates are for one look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recommender.config import ExperimentConfig
from recommender.experiments import rates, slates
from recommender.experiments.interleaving import credit
from recommender.experiments.off_policy import OffPolicyEstimate
from recommender.experiments.rates import Sums
from recommender.experiments.sequential import LEAST, Estimate, coin_interval, log_evidence

#: lists below which an estimate is not told, and effective ones below which it is said to rest on little
LEAST_LISTS, LITTLE = 30, 100
#: mean weight below which lists leave out too much of what the other arm would show, or too few of them show it
_COVERED = 0.9
#: lists of people who take no part in an experiment
NOBODY = "no arm"


@dataclass(frozen=True)
class ShownList:
    """A list and what was taken of it. `taken`: places from 0; the rest as in `store.impressions.Impression`."""

    person: str
    probabilities: tuple[float, ...]
    taken: frozenset[int]
    arms: dict[str, str] = field(default_factory=dict)
    others: dict[str, dict[str, tuple[float, ...]]] = field(default_factory=dict)
    interleaved: str | None = None
    teams: tuple[int, ...] = ()


def results(experiment: ExperimentConfig, lists: Sequence[ShownList]) -> dict[str, Any]:
    """Return all figures of an experiment."""
    told: dict[str, Any] = {"experiment": experiment.name, "method": experiment.method}
    if experiment.method == "interleave":
        return told | {"wins": wins(experiment, lists)}
    return told | {
        "arms": arm_rows(experiment, lists),
        "differences": difference_rows(experiment, lists),
        "estimates": estimate_rows(experiment, lists),
    }


def arm_rows(experiment: ExperimentConfig, lists: Iterable[ShownList]) -> list[dict[str, Any]]:
    """Return for each arm its people, lists, takes, and takes a list with an always-valid interval."""
    sums = _sums(experiment, lists)
    return [
        {
            "arm": name,
            "people": int(one.people),
            "lists": int(one.lists),
            "takes": int(one.takes),
            "takes a list": float(one.rate),
            **_ends(rates.rate(one, experiment.expected)),
        }
        for name, one in sums.items()
    ]


def difference_rows(experiment: ExperimentConfig, lists: Iterable[ShownList]) -> list[dict[str, Any]]:
    """Return how much more is taken a list in each arm than in the first one, always valid."""
    (name, first), *others = _sums(experiment, lists).items()
    rows = []
    for other, sums in others:
        found = rates.difference(first, sums, experiment.expected)
        rows.append(
            {
                "arm": other,
                "against": name,
                "difference": float(sums.rate - first.rate),
                **_ends(found),
                "verdict": _verdict(found),
            }
        )
    return rows


def _verdict(found: Estimate | None) -> str:
    if found is None:
        return f"too few: {LEAST} people in each arm, and a take"
    if not found.excludes_zero:
        return "open"
    return "better" if found.low > 0 else "worse"


def _ends(found: Estimate | OffPolicyEstimate | None) -> dict[str, float | None]:
    if found is None or not np.isfinite([found.low, found.high]).all():
        return {"low": None, "high": None}
    return {"low": found.low, "high": found.high}


def _sums(experiment: ExperimentConfig, lists: Iterable[ShownList]) -> dict[str, Sums]:
    """Return the sums of each arm over people; somebody of two arms, after a change of shares, counts in both."""
    counted: dict[str, dict[str, list[int]]] = {arm.name: {} for arm in experiment.arms}
    for one in lists:
        people = counted.get(one.arms.get(experiment.name, ""))
        if people is not None:
            person = people.setdefault(one.person, [0, 0])
            person[0] += len(one.taken)
            person[1] += 1
    return {name: Sums.of(*np.array(list(people.values())).reshape(-1, 2).T) for name, people in counted.items()}


def wins(experiment: ExperimentConfig, lists: Iterable[ShownList]) -> dict[str, Any]:
    """Return how many interleaved lists each of two arms won, and the evidence that they do not win alike.

    `evidence`: an e-value; above 20 at whatever time, one wins more often, at a level of 5 %.
    """
    points = [credit(one.teams, one.taken) for one in lists if one.interleaved == experiment.name]
    first, second = points.count(-1), points.count(1)
    share = coin_interval(second, first + second)
    evidence = float(np.exp(min(float(log_evidence(second, first + second)), 700.0)))
    names = [arm.name for arm in experiment.arms]
    better = None if share.low <= 0.5 <= share.high else names[int(share.low > 0.5)]
    return {
        "lists": len(points),
        f"won by {names[0]}": first,
        f"won by {names[1]}": second,
        "ties": points.count(0),
        "share of the second": share.value,
        **_ends(share),
        "evidence": evidence,
        "better": better or "open",
    }


def estimate_rows(experiment: ExperimentConfig, lists: Sequence[ShownList]) -> list[dict[str, Any]]:
    """Return what each arm is estimated to earn a list from the lists of each other arm, and of people in none."""
    rows = []
    for arm in experiment.arms:
        for source in (*(other.name for other in experiment.arms if other != arm), NOBODY):
            used = [
                one
                for one in lists
                if one.interleaved is None
                and one.arms.get(experiment.name, NOBODY) == source
                and arm.name in one.others.get(experiment.name, {})
            ]
            if len(used) >= LEAST_LISTS:
                rows += _estimates(experiment.name, arm.name, source, used)
    return rows


def _estimates(experiment: str, arm: str, source: str, lists: Sequence[ShownList]) -> list[dict[str, Any]]:
    served = _padded([one.probabilities for one in lists], 1.0)
    other = _padded([one.others[experiment][arm] for one in lists], 1.0)
    rewards = np.zeros(served.shape)
    for row, one in zip(rewards, lists, strict=True):
        row[list(one.taken)] = 1.0
    people = np.array([one.person for one in lists])
    model = slates.rank_model(rewards, people)
    found = {
        "IPS": slates.sips(served, other, rewards, people),
        "SNIPS": slates.snips(served, other, rewards, people),
        "RIPS": slates.rips(served, other, rewards, people),
        "cascade DR": slates.cascade_dr(served, other, rewards, model, model, people),
    }
    return [
        {
            "arm": arm,
            "from lists of": source,
            "estimator": name,
            "takes a list": estimate.value,
            **_ends(replace(estimate, low=max(estimate.low, 0.0))),
            "lists": estimate.lists,
            "effective": round(estimate.effective),
            "covered": estimate.covered,
            "note": _note(estimate),
        }
        for name, estimate in found.items()
    ]


def _note(estimate: OffPolicyEstimate) -> str:
    if estimate.covered < _COVERED:
        return "not to be relied on: what this arm shows was seldom or never shown"
    return "rests on little" if estimate.effective < LITTLE else ""


def _padded(rows: Sequence[tuple[float, ...]], filling: float) -> np.ndarray:
    """Return rows of different lengths as a table [lists, ranks]."""
    table = np.full((len(rows), max(map(len, rows), default=0)), filling)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table
