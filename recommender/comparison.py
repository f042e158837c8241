"""Compare checkpoints and baselines on the same histories and targets, through the same evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recommender.catalogue import Catalogue
from recommender.config import ColumnsConfig
from recommender.engine import Recommender
from recommender.errors import DataError, did_you_mean
from recommender.eval.baselines import BASELINES
from recommender.eval.protocol import Evaluation, RankFunction, evaluate, fitted
from recommender.histories import Histories, leave_one_out
from recommender.progress import Progress
from recommender.tables import canonical, read_table


@dataclass(frozen=True)
class _Ranked:
    """A checkpoint as the evaluation sees it: histories in, ranked item indices out, -1 where there are no more."""

    model: Recommender
    progress: Progress | None = None

    def __call__(self, histories: Sequence[np.ndarray], k: int) -> np.ndarray:
        out = np.full((len(histories), k), -1, dtype=np.int64)
        for row, ranking in enumerate(self.model.rank(histories, k)):
            out[row, : len(ranking.items)] = ranking.items
        return out


def compare(
    names: Sequence[str],
    items: str,
    interactions: str,
    test: str | None = None,
    columns: ColumnsConfig | None = None,
    users: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate checkpoint folders and baseline names in one table.

    Histories come from `interactions`; targets from `test` (user_id, item_id), else leave-one-out. `users` takes an
    even sample. Baselines are fitted on the histories, never on the targets. Raises DataError.
    """
    if users is not None and users < 1:
        raise DataError(f"users is {users}, expected 1 or more", "leave it out to evaluate everybody")
    catalogue = Catalogue.load(items, columns)
    histories = Histories.load(interactions, catalogue, columns)
    known, targets = _targets(histories, catalogue, test, columns or ColumnsConfig())
    chosen = np.flatnonzero(targets.reshape(len(targets), -1).max(1, initial=-1) >= 0)
    if users is not None and users < len(chosen):
        chosen = chosen[np.linspace(0, len(chosen) - 1, users).astype(int)]
    rankers = {name: _ranker(name, known, catalogue, progress) for name in names}
    return evaluate(
        rankers,
        [known[user] for user in chosen.tolist()],
        targets[chosen],
        items=len(catalogue),
        popularity=np.bincount(np.concatenate(known), minlength=len(catalogue)),
        split="leave-one-out" if test is None else test,
        seed=seed,
        progress=progress,
    )


def _ranker(name: str, known: Sequence[np.ndarray], catalogue: Catalogue, progress: Progress | None) -> RankFunction:
    if name in BASELINES:
        return fitted(BASELINES[name](), known, len(catalogue))
    if not Path(name).exists() and "/" not in name:
        raise DataError(f"{name!r} is neither a checkpoint folder nor a baseline", did_you_mean(name, BASELINES))
    return _Ranked(Recommender.from_pretrained(name, catalogue, progress))


def _targets(
    histories: Histories, catalogue: Catalogue, test: str | None, columns: ColumnsConfig
) -> tuple[Sequence[np.ndarray], np.ndarray]:
    """Return each user's known history and targets, [users] or [users, most], -1 where there is none."""
    if test is None:
        split = leave_one_out(histories)
        return split.history_for("test"), split.test
    table = read_table(test, "targets")
    for name, key in ((columns.user_id, "user_id"), (columns.item_id, "item_id")):
        if name not in table.columns:
            raise DataError(f"{table.name}: no column {name!r}", f"map it with data.columns.{key}")
    position = {user: row for row, user in enumerate(histories.user_ids)}
    targets: list[list[int]] = [[] for _ in histories.user_ids]
    for user, item in zip(table.values(columns.user_id), table.values(columns.item_id), strict=True):
        name = canonical(user)
        if name not in position:
            raise DataError(f"{table.name}: user {user!r} has no history in the interactions", "give their history")
        targets[position[name]].append(catalogue.index(item))
    widest = max(map(len, targets), default=0)
    return histories.items, np.array([own + [-1] * (widest - len(own)) for own in targets], dtype=np.int64)
