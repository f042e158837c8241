"""Fits a gate: a conditional logit whose weights are linear in the features of the history, with a ridge on the slopes.

The problem stays convex. A user's second derivative is the covariance of the views over the unseen items, which is
small, so Newton's method takes a few passes over the scores where a first-order method takes a hundred. The ridge is
chosen by cross-validation among the users of the fit; a large one leaves fixed weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RIDGES = (10.0, 1.0, 0.1, 0.01, 0.001)
"""Times the sum of squared slopes, added to the loss; from the strongest on, of two that are as good the first is taken."""
_FOLDS = 5
_STEPS = 30
_HALVINGS = 20
_ENOUGH = 1e-9
"""An improvement of the loss after which Newton's method stops."""


@dataclass(frozen=True)
class GatedProblem:
    """Validation users as a conditional logit.

    views: float32 [users, items, views] of all scorers side by side, zero for seen items; unseen: bool [users, items];
    targets: [users]; features: float64 [users, features], standardised.
    """

    views: np.ndarray
    unseen: np.ndarray
    targets: np.ndarray
    features: np.ndarray

    def of(self, users: np.ndarray) -> GatedProblem:
        """Return the problem of some users."""
        return GatedProblem(self.views[users], self.unseen[users], self.targets[users], self.features[users])

    def loss(self, coefficients: np.ndarray) -> float:
        """Return the mean negative log-likelihood of the targets; coefficients [views, 1 + features]."""
        logits = self._logits(coefficients)
        chosen = logits[np.arange(len(logits)), self.targets]
        return float((_log_sum(logits) - chosen).mean())

    def derivatives(self, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return gradient [n] and second derivative [n, n] of the loss, n = views * (1 + features)."""
        logits = self._logits(coefficients)
        shares = np.exp(logits - _log_sum(logits)[:, None]).astype(np.float32)
        known, users = self._inputs(), np.arange(len(shares))
        means = (shares[:, None] @ self.views)[:, 0]
        squares = self.views.transpose(0, 2, 1) @ (self.views * shares[:, :, None])
        covariances = squares - means[:, :, None] * means[:, None]
        residuals = means - self.views[users, self.targets]
        gradient = np.einsum("uv,uf->vf", residuals, known) / len(users)
        second = np.einsum("uvw,uf,ug->vfwg", covariances, known, known, optimize=True) / len(users)
        return gradient.ravel(), second.reshape(gradient.size, gradient.size)

    def _inputs(self) -> np.ndarray:
        return np.column_stack([np.ones(len(self.features)), self.features])

    def _logits(self, coefficients: np.ndarray) -> np.ndarray:
        weights = (self._inputs() @ coefficients.T).astype(np.float32)
        logits = (self.views @ weights[:, :, None])[..., 0].astype(np.float64)
        return np.where(self.unseen, logits, -np.inf)


def fit_gate(problem: GatedProblem, start: np.ndarray, penalty: float, seed: int = 0) -> tuple[np.ndarray, float]:
    """Return the coefficients [views, 1 + features] and the ridge on the slopes.

    start: fixed weights, [views]. penalty: on the weights of a mean history, as for fixed weights.
    """
    fixed = np.column_stack([start, np.zeros((len(start), problem.features.shape[1]))])
    ridge = choose_ridge(problem, fixed, penalty, seed)
    return minimise(problem, fixed, penalty, ridge), ridge


def choose_ridge(problem: GatedProblem, start: np.ndarray, penalty: float, seed: int) -> float:
    """Return the ridge with the best likelihood of users that were left out, in five folds."""
    users = len(problem.targets)
    folds = np.random.default_rng(seed).permutation(users) % min(_FOLDS, users)
    losses = np.zeros(len(RIDGES))
    for fold in np.unique(folds):
        learned, left_out = problem.of(np.flatnonzero(folds != fold)), problem.of(np.flatnonzero(folds == fold))
        if len(learned.targets):
            losses += len(left_out.targets) * np.array(_path(learned, left_out, start, penalty))
    return RIDGES[int(np.argmin(losses))]


def _path(learned: GatedProblem, left_out: GatedProblem, start: np.ndarray, penalty: float) -> list[float]:
    """Return the loss of those left out at each ridge; each fit starts where the one before ended."""
    losses = []
    for ridge in RIDGES:
        start = minimise(learned, start, penalty, ridge)
        losses.append(left_out.loss(start))
    return losses


def minimise(problem: GatedProblem, start: np.ndarray, penalty: float, ridge: float) -> np.ndarray:
    """Return the coefficients [views, 1 + features] with the least penalised loss, by Newton's method from `start`."""
    penalties = np.full(start.shape, ridge)
    penalties[:, 0] = penalty
    at, value = start, _penalised(problem, start, penalties)
    for _ in range(_STEPS):
        gradient, second = problem.derivatives(at)
        gradient = gradient + 2 * (penalties * at).ravel()
        step = np.linalg.solve(second + 2 * np.diag(penalties.ravel()), gradient).reshape(at.shape)
        better = _backtracked(problem, at, step, value, penalties)
        if better is None:
            break
        improved, (at, value) = value - better[1], better
        if improved < _ENOUGH:
            break
    return at


def _backtracked(
    problem: GatedProblem, at: np.ndarray, step: np.ndarray, value: float, penalties: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Return where the first of step, half of it, a quarter ... lowers the loss, and that loss; None if none does."""
    for halving in range(_HALVINGS):
        candidate = at - step / 2**halving
        found = _penalised(problem, candidate, penalties)
        if found < value:
            return candidate, found
    return None


def _penalised(problem: GatedProblem, coefficients: np.ndarray, penalties: np.ndarray) -> float:
    return problem.loss(coefficients) + float((penalties * coefficients**2).sum())


def unseen_items(histories: Sequence[np.ndarray], items: int) -> np.ndarray:
    """Return bool [histories, items]: what does not stand in a history."""
    unseen = np.ones((len(histories), items), bool)
    for row, history in zip(unseen, histories, strict=True):
        row[history] = False
    return unseen


def _log_sum(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of the sum of exponentials of each row."""
    highest = logits.max(axis=1)
    total: np.ndarray = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    return total
