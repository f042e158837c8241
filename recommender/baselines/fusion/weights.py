"""Fits the weights of a fusion: the language model and baselines in one ranking.

The weights are those of a conditional logit (McFadden, 1974): they maximise the likelihood of the validation target
among the user's unseen items. The problem is convex, so the same scores give the same weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from recommender.baselines import Baseline, FitData
from recommender.baselines.fusion.conditional_logit import PENALTY, logit_weights
from recommender.baselines.fusion.gate import Gate, fused_scores, history_features, item_counts
from recommender.baselines.fusion.gate_fit import GatedProblem, fit_gate, unseen_items
from recommender.baselines.fusion.score_views import Weights, score_views
from recommender.baselines.fusion.stored import LANGUAGE_MODEL, StoredFusion
from recommender.baselines.topk import rank_topk
from recommender.baselines.validation_targets import split_validation
from recommender.errors import DataError
from recommender.numerics.sampling import evenly
from recommender.progress import Progress

ScoreFunction = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Histories -> scores [users, items], higher is better."""

VALIDATION_USERS = 1000


@dataclass(frozen=True)
class FittedFusion:
    """A fitted fusion as a RankFunction: histories and k in, item indices out.

    scorers: the language model, which comes first, and the baselines. weights: of each scorer. seconds: what each
    scorer has cost so far. gate: makes the weights depend on the history. ridge: the penalty that its fit chose.
    """

    scorers: Mapping[str, ScoreFunction]
    weights: Mapping[str, Weights]
    fit_seconds: float
    baselines: Mapping[str, Baseline]
    seconds: dict[str, float] = field(default_factory=dict)
    gate: Gate | None = None
    ridge: float | None = None

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the fused scores [users, items], -inf for seen items; adds to `seconds`."""
        parts = {}
        for name, scorer in self.scorers.items():
            start = time.perf_counter()
            parts[name] = scorer(histories)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        return fused_scores(parts, histories, self.weights, self.gate)

    def stored(self) -> StoredFusion:
        """Return the fusion without its language model, as it is stored beside that in a checkpoint."""
        model, *_ = self.weights
        keys = {name: LANGUAGE_MODEL if name == model else name for name in self.weights}
        gate = None if self.gate is None else self.gate.renamed(keys)
        return StoredFusion(self.baselines, {keys[name]: weights for name, weights in self.weights.items()}, gate)

    def __call__(self, histories: Sequence[np.ndarray], k: int) -> np.ndarray:
        """Return the k best unseen items of each history, [users, k], -1 where there are no more."""
        return rank_topk(self.scores(histories), histories, k)


def fit_weights(
    views: Sequence[np.ndarray], targets: np.ndarray, histories: Sequence[np.ndarray]
) -> list[tuple[float, float]]:
    """Return the weights of each scorer's two views [users, items, 2] that make the targets [users] most likely."""
    all_views = torch.from_numpy(np.concatenate(views, axis=2))
    seen = torch.zeros(all_views.shape[:2], dtype=torch.bool)
    for user, history in enumerate(histories):
        seen[user, torch.from_numpy(np.asarray(history))] = True
    labels = torch.from_numpy(np.asarray(targets))
    pairs = logit_weights(all_views, seen, labels).numpy().astype(float).reshape(-1, 2)
    return [(float(standard), float(log_rank)) for standard, log_rank in pairs]


def fit_fusion(
    name: str,
    model: ScoreFunction,
    baselines: Mapping[str, Callable[[], Baseline]],
    data: FitData,
    progress: Progress | None = None,
    *,
    gated: bool = False,
    unlearned: np.ndarray | None = None,
) -> FittedFusion:
    """Fit baselines and the weights of all scorers; the language model is trained already.

    The last item of each history is the validation target. The weights are fitted on the scores for the items before
    it, from baselines that have not seen it; then the baselines are fitted again on whole histories. `name`: of the
    language model. `gated`: the weights depend on the history, see `Gate`. `unlearned`, bool [users]: whose last items the
    language model has not learned, see `training.validate_on`; None: of all. Raises DataError if nobody has a target.
    """
    start = time.perf_counter()
    train, validation = split_validation(data.histories, unlearned)
    if not len(validation.targets):
        raise DataError("no history has two items, so there is nothing to fit the weights of a fusion on")
    users = evenly(len(validation.targets), VALIDATION_USERS)
    histories, targets = [validation.histories[user] for user in users.tolist()], validation.targets[users]
    scores = {name: model(histories)}
    for number, (other, make) in enumerate(baselines.items(), start=1):
        scores[other] = _fit(make, data, train).scores(histories)
        if progress is not None:
            progress("weights of the fusion", number, len(baselines))
    views = [score_views(part, histories) for part in scores.values()]
    weights: dict[str, Weights] = dict(zip(scores, fit_weights(views, targets, histories), strict=True))
    gate, ridge = None, None
    if gated:
        features = history_features([*scores.values()], histories, item_counts(train, data.items))
        weights, gate, ridge = _with_gate(weights, views, targets, histories, features, data)
    fitted = {other: _fit(make, data, data.histories) for other, make in baselines.items()}
    scorers = {name: model} | {other: baseline.scores for other, baseline in fitted.items()}
    return FittedFusion(scorers, weights, time.perf_counter() - start, fitted, gate=gate, ridge=ridge)


def _fit(make: Callable[[], Baseline], data: FitData, histories: Sequence[np.ndarray]) -> Baseline:
    baseline = make()
    baseline.fit(replace(data, histories=histories))
    return baseline


def _with_gate(
    fixed: Mapping[str, Weights],
    views: Sequence[np.ndarray],
    targets: np.ndarray,
    histories: Sequence[np.ndarray],
    features: np.ndarray,
    data: FitData,
) -> tuple[dict[str, Weights], Gate, float]:
    """Return the weights of a mean history, the gate, which counts whole histories, and the ridge on its slopes."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    gate = Gate({}, mean, spread, item_counts(data.histories, data.items))
    unseen = unseen_items(histories, data.items)
    problem = GatedProblem(np.concatenate(views, axis=2), unseen, targets, gate.bounded(features))
    coefficients, ridge = fit_gate(problem, np.concatenate([*fixed.values()]), PENALTY)
    tables = dict(zip(fixed, coefficients.reshape(len(fixed), 2, -1), strict=True))
    weights = {name: (float(table[0, 0]), float(table[1, 0])) for name, table in tables.items()}
    return weights, replace(gate, slopes={name: table[:, 1:] for name, table in tables.items()}), ridge
