"""Compare checkpoints and baselines on the same histories and targets, through the same evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recommender.catalogue import Catalogue
from recommender.config import ColumnsConfig
from recommender.engine import Recommender
from recommender.errors import DataError, did_you_mean
from recommender.eval.baselines import BASELINES, FitData
from recommender.eval.protocol import Evaluation, RankFunction, evaluate, fitted
from recommender.histories import Histories, leave_one_out
from recommender.progress import Progress
from recommender.tables import canonical, fail_on_errors, read_table


@dataclass(frozen=True)
class _Ranked:
    """A checkpoint as the evaluation sees it: histories in, ranked item indices out, -1 where there are no more."""

    model: Recommender

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
    minimum_rating: float | None = None,
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
    columns = columns or ColumnsConfig()
    catalogue = Catalogue.load(items, columns, media=False)
    histories = Histories.load(interactions, catalogue, columns, minimum_rating)
    known, targets = _targets(histories, catalogue, test, columns)
    chosen = _sample(targets, users)
    rankers = {name: _ranker(name, known, catalogue, test, progress) for name in names}
    evaluation = evaluate(
        rankers,
        [known[user] for user in chosen.tolist()],
        targets[chosen],
        items=len(catalogue),
        popularity=np.bincount(np.concatenate(known), minlength=len(catalogue)),
        split="leave-one-out" if test is None else test,
        seed=seed,
        progress=progress,
    )
    names_of = np.array(histories.user_ids)[chosen]
    per_user = evaluation.per_user.assign(user=names_of[evaluation.per_user["user"].to_numpy()])
    about = {**evaluation.about, "interactions_dropped": histories.report.dropped}
    return replace(evaluation, per_user=per_user, about=about)


def _sample(targets: np.ndarray, users: int | None) -> np.ndarray:
    """Return the places of everybody, or of an even sample of those who have a target."""
    having = np.flatnonzero(targets.reshape(len(targets), -1).max(1, initial=-1) >= 0)
    if users is None or users >= len(having):
        return np.arange(len(targets))
    return having[np.linspace(0, len(having) - 1, users).astype(int)]


def _ranker(
    name: str, known: Sequence[np.ndarray], catalogue: Catalogue, test: str | None, progress: Progress | None
) -> RankFunction:
    if name in BASELINES:
        return fitted(BASELINES[name](), FitData(known, len(catalogue)))
    if not Path(name).exists() and "/" not in name:
        raise DataError(f"{name!r} is neither a checkpoint folder nor a baseline", did_you_mean(name, BASELINES))
    model = Recommender.from_pretrained(name, catalogue, progress)
    if test is None and not model.config.training.keep_test_out:
        raise DataError(f"{name}: was trained on the targets of leave-one-out, too", "give later targets: --test FILE")
    return _Ranked(model)


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
    targets: list[dict[int, None]] = [{} for _ in histories.user_ids]
    problems = list(table.problems)
    pairs = zip(table.values(columns.user_id), table.values(columns.item_id), strict=True)
    for row, (user, item) in enumerate(pairs):
        who, what = canonical(user) or "", canonical(item) or ""
        if who not in position:
            reason = f"user {user!r} has no history in the interactions"
            problems.append(table.problem(row, columns.user_id, "unknown-user", reason, hint="give their history"))
        elif what not in catalogue:
            hint = catalogue.resembling(what)
            problems.append(table.problem(row, columns.item_id, "unknown-item", f"unknown item id {item!r}", hint=hint))
        else:
            targets[position[who]][catalogue.index(what)] = None
    fail_on_errors(problems)
    widest = max(map(len, targets), default=0)
    return histories.items, np.array([[*own, *[-1] * (widest - len(own))] for own in targets], dtype=np.int64)
