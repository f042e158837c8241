"""The one evaluation that baselines and language models go through: ranked item indices in, tables out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recommender.baselines.ranking import PADDING, RankFunction
from recommender.errors import DataError
from recommender.eval.beyond import ItemFacts
from recommender.eval.bootstrap import SAMPLES
from recommender.eval.evaluation import SLICED, Evaluation, Run, measure
from recommender.eval.holdout import Holdout
from recommender.eval.resources import peak_memory
from recommender.progress import Progress

Fit = Callable[[Sequence[np.ndarray]], RankFunction]
"""Histories to learn from -> what ranks. Called just before it is needed; the result is dropped before the next."""

HEADLINE_KS = (5, 10)  # what the terminal table and the report show, so always measured


@dataclass(frozen=True)
class _Asking:
    """How every model is asked."""

    holdout: Holdout
    k: int
    exclude_seen: bool
    batch: int
    progress: Progress | None


def evaluate(
    models: Mapping[str, Mapping[str, Fit]],
    holdout: Holdout,
    facts: ItemFacts | None = None,
    *,
    ks: Sequence[int] = (1, 5, 10, 20),
    reference: str | None = None,
    exclude_seen: bool = True,
    seed: int = 0,
    samples: int = SAMPLES,
    batch: int = 256,
    progress: Progress | None = None,
) -> Evaluation:
    """Rank for every user that has a target, measure, and compare each model with the reference.

    models: name -> its runs, which differ by a seed only: what tells a run apart -> its fit. A user's values are
    averaged over the runs. Users without a target are left out and counted, as are targets that stand in the history
    (never hit once seen items are removed). reference: the model that differences are taken to, the first one unless
    named. seed: that of the bootstrap. Raises DataError if no user has a target or the reference is unknown, ValueError
    if a ranker breaks its contract (wrong shape, an index outside the catalogue, an item twice, a seen item).
    """
    reference = _reference(models, reference)
    if len(holdout.asked) == 0:
        raise DataError("no user has a target to evaluate on", hint="give targets, or users of 3 or more items")
    ks = sorted({*ks, *HEADLINE_KS, *(k for _, k in SLICED)})
    asking = _Asking(holdout, ks[-1], exclude_seen, batch, progress)
    runs = {
        name: {label: _run(f"{name}, {label}" if len(own) > 1 else name, fit, asking) for label, fit in own.items()}
        for name, own in models.items()
    }
    found = measure(runs, holdout, facts or ItemFacts(), ks, reference, seed, samples)
    return replace(found, about={**found.about, "exclude_seen": exclude_seen})


def _reference(models: Mapping[str, Mapping[str, Fit]], reference: str | None) -> str:
    if not models:
        raise DataError("no model to evaluate", hint="name at least one model or baseline")
    if reference is not None and reference not in models:
        raise DataError(f"the reference {reference!r} is not among the models", hint=f"one of {', '.join(models)}")
    return reference or next(iter(models))


def _run(name: str, fit: Fit, asking: _Asking) -> Run:
    """Fit and rank once a part; seconds are sums over the parts."""
    asked = asking.holdout.asked
    lists = np.full((len(asked), asking.k), PADDING, dtype=np.int64)
    fit_seconds, score_seconds, done = 0.0, 0.0, 0
    with peak_memory() as memory:
        for part in asking.holdout.parts:
            places = np.flatnonzero(np.isin(asked, part.users))
            if len(places):
                lists[places], fitting, scoring = _part(name, fit, part.learn, asked[places], done, asking)
                fit_seconds, score_seconds, done = fit_seconds + fitting, score_seconds + scoring, done + len(places)
    return Run(lists, fit_seconds, score_seconds, memory.megabytes)


def _part(
    name: str, fit: Fit, learn: Sequence[np.ndarray], users: np.ndarray, done: int, asking: _Asking
) -> tuple[np.ndarray, float, float]:
    """Return the lists of these users [users, k], and the seconds that the fit and the ranking alone took."""
    rank = fit(learn)
    lists, seconds = [], 0.0
    for start in range(0, len(users), asking.batch):
        histories = [asking.holdout.histories[user] for user in users[start : start + asking.batch].tolist()]
        begin = time.perf_counter()
        ranked = np.asarray(rank(histories, asking.k))
        seconds += time.perf_counter() - begin
        _check(name, ranked, histories, asking.k, asking.holdout.items, asking.exclude_seen)
        lists.append(ranked)
        if asking.progress is not None:
            asking.progress(f"ranking with {name}", done + start + len(histories), len(asking.holdout.asked))
    return np.concatenate(lists), getattr(rank, "fit_seconds", float("nan")), seconds


def _check(
    name: str, ranked: np.ndarray, histories: Sequence[np.ndarray], k: int, items: int, exclude_seen: bool
) -> None:
    """Raise ValueError if lists would make a metric wrong: an item that stands twice could hit twice."""
    if ranked.shape != (len(histories), k):
        raise ValueError(f"{name} ranked {ranked.shape}, expected {(len(histories), k)}")
    if ranked.min(initial=0) < PADDING or ranked.max(initial=0) >= items:
        raise ValueError(f"{name} ranked an index outside the catalogue of {items} items")
    ordered = np.sort(ranked, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING)).any():
        raise ValueError(f"{name} ranked an item twice for one user")
    if exclude_seen and any(np.isin(row, seen).any() for row, seen in zip(ranked, histories, strict=True)):
        raise ValueError(f"{name} ranked an item that the user has seen")
