"""The evaluation protocol of baselines and language models: all rank for the same users and are measured alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recommender.baselines.topk import PADDING, RankFunction
from recommender.errors import DataError
from recommender.eval.beyond_accuracy import ItemFacts
from recommender.eval.bootstrap import SAMPLES
from recommender.eval.evaluation import SLICED, Evaluation, Run, measure_runs
from recommender.eval.holdout import Holdout
from recommender.eval.resources import peak_memory
from recommender.progress import Progress

Fit = Callable[[Sequence[np.ndarray]], RankFunction]
"""Histories to learn from -> a RankFunction. Called just before it is needed; its result is freed before the next call."""

HEADLINE_KS = (5, 10)  # shown in the terminal and the report, so always measured


@dataclass(frozen=True)
class _Ranking:
    """How every model ranks: for whom, how many items, with seen items or not."""

    holdout: Holdout
    k: int
    exclude_seen: bool
    batch: int
    progress: Progress | None


def evaluate_models(
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
    """Fit the models, rank for every user that has a target, measure, and compare each model with the reference.

    models: name -> label of a run -> its fit. The runs of a model differ by a seed only; a user's values are averaged
        over them.
    reference: the model that differences are taken to, by default the first.
    seed: of the bootstrap.

    Users without a target are left out and counted, as are targets that are in the history (and cannot be hit if seen
    items are excluded). Raises DataError if no user has a target or the reference is unknown, ValueError if a model
    breaks the contract of a RankFunction (wrong shape, an index outside the catalogue, an item twice, a seen item).
    """
    reference = _checked_reference(models, reference)
    if len(holdout.test_users) == 0:
        raise DataError("no user has a target to evaluate on", hint="give targets, or users of 3 or more items")
    ks = sorted({*ks, *HEADLINE_KS, *(k for _, k in SLICED)})
    ranking = _Ranking(holdout, ks[-1], exclude_seen, batch, progress)
    runs = {
        name: {label: _run(f"{name}, {label}" if len(fits) > 1 else name, fit, ranking) for label, fit in fits.items()}
        for name, fits in models.items()
    }
    evaluation = measure_runs(runs, holdout, facts or ItemFacts(), ks, reference, seed, samples)
    return replace(evaluation, about={**evaluation.about, "exclude_seen": exclude_seen})


def _checked_reference(models: Mapping[str, Mapping[str, Fit]], reference: str | None) -> str:
    if not models:
        raise DataError("no model to evaluate", hint="name at least one model or baseline")
    if reference is not None and reference not in models:
        raise DataError(f"the reference {reference!r} is not among the models", hint=f"one of {', '.join(models)}")
    return reference or next(iter(models))


def _run(name: str, fit: Fit, ranking: _Ranking) -> Run:
    """Fit and rank each part of the holdout; seconds are sums over the parts."""
    test_users = ranking.holdout.test_users
    lists = np.full((len(test_users), ranking.k), PADDING, dtype=np.int64)
    fit_seconds, score_seconds, done = 0.0, 0.0, 0
    with peak_memory() as memory:
        for part in ranking.holdout.parts:
            rows = np.flatnonzero(np.isin(test_users, part.users))
            if len(rows):
                lists[rows], fitting, scoring = _rank_part(name, fit, part.learn, test_users[rows], done, ranking)
                fit_seconds, score_seconds, done = fit_seconds + fitting, score_seconds + scoring, done + len(rows)
    return Run(lists, fit_seconds, score_seconds, memory.megabytes)


def _rank_part(
    name: str, fit: Fit, learn: Sequence[np.ndarray], users: np.ndarray, done: int, ranking: _Ranking
) -> tuple[np.ndarray, float, float]:
    """Return the lists of these users [users, k], and the seconds of the fit and of the ranking alone."""
    rank = fit(learn)
    batch = getattr(rank, "at_once", ranking.batch)  # what ranks on many machines takes more histories at a time
    lists, seconds = [], 0.0
    for start in range(0, len(users), batch):
        histories = [ranking.holdout.histories[user] for user in users[start : start + batch].tolist()]
        begin = time.perf_counter()
        ranked = np.asarray(rank(histories, ranking.k))
        seconds += time.perf_counter() - begin
        _check(name, ranked, histories, ranking)
        lists.append(ranked)
        if ranking.progress is not None:
            total = len(ranking.holdout.test_users)
            ranking.progress(f"ranking with {name}", done + start + len(histories), total)
    return np.concatenate(lists), getattr(rank, "fit_seconds", float("nan")), seconds


def _check(name: str, ranked: np.ndarray, histories: Sequence[np.ndarray], ranking: _Ranking) -> None:
    """Raise ValueError if the lists would make a metric wrong: an item that stands twice could hit twice."""
    items = ranking.holdout.items
    if ranked.shape != (len(histories), ranking.k):
        raise ValueError(f"{name} ranked {ranked.shape}, expected {(len(histories), ranking.k)}")
    if ranked.min(initial=0) < PADDING or ranked.max(initial=0) >= items:
        raise ValueError(f"{name} ranked an index outside the catalogue of {items} items")
    ordered = np.sort(ranked, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING)).any():
        raise ValueError(f"{name} ranked an item twice for one user")
    if ranking.exclude_seen and any(np.isin(row, seen).any() for row, seen in zip(ranked, histories, strict=True)):
        raise ValueError(f"{name} ranked an item that the user has seen")
