"""Fusion: the language model's log-probabilities and other scorers in one ranking, weighted on validation alone.

An item's fused score is a weighted sum of what each scorer says of it, as a standard score over the user's unseen items
and as the logarithm of its rank there. The weights are those of a conditional logit (McFadden, 1974): the chance that
the held-out item is the chosen one is highest. That is convex, so the same scores give the same weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recommender.baselines import Baseline, FitData
from recommender.baselines.held_out import hold_out
from recommender.baselines.item_tables import from_arrays, to_arrays
from recommender.baselines.ranking import rank_topk
from recommender.errors import CheckpointError, DataError
from recommender.numerics.sampling import evenly
from recommender.progress import Progress

ScoreFunction = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Histories -> scores [users, items], higher is better."""

FUSION = "fusion.safetensors"
"""What a fusion is called in a checkpoint's folder."""
MODEL = "language model"
RANK_OFFSET = 5.0
PENALTY = 1e-3
VALIDATION_USERS = 1000


@dataclass(frozen=True)
class Fused:
    """A fitted fusion: histories and k in, item indices out. `weights`: scorer -> (standard score, log rank)."""

    scorers: Mapping[str, ScoreFunction]
    weights: Mapping[str, tuple[float, float]]
    fit_seconds: float
    rankers: Mapping[str, Baseline]
    seconds: dict[str, float] = field(default_factory=dict)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the fused scores [users, items], -inf for what was seen; adds up what each scorer costs."""
        total: np.ndarray | None = None
        for name, scorer in self.scorers.items():
            start = time.perf_counter()
            part = weighed(scorer(histories), histories, self.weights[name])
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            total = part if total is None else total + part
        assert total is not None
        return without_seen(total, histories)

    def kept(self) -> KeptFusion:
        """Return the fusion without its language model, to lie beside that in a checkpoint."""
        model, *_ = self.weights
        names = {name: MODEL if name == model else name for name in self.weights}
        return KeptFusion(self.rankers, {names[name]: both for name, both in self.weights.items()})

    def __call__(self, histories: Sequence[np.ndarray], k: int) -> np.ndarray:
        """Return the k best unseen items of each history, [users, k], -1 where there are no more."""
        return rank_topk(self.scores(histories), histories, k)


@dataclass(frozen=True)
class KeptFusion:
    """A fusion as it lies in a checkpoint: item-to-item tables and weights, no user in them.

    `weights`: scorer -> (standard score, log rank); MODEL stands for the language model.
    """

    rankers: Mapping[str, Baseline]
    weights: Mapping[str, tuple[float, float]]

    def scores(self, model_scores: np.ndarray, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Fuse the language model's scores [users, items] with the kept baselines'; -inf for what was seen."""
        total = weighed(model_scores, histories, self.weights[MODEL])
        for name, ranker in self.rankers.items():
            total = total + weighed(ranker.scores(histories), histories, self.weights[name])
        return without_seen(total, histories)

    def save(self, path: Path) -> None:
        """Write tables and weights as safetensors."""
        arrays = {
            f"{name}/{part}": np.ascontiguousarray(array)
            for name, ranker in self.rankers.items()
            for part, array in to_arrays(ranker).items()
        }
        save_file(arrays, path, metadata={"weights": json.dumps({n: list(w) for n, w in self.weights.items()})})

    @classmethod
    def load(cls, path: Path) -> KeptFusion:
        """Read what `save` wrote. Raises CheckpointError if the file is damaged, DataError if a table is missing."""
        try:
            with safe_open(path, framework="numpy") as file:
                weights = {n: (float(a), float(b)) for n, (a, b) in json.loads(file.metadata()["weights"]).items()}
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        except (SafetensorError, KeyError, TypeError, ValueError):
            raise CheckpointError(f"{path}: is damaged", "fuse the checkpoint again") from None
        tables: dict[str, dict[str, np.ndarray]] = {name: {} for name in weights if name != MODEL}
        for key, array in arrays.items():
            name, _, part = key.partition("/")
            tables.setdefault(name, {})[part] = array
        return cls({name: from_arrays(name, parts) for name, parts in tables.items()}, weights)


