"""Weights of what is heard and of plain signals, fitted on conversations of which it is known what was recommended next.

With them stands a prior of the items: how often people speak of each in such conversations, whatever they ask for. Where few
conversations tell, it rests on how popular, how old and of what kinds items are. Everything else is a handful of numbers, so
that a few hundred conversations are enough.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.optimize import minimize

from recommender.conversations.cases import Case, dialogue_numbers
from recommender.conversations.company import Company
from recommender.conversations.outside import WorkIndex
from recommender.conversations.signals import WeighedSum
from recommender.conversations.spoken import Likeness, SpokenOf, plain_signals
from recommender.conversations.taste import Taste
from recommender.data.catalogue import Catalogue
from recommender.errors import CheckpointError, RecommenderError
from recommender.strict.tensor_files import AGAIN

logger = logging.getLogger(__name__)
TUNED = "tuned.safetensors"
HEARD, PRIOR = "heard", "prior"
_RIDGE = 0.01
_YEARS = 10.0
#: items that are spoken of in conversations count as much as this many more that are as the prior expects
PRIOR_STRENGTH = 100.0


@dataclass(frozen=True)
class Tuned:
    """`weights`: nats for each unit of a signal, of what is heard and of the prior [items]. `taste`: the items by plain
    signals; `works`: what people name and the catalogue lacks."""

    weights: Mapping[str, float]
    prior: np.ndarray
    taste: Taste
    works: WorkIndex | None = None

    def scores(self, heard: np.ndarray, spoken: Sequence[SpokenOf], likeness: Likeness | None) -> np.ndarray:
        """Return the scores [conversations, items] of what the model heard, log-probabilities, and of plain signals."""
        signals = plain_signals(spoken, self.taste, likeness)
        total = self.weights.get(HEARD, 0.0) * heard + self.weights.get(PRIOR, 0.0) * self.prior
        for name, values in signals.items():
            total = total + self.weights.get(name, 0.0) * values
        return np.asarray(total, np.float32)

    def save(self, folder: Path) -> None:
        """Write TUNED into a folder; the works are read from their table again."""
        arrays = {"prior": self.prior, "popularity": self.taste.popularity}
        arrays |= {"others": self.taste.company.others, "nearness": self.taste.company.nearness}
        metadata = {"weights": json.dumps(dict(self.weights))}
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, folder / TUNED, metadata)

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue, outside: str | None = None) -> Tuned | None:
        """Read what `save` wrote; None where there is none. Raises CheckpointError for what is damaged or does not fit.

        `outside`: the table of works that people name and the catalogue lacks; without it these tell nothing.
        """
        path = folder / TUNED
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in ("prior", "popularity", "others", "nearness")}
                weights = {str(k): float(v) for k, v in json.loads(file.metadata()["weights"]).items()}
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            raise CheckpointError(f"{path}: is damaged", AGAIN) from None
        items, others = len(catalogue), arrays["others"]
        rows = {len(array) for array in arrays.values()}
        if rows != {items} or others.shape != arrays["nearness"].shape or others.min() < 0 or others.max() >= items:
            raise CheckpointError(f"{path}: is of other items than the catalogue", AGAIN)
        works = known_works(outside)
        company = Company(others, arrays["nearness"])
        taste = Taste(catalogue, arrays["popularity"], company, None if works is None else works.works)
        return cls(weights, arrays["prior"], taste, works)


def known_works(outside: str | None) -> WorkIndex | None:
    """Return the works of a table; None where none is named or it is not at hand, which a warning says."""
    if outside is None:
        return None
    try:
        return WorkIndex.of_table(outside)
    except RecommenderError as error:
        logger.warning("works that the catalogue lacks are not known: %s", error.message)
        return None


def fit_prior(taste: Taste, cases: Sequence[Case]) -> np.ndarray:
    """Return how likely each item is to be spoken of in conversations like these, by what it is: in nats, float32 [items].

    A multinomial logit over popularity, year and kinds; the optimum is unique. See `spoken_prior` for what was counted.
    """
    years = np.where(taste.years > 0, taste.years, np.mean(taste.years[taste.years > 0]) if taste.years.any() else 0)
    age = (years - years.mean()) / _YEARS
    columns = [taste.popularity, taste.popularity**2, age, age**2, *taste.kinds.table.T]
    features = np.stack(columns, 1).astype(np.float64)
    features = (features - features.mean(0)) / np.maximum(features.std(0), 1e-9)
    targets = [item for case in cases for item in (*case.targets, *case.named)]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = features @ weights
        logits -= logits.max()
        likely = np.exp(logits)
        likely /= likely.sum()
        value = -float(np.log(likely[targets] + 1e-12).mean()) + _RIDGE * float(weights @ weights)
        return value, likely @ features - features[targets].mean(0) + 2 * _RIDGE * weights

    found = minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B")
    return np.asarray(features @ found.x, np.float32)


def spoken_prior(prior: np.ndarray, cases: Sequence[Case]) -> tuple[np.ndarray, np.ndarray]:
    """Return the prior [items] after what was spoken of in cases, and for each case after all dialogues but its own
    [cases, items]: by the latter weights are fitted, as if the case were new.

    The logarithm of counts over dialogues, with `prior` as if it had been counted in so many more: a Dirichlet's mean.
    """
    expected = np.exp(prior - prior.max())
    expected *= PRIOR_STRENGTH / expected.sum()
    numbers = dialogue_numbers(cases)
    spoken = np.zeros((max(numbers) + 1, len(prior)), np.float32)
    for case, number in zip(cases, numbers, strict=True):
        spoken[number, [*case.targets, *case.named]] = 1
    total = spoken.sum(0)
    return np.log(total + expected), np.log(total - spoken[numbers] + expected)


def tune(
    taste: Taste,
    cases: Sequence[Case],
    spoken: Sequence[SpokenOf],
    heard: np.ndarray | None,
    likeness: Likeness | None,
    works: WorkIndex | None = None,
) -> Tuned:
    """Fit the prior, then all weights, on cases. `heard` [cases, items]: log-probabilities, None to leave the model out."""
    prior, of_others = spoken_prior(fit_prior(taste, cases), cases)
    signals = plain_signals(spoken, taste, likeness) | {PRIOR: of_others}
    if heard is not None:
        signals[HEARD] = heard
    fitted = WeighedSum.fit(signals, cases)
    weights = {name: weight / fitted.scales[name] for name, weight in fitted.weights.items() if weight > 0}
    return Tuned(weights, prior.astype(np.float32), taste, works)
