"""From ranked lists to tables of metrics: all models on the same users, each user's values averaged over the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd

from recommender.baselines.topk import PADDING
from recommender.eval import metrics
from recommender.eval.beyond_accuracy import ItemFacts, beyond_accuracy_per_user
from recommender.eval.bootstrap import LEVEL, Bootstrap, Estimates
from recommender.eval.holdout import Holdout
from recommender.eval.slices import FEW, target_slices

SLICED = (("recall", 10), ("ndcg", 10))  # the metrics of every slice and of every pair of models

Key = tuple[str, int]
Values = Mapping[str, Mapping[Key, np.ndarray]]
"""model -> (metric, k) -> one value a user."""


@dataclass(frozen=True)
class Run:
    """One fit of a model: the lists [test users, k], and its cost; fit_seconds is NaN if unknown."""

    lists: np.ndarray
    fit_seconds: float
    score_seconds: float
    memory_mb: float


Runs = Mapping[str, Mapping[str, Run]]
"""model -> label of the run (a seed, a folder) -> the run."""


@dataclass(frozen=True)
class Evaluation:
    """The tables of one evaluation.

    per_user: model, user (position in the histories), metric, k, value (mean over the model's runs).
    summary: model, metric, k, mean, low, high (95 % interval), difference to the reference with its paired
        difference_low and difference_high, number of users, spread (standard deviation of the mean over the runs,
        NaN for one run); intervals are NaN for coverage, gini, novelty and cold_share, which are not means over users.
    runs: model, run, metric, k, mean: each run by itself.
    slices: slice, targets, users, few (too few for a trustworthy interval), then as summary.
    pairs: model, other, metric, k, difference (model less other), low, high: every ordered pair, paired.
    models: model, runs, fit_seconds (NaN if unknown), score_seconds, memory_mb: means over the runs.
    users: user, target (index of the item), history (its length), target_count (training interactions of the target),
        and a column `rank MODEL` for each run: the rank of the target from 1 on, missing beyond the largest k.
    curves: model, k, recall for every k up to the largest, mean over the runs.
    about: reference, split, users, items, seed and all else that is needed to repeat the evaluation.
    """

    per_user: pd.DataFrame
    summary: pd.DataFrame
    runs: pd.DataFrame
    slices: pd.DataFrame
    pairs: pd.DataFrame
    models: pd.DataFrame
    users: pd.DataFrame
    curves: pd.DataFrame
    about: Mapping[str, Any]

    def row(self, model: str, metric: str, k: int) -> pd.Series:
        """Return the summary row of one model and metric at k. Raises KeyError if it was not measured."""
        rows = self.summary.query("model == @model and metric == @metric and k == @k")
        if rows.empty:
            raise KeyError(f"{metric}@{k} of {model} was not measured")
        return rows.iloc[0]

    def has(self, metric: str) -> bool:
        """Return whether a metric was measured at all."""
        return bool((self.summary["metric"] == metric).any())


def measure_runs(
    runs: Runs, holdout: Holdout, facts: ItemFacts, ks: Sequence[int], reference: str, seed: int, samples: int
) -> Evaluation:
    """Measure runs whose lists belong to the holdout's test users, in their order."""
    histories, table = holdout.test_histories(), holdout.table[holdout.test_users]
    run_values = {
        model: {
            label: metrics.accuracy_per_user(run.lists, table, ks)
            | beyond_accuracy_per_user(run.lists, histories, facts, ks)
            for label, run in model_runs.items()
        }
        for model, model_runs in runs.items()
    }
    values = {model: _mean_over_runs(list(of_runs.values())) for model, of_runs in run_values.items()}
    list_metrics = _list_metrics(runs, holdout, ks)
    run_means = pd.concat([_run_means(run_values), list_metrics], ignore_index=True)
    bootstrap = Bootstrap(_stacked(values), seed, samples)
    list_means = list_metrics.groupby(["model", "metric", "k"], sort=False)["mean"].mean().reset_index()
    summary = pd.concat([_summary(bootstrap, values, reference), pd.DataFrame(list_means)], ignore_index=True)
    return Evaluation(
        per_user=_per_user(values, holdout.test_users),
        summary=_with_spread(summary, run_means),
        runs=run_means,
        slices=_slices(runs, holdout, facts, reference, seed, samples),
        pairs=_pairs(bootstrap, values),
        models=_models(runs),
        users=_users(runs, holdout),
        curves=_curves(runs, table),
        about=_about(holdout, facts, histories, table, ks) | {"reference": reference, "seed": seed} | _method(samples),
    )


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table, each as column -> value."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _mean_over_runs(runs: Sequence[Mapping[Key, np.ndarray]]) -> dict[Key, np.ndarray]:
    """Return each user's mean over the runs."""
    return {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}


def _stacked(values: Values) -> np.ndarray:
    """Return [users, models, metrics]."""
    return np.stack([np.stack(list(columns.values()), axis=1) for columns in values.values()], axis=1)


def _summary(bootstrap: Bootstrap, values: Values, reference: str) -> pd.DataFrame:
    keys = list(values[reference])
    names = pd.DataFrame([(model, *key) for model in values for key in keys], columns=["model", "metric", "k"])
    differences = bootstrap.differences(list(values).index(reference))
    columns = _columns(bootstrap.means(), "mean", "low", "high")
    columns |= _columns(differences, "difference", "difference_low", "difference_high")
    return names.assign(**columns, users=np.tile(bootstrap.users, len(values)))


def _columns(estimates: Estimates, mean: str, low: str, high: str) -> dict[str, np.ndarray]:
    return {mean: estimates.mean.ravel(), low: estimates.low.ravel(), high: estimates.high.ravel()}


def _run_means(run_values: Mapping[str, Mapping[str, Mapping[Key, np.ndarray]]]) -> pd.DataFrame:
    """Return the mean of each run by itself, over the users for whom the metric is defined."""
    rows = [
        (model, label, *key, float(np.nanmean(column)) if (~np.isnan(column)).any() else float("nan"))
        for model, of_runs in run_values.items()
        for label, columns in of_runs.items()
        for key, column in columns.items()
    ]
    return pd.DataFrame(rows, columns=["model", "run", "metric", "k", "mean"])


def _list_metrics(runs: Runs, holdout: Holdout, ks: Sequence[int]) -> pd.DataFrame:
    """Return coverage, gini, novelty and share of cold items of every run, which are of all its lists together."""
    popularity, items = holdout.popularity(), holdout.items
    rows = []
    for model, label, run in _flat(runs):
        for k in ks:
            rows.append((model, label, "coverage", k, metrics.coverage(run.lists, items, k)))
            rows.append((model, label, "gini", k, metrics.gini(run.lists, items, k)))
            rows.append((model, label, "novelty", k, metrics.novelty(run.lists, popularity, k)))
            rows.append((model, label, "cold_share", k, metrics.cold_share(run.lists, popularity, k)))
    return pd.DataFrame(rows, columns=["model", "run", "metric", "k", "mean"])


def _with_spread(summary: pd.DataFrame, run_means: pd.DataFrame) -> pd.DataFrame:
    spread = run_means.groupby(["model", "metric", "k"], sort=False)["mean"].std(ddof=1).rename("spread").reset_index()
    return summary.merge(spread, on=["model", "metric", "k"], how="left", sort=False)


def _slices(runs: Runs, holdout: Holdout, facts: ItemFacts, reference: str, seed: int, samples: int) -> pd.DataFrame:
    """Return the metrics of every slice over the users who have a target in it, against those targets only."""
    table = holdout.table[holdout.test_users]
    frames = []
    for name, members in target_slices(holdout, facts.lacking, facts.learned).items():
        users = members.any(axis=1)
        if users.any():
            targets = np.where(members, table, PADDING)[users]
            values = {
                model: _mean_over_runs([_sliced(run.lists[users], targets) for run in model_runs.values()])
                for model, model_runs in runs.items()
            }
            rows = _summary(Bootstrap(_stacked(values), seed, samples), values, reference)
        else:
            rows = pd.DataFrame(
                [(model, *key, 0) for model in runs for key in SLICED], columns=["model", "metric", "k", "users"]
            )
        frames.append(rows.assign(slice=name, targets=int(members.sum()), few=bool(users.sum() < FEW)))
    return pd.concat(frames, ignore_index=True)


def _sliced(lists: np.ndarray, targets: np.ndarray) -> dict[Key, np.ndarray]:
    return {(name, k): metrics.METRICS[name](lists, targets, k) for name, k in SLICED}


def _pairs(bootstrap: Bootstrap, values: Values) -> pd.DataFrame:
    """Return the differences of all ordered pairs of models."""
    names, keys = list(values), list(next(iter(values.values())))
    against = {name: bootstrap.differences(place) for place, name in enumerate(names)}
    rows = [
        (model, other, *key, *(float(part[names.index(model), keys.index(key)]) for part in _parts(against[other])))
        for model, other in permutations(names, 2)
        for key in SLICED
    ]
    return pd.DataFrame(rows, columns=["model", "other", "metric", "k", "difference", "low", "high"])


def _parts(estimates: Estimates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return estimates.mean, estimates.low, estimates.high


def _per_user(values: Values, users: np.ndarray) -> pd.DataFrame:
    frames = [
        pd.DataFrame({"model": model, "user": users, "metric": metric, "k": k, "value": column})
        for model, columns in values.items()
        for (metric, k), column in columns.items()
    ]
    return pd.concat(frames, ignore_index=True).astype({"model": "category", "metric": "category", "k": "int32"})


def _models(runs: Runs) -> pd.DataFrame:
    rows = [
        (
            model,
            len(model_runs),
            *np.mean([(run.fit_seconds, run.score_seconds, run.memory_mb) for run in model_runs.values()], axis=0),
        )
        for model, model_runs in runs.items()
    ]
    return pd.DataFrame(rows, columns=["model", "runs", "fit_seconds", "score_seconds", "memory_mb"])


def _users(runs: Runs, holdout: Holdout) -> pd.DataFrame:
    """Return one row for each user and target."""
    users, table = holdout.test_users, holdout.table[holdout.test_users]
    rows, columns = np.nonzero(table != PADDING)
    targets = table[rows, columns]
    frame = pd.DataFrame(
        {
            "user": users[rows],
            "target": targets,
            "history": [len(holdout.histories[user]) for user in users[rows].tolist()],
            "target_count": holdout.target_counts()[users][rows, columns],
        }
    )
    for model, label, run in _flat(runs):
        hits = run.lists[rows] == targets[:, None]
        rank = pd.array(np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0), dtype="Int32")
        rank[~hits.any(axis=1)] = pd.NA
        frame[f"rank {model}" if len(runs[model]) == 1 else f"rank {model}, {label}"] = rank
    return frame


def _curves(runs: Runs, table: np.ndarray) -> pd.DataFrame:
    """Return mean recall at every k up to the longest list for each model."""
    target_counts = (table != PADDING).sum(axis=1, keepdims=True)
    frames = []
    for model, model_runs in runs.items():
        hits = np.mean([metrics.relevance(run.lists, table) for run in model_runs.values()], axis=0)
        recall = (np.cumsum(hits, axis=1) / target_counts).mean(axis=0)
        frames.append(pd.DataFrame({"model": model, "k": np.arange(1, len(recall) + 1), "recall": recall}))
    return pd.concat(frames, ignore_index=True)


def _flat(runs: Runs) -> list[tuple[str, str, Run]]:
    return [(model, label, run) for model, model_runs in runs.items() for label, run in model_runs.items()]


def _about(
    holdout: Holdout, facts: ItemFacts, histories: Sequence[np.ndarray], table: np.ndarray, ks: Sequence[int]
) -> dict[str, Any]:
    repeated = sum(np.isin(row[row != PADDING], seen).sum() for row, seen in zip(table, histories, strict=True))
    return {
        "split": holdout.name,
        **holdout.details,
        "users": len(table),
        "users_without_target": holdout.users_without_target,
        "targets": int((table != PADDING).sum()),
        "targets_in_history": int(repeated),
        "items": holdout.items,
        "attribute": None if facts.attributes is None else facts.attributes.name,
        "ks": list(ks),
    }


def _method(samples: int) -> dict[str, Any]:
    return {"interval": {"level": LEVEL, "method": "percentile bootstrap over users", "samples": samples}}