def weighed(scores: np.ndarray, histories: Sequence[np.ndarray], weights: tuple[float, float]) -> np.ndarray:
    """Return what one scorer adds to the fused score of every item, float32 [users, items]."""
    return np.asarray(normalised(scores, histories) @ np.array(weights, dtype=np.float32))


def without_seen(scores: np.ndarray, histories: Sequence[np.ndarray]) -> np.ndarray:
    """Return the scores [users, items], in place, with -inf for what was seen."""
    for row, seen in zip(scores, histories, strict=True):
        row[seen] = -np.inf
    return scores


def normalised(scores: np.ndarray, histories: Sequence[np.ndarray]) -> np.ndarray:
    """Return both views of scores [users, items] over each user's unseen items, float32 [users, items, 2].

    The views of seen items are zero. A score of -inf (never to be ranked) counts as the lowest finite one.
    """
    views = np.zeros((*scores.shape, 2), dtype=np.float32)
    for user, seen in enumerate(histories):
        unseen = np.ones(scores.shape[1], dtype=bool)
        unseen[seen] = False
        own = scores[user, unseen].astype(np.float64)
        finite = np.isfinite(own)
        own = np.where(finite, own, own[finite].min() if finite.any() else 0.0)
        views[user, unseen, 0] = (own - own.mean()) / (own.std() or 1.0)
        views[user, unseen, 1] = -np.log(RANK_OFFSET + _ranks(own))
    return views


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the place of each value from the highest, ties at their mean place: nothing hangs on an item's index."""
    ordered = np.sort(-values)
    return (np.searchsorted(ordered, -values, "left") + np.searchsorted(ordered, -values, "right") - 1) / 2


def fit_weights(
    views: Sequence[np.ndarray], targets: np.ndarray, histories: Sequence[np.ndarray]
) -> list[tuple[float, float]]:
    """Return the weights of each scorer's two views [users, items, 2] under which the targets [users] are likeliest."""
    stacked = torch.from_numpy(np.concatenate(views, axis=2))
    seen = torch.zeros(stacked.shape[:2], dtype=torch.bool)
    for user, history in enumerate(histories):
        seen[user, torch.from_numpy(np.asarray(history))] = True
    chosen = torch.from_numpy(np.asarray(targets))
    weights = torch.full((stacked.shape[2],), 1.0 / stacked.shape[2], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = (stacked @ weights).masked_fill(seen, -torch.inf)
        loss = torch.nn.functional.cross_entropy(logits, chosen) + PENALTY * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    found = weights.detach().numpy().astype(float).reshape(-1, 2)
    return [(float(first), float(second)) for first, second in found]


def fuse(
    name: str,
    model: ScoreFunction,
    baselines: Mapping[str, Callable[[], Baseline]],
    data: FitData,
    progress: Progress | None = None,
) -> Fused:
    """Fit baselines and weights beside a language model that has its own training behind it.

    The last item of each history is the validation target: the weights are fitted on scores for what came before it,
    by baselines that have not seen it; then the baselines are fitted again on everything. Raises DataError if no
    history is long enough to hold one out.
    """
    start = time.perf_counter()
    earlier, held = hold_out(data.histories)
    users = len(held.targets)
    if not users:
        raise DataError("no history has two items, so there is nothing to fit the weights of a fusion on")
    asked = evenly(users, VALIDATION_USERS)
    known, targets = [held.histories[user] for user in asked.tolist()], held.targets[asked]
    views = [normalised(model(known), known)]
    for number, make in enumerate(baselines.values(), start=1):
        views.append(normalised(_fit(make, data, earlier).scores(known), known))
        if progress is not None:
            progress("weights of the fusion", number, len(baselines))
    weights = fit_weights(views, targets, known)
    rankers = {other: _fit(make, data, data.histories) for other, make in baselines.items()}
    scorers = {name: model} | {other: ranker.scores for other, ranker in rankers.items()}
    return Fused(scorers, dict(zip(scorers, weights, strict=True)), time.perf_counter() - start, rankers)


def _fit(make: Callable[[], Baseline], data: FitData, histories: Sequence[np.ndarray]) -> Baseline:
    ranker = make()
    ranker.fit(replace(data, histories=histories))
    return ranker
