"""Plain signals of a conversation, which need no language model: what a model that listens has to be better than.

Company (what is taken together with the items that were named), popularity, likeness of the words to the items' texts, and
kinds that were named. Their sum is weighed by a multinomial regression on conversations that are not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from recommender.conversations.cases import Case
from recommender.data.catalogue import Catalogue
from recommender.justify.english import SYNONYMS
from recommender.justify.facts import facts_of, role
from recommender.justify.item_names import forms

#: co-occurrences are counted within so many neighbouring places of a history
WINDOW = 60
#: exponents of the two items' counts, and people who say little together, in the company of two items
_OWN, _OTHER, _FEW = 0.5, 0.8, 20
_RIDGE = 0.003
#: a kind that is named more often weighs no more
_MOST_NAMED = 2


def company(histories: Sequence[np.ndarray], items: int) -> np.ndarray:
    """Return how much more often two items are taken together than their popularity alone would give, [items, items].

    Counted within windows of a history; the row of an item that is named ranks the others, the best one scores 1.
    """
    together, alone = np.zeros((items, items), np.float32), np.zeros(items, np.float32)
    for history in histories:
        for start in range(0, max(len(history) - WINDOW // 2, 1), WINDOW // 2):
            part = np.unique(history[start : start + WINDOW])
            together[np.ix_(part, part)] += 1
            alone[part] += 1
    np.fill_diagonal(together, 0)
    alone = np.maximum(alone, 1)
    lift = together / (alone[:, None] ** _OWN * alone[None] ** _OTHER) * (together / (together + _FEW))
    return np.asarray(lift / np.maximum(lift.max(1, keepdims=True), 1e-9), np.float32)


def log_popularity(histories: Sequence[np.ndarray], items: int) -> np.ndarray:
    """Return the logarithm of one more than how often each item was taken, [items]."""
    return np.asarray(np.log1p(sum(np.bincount(h, minlength=items) for h in histories) + np.zeros(items)), np.float32)


def of_company(cases: Sequence[Case], together: np.ndarray) -> np.ndarray:
    """Return the mean company of the items that were named, [cases, items]; 0 where none was."""
    none = np.zeros(len(together), np.float32)
    return np.stack([together[list(case.named)].mean(0) if case.named else none for case in cases])


def of_kinds(cases: Sequence[Case], catalogue: Catalogue) -> np.ndarray:
    """Return how many of an item's kinds were named, [cases, items]: by their names or words that mean the same."""
    members: dict[str, list[int]] = {}
    for item in range(len(catalogue)):
        for name, values in facts_of(catalogue, item).items():
            for value in values if role(name) == "kind" else ():
                members.setdefault(value, []).append(item)
    scores = np.zeros((len(cases), len(catalogue)), np.float32)
    for kind, items in members.items():
        said = {" ".join(forms(word)) for word in (kind, *SYNONYMS.get(kind.casefold(), ()))}
        said |= {f"{word}s" for word in said} | {f"{word[:-1]}ies" for word in said if word.endswith("y")}
        for row, case in enumerate(cases):
            text = f" {' '.join(forms(case.said()))} "
            count = sum(text.count(f" {word} ") for word in said)
            scores[row, items] += min(count, _MOST_NAMED)
    return scores


@dataclass(frozen=True)
class WeighedSum:
    """A sum of signals. `weights`: of each, for its values divided by `scales`."""

    weights: Mapping[str, float]
    scales: Mapping[str, float]

    @classmethod
    def fit(cls, signals: Mapping[str, np.ndarray], cases: Sequence[Case]) -> WeighedSum:
        """Weigh signals, [cases, items] each, so that the targets are likeliest among all items not named before.

        No weight is negative. The optimum is unique: the loss is convex, with a small ridge.
        """
        names = list(signals)
        scales = {name: float(signals[name].std()) or 1.0 for name in names}
        stacked = np.stack([signals[name] / scales[name] for name in names], -1).astype(np.float64)

        def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = _RIDGE * float(weights @ weights), 2 * _RIDGE * weights
            for features, case in zip(stacked, cases, strict=True):
                logits = features @ weights
                logits[list(case.named)] = -np.inf
                logits -= logits.max()
                probabilities = np.exp(logits)
                total = probabilities.sum()
                targets = list(case.targets)
                value -= float((logits[targets] - np.log(total)).mean()) / len(cases)
                slope -= (features[targets].mean(0) - probabilities @ features / total) / len(cases)
            return value, slope

        start = np.full(len(names), 0.3)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(names))
        return cls(dict(zip(names, map(float, found.x), strict=True)), scales)

    def __call__(self, signals: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the sum [cases, items]."""
        parts = [signals[name] * (weight / self.scales[name]) for name, weight in self.weights.items()]
        return np.asarray(np.sum(parts, axis=0), np.float32)
