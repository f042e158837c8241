"""Ways to hold something out: leave-one-out, a moment in time, folds over users, a table of targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from recommender.config import ColumnsConfig
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories, leave_one_out, time_split
from recommender.data.tables import Table, canonical, fail_on_errors, read_table
from recommender.errors import DataError, did_you_mean
from recommender.eval.holdout import Holdout, HoldoutPart

SplitName = Literal["leave-one-out", "time", "folds"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
TEST_SHARE = 0.1  # of the interactions, in a split by time


def hold_out(
    histories: Histories, catalogue: Catalogue, split: str = "leave-one-out", folds: int = 5, seed: int = 0
) -> Holdout:
    """Return the named split. Raises DataError if there is no such split or if it leaves nobody to test."""
    if split not in SPLITS:
        raise DataError(f"no split {split!r}", did_you_mean(split, SPLITS) or f"one of {', '.join(SPLITS)}")
    if split == "time":
        return by_time(histories, len(catalogue))
    if split == "folds":
        return by_folds(histories, len(catalogue), folds, seed)
    return last_item(histories, len(catalogue))


def last_item(histories: Histories, items: int) -> Holdout:
    """Hold out the last item of every user of three or more; everything before it may be learnt from."""
    parted = leave_one_out(histories)
    return _tested(Holdout(parted.history_for("test"), parted.test, items, "leave-one-out"), "users of 3 or more items")


def by_time(histories: Histories, items: int, share: float = TEST_SHARE) -> Holdout:
    """Hold out everything from the moment on that a share of all interactions comes after.

    The target is a user's first interaction from then on; nothing later than the moment is learnt from, of anyone.
    Users without a history before it have no target. Raises DataError without time stamps.
    """
    known = time_split(histories, validation=0, test=share)
    learn = [own for own in known.train.items if len(own)]
    held = zip(histories.times or (), known.train.items, strict=True)
    moment = min(float(times[len(own)]) for times, own in held if len(own) < len(times))
    name = f"time, from {100 * (1 - share):g} % of the interactions on"
    part = HoldoutPart(learn, np.arange(len(histories)))
    needed = "users with items before and after the moment of the split; --split leave-one-out needs no time"
    return _tested(Holdout(known.train.items, known.test, items, name, [part], {"moment": moment}), needed)


def by_folds(histories: Histories, items: int, folds: int, seed: int = 0) -> Holdout:
    """Test every user of two or more items with a fit that has never seen that user.

    Users fall into `folds` groups of equal size by the seed. A fit learns from the whole histories of the other
    groups; the target is the last item, asked for after the earlier ones. Raises DataError.
    """
    if not 2 <= folds <= len(histories):
        raise DataError(f"folds is {folds}, expected 2 to {len(histories)}, the number of users", "for example 5")
    tested = [len(own) > 1 for own in histories.items]
    targets = np.array([own[-1] if has else -1 for own, has in zip(histories.items, tested, strict=True)])
    known = [own[:-1] if has else own for own, has in zip(histories.items, tested, strict=True)]
    order = np.random.default_rng(seed).permutation(len(histories))
    parts = []
    for fold in range(folds):
        users = np.sort(order[fold::folds])
        others = np.setdiff1d(order, users)
        parts.append(HoldoutPart([histories.items[user] for user in others.tolist()], users))
    name = f"{folds} folds over users"
    return _tested(
        Holdout(known, targets, items, name, parts, {"folds": folds, "folds_seed": seed}), "users of 2 or more items"
    )


def by_table(source: str, histories: Histories, catalogue: Catalogue, columns: ColumnsConfig | None = None) -> Holdout:
    """Take the targets of a table of user and item ids; all histories are known whole.

    Raises DataError for missing columns, users without a history and items that are not in the catalogue.
    """
    columns = columns or ColumnsConfig()
    table = read_table(source, "targets")
    for name, key in ((columns.user_id, "user_id"), (columns.item_id, "item_id")):
        if name not in table.columns:
            raise DataError(f"{table.name}: no column {name!r}", f"map it with data.columns.{key}")
    targets = _read_targets(table, columns, histories, catalogue)
    widest = max(map(len, targets), default=0)
    padded = np.array([[*own, *[-1] * (widest - len(own))] for own in targets], dtype=np.int64)
    return Holdout(histories.items, padded, len(catalogue), source)


def _read_targets(
    table: Table, columns: ColumnsConfig, histories: Histories, catalogue: Catalogue
) -> Sequence[Sequence[int]]:
    """Return the distinct targets of every user, in the order of the table."""
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
            hint = catalogue.similar_ids_hint(what)
            problems.append(table.problem(row, columns.item_id, "unknown-item", f"unknown item id {item!r}", hint=hint))
        else:
            targets[position[who]][catalogue.index(what)] = None
    fail_on_errors(problems)
    return [list(own) for own in targets]


def _tested(holdout: Holdout, needed: str) -> Holdout:
    if len(holdout.asked) == 0:
        raise DataError(f"{holdout.name}: no user has a target to evaluate on", f"it needs {needed}")
    return holdout
