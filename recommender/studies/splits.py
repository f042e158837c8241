"""The splits of an evaluation: leave-one-out, a moment in time, folds over users, or a table of targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from recommender.config import ColumnsConfig, DataConfig, TableConfig
from recommender.data.catalogue import Catalogue
from recommender.data.dropping import usable_rows
from recommender.data.histories import Histories, leave_one_out, time_split
from recommender.data.ids import id_or_none
from recommender.data.tables import Table, read_table
from recommender.errors import DataError, did_you_mean
from recommender.eval.holdout import Holdout, HoldoutPart

SplitName = Literal["leave-one-out", "time", "folds"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
TEST_SHARE = 0.1  # of the interactions, in a split by time


def check_split(name: str) -> None:
    """Raise DataError for a split that is none."""
    if name not in SPLITS:
        raise DataError(f"no split {name!r}", did_you_mean(name, SPLITS) or f"one of {', '.join(SPLITS)}")


def split_by_name(
    histories: Histories, catalogue: Catalogue, split: str = "leave-one-out", folds: int = 5, seed: int = 0
) -> Holdout:
    """Return the hold-out of a named split. Raises DataError for an unknown split, or if no user has a target."""
    check_split(split)
    if split == "time":
        return by_time(histories, len(catalogue))
    if split == "folds":
        return by_folds(histories, len(catalogue), folds, seed)
    return last_item(histories, len(catalogue))


def last_item(histories: Histories, items: int) -> Holdout:
    """Hold out the last item of every user with three items or more; all items before it may be learnt from."""
    split = leave_one_out(histories)
    holdout = Holdout(split.history_for("test"), split.test, items, "leave-one-out")
    return _checked(holdout, "users of 3 or more items")


def by_time(histories: Histories, items: int, share: float = TEST_SHARE) -> Holdout:
    """Hold out all interactions from a moment on; a `share` of all interactions comes after it.

    A user's target is their first interaction from then on; nothing later is learnt from, of any user. Users without a
    history before the moment have no target. Raises DataError without time stamps.
    """
    split = time_split(histories, validation=0, test=share)
    learn = [history for history in split.train.items if len(history)]
    users = zip(histories.times or (), split.train.items, strict=True)
    moment = min(float(times[len(history)]) for times, history in users if len(history) < len(times))
    name = f"time, from {100 * (1 - share):g} % of the interactions on"
    part = HoldoutPart(learn, np.arange(len(histories)))
    needed = "users with items before and after the moment of the split; --split leave-one-out needs no time"
    return _checked(Holdout(split.train.items, split.test, items, name, [part], {"moment": moment}), needed)


def by_folds(histories: Histories, items: int, folds: int, seed: int = 0) -> Holdout:
    """Test every user with two items or more by a fit that has not seen that user.

    Users are drawn into `folds` groups of equal size. A fit learns from the whole histories of the other groups; the
    target is the last item, the input the items before it. Raises DataError for a wrong number of folds.
    """
    if not 2 <= folds <= len(histories):
        raise DataError(f"folds is {folds}, expected 2 to {len(histories)}, the number of users", "for example 5")
    targets = np.array([history[-1] if len(history) > 1 else -1 for history in histories.items])
    inputs = [history[:-1] if len(history) > 1 else history for history in histories.items]
    order = np.random.default_rng(seed).permutation(len(histories))
    parts = []
    for fold in range(folds):
        users = np.sort(order[fold::folds])
        others = np.setdiff1d(order, users)
        parts.append(HoldoutPart([histories.items[user] for user in others.tolist()], users))
    name = f"{folds} folds over users"
    details = {"folds": folds, "folds_seed": seed}
    return _checked(Holdout(inputs, targets, items, name, parts, details), "users of 2 or more items")


def by_table(
    source: str, histories: Histories, catalogue: Catalogue, data: DataConfig | ColumnsConfig | None = None
) -> Holdout:
    """Take the targets from a table of user and item ids; the whole histories are the inputs.

    It may be written as the table of interactions is (`data`: its columns, separator, encoding, header), or as usual, with
    the columns user_id and item_id. Raises DataError for missing columns, users without a history and items that are not in
    the catalogue; with `data.on_error: drop` such rows are left out, counted and listed.
    """
    data = DataConfig.of(data)
    table, columns = _targets_table(source, data)
    targets = _read_targets(table, columns, histories, catalogue, data.on_error)
    most = max(map(len, targets), default=0)
    padded = np.array([[*items, *[-1] * (most - len(items))] for items in targets], dtype=np.int64)
    return Holdout(histories.items, padded, len(catalogue), source)


def _targets_table(source: str, data: DataConfig) -> tuple[Table, ColumnsConfig]:
    """Return the table of targets and the names of its columns: those of the interactions, or the usual ones.

    What is told of how interactions are written holds if it fits; a header of the file's own goes before a told one.
    """
    told, mapped = data.interactions_table, data.columns_of("interactions")
    ways = [told.model_copy(update={"header": None}), told, TableConfig()]
    failures: list[DataError] = []
    for way in [way for place, way in enumerate(ways) if way not in ways[:place]]:
        try:
            table = read_table(source, "targets", way)
        except DataError as error:
            failures.append(error)
            continue
        for columns in (mapped, ColumnsConfig()):
            if columns.user_id in table.columns and columns.item_id in table.columns:
                return table, columns
        missing = next(key for key in ("user_id", "item_id") if getattr(mapped, key) not in table.columns)
        problem = table.missing(getattr(mapped, missing), missing)
        failures.append(DataError(str(problem), problem.hint))
    raise failures[0]


def _read_targets(
    table: Table, columns: ColumnsConfig, histories: Histories, catalogue: Catalogue, on_error: str
) -> Sequence[Sequence[int]]:
    """Return the distinct targets of every user, in the order of the table."""
    position = {user: row for row, user in enumerate(histories.user_ids)}
    found: list[tuple[int, int] | None] = []
    problems = list(table.problems)
    pairs = zip(table.values(columns.user_id), table.values(columns.item_id), strict=True)
    for row, (user, item) in enumerate(pairs):
        user_id, item_id = id_or_none(user) or "", id_or_none(item) or ""
        if user_id not in position:
            reason = f"user {user!r} has no history in the interactions"
            problems.append(table.problem(row, columns.user_id, "unknown-user", reason, hint="give their history"))
            found.append(None)
        elif item_id not in catalogue:
            hint = catalogue.similar_ids_hint(item_id)
            problems.append(table.problem(row, columns.item_id, "unknown-item", f"unknown item id {item!r}", hint=hint))
            found.append(None)
        else:
            found.append((position[user_id], catalogue.index(item_id)))
    problems.sort(key=lambda problem: problem.row or 0)
    usable = usable_rows(table, problems, on_error, "targets")
    targets: list[dict[int, None]] = [{} for _ in histories.user_ids]
    for place, pair in enumerate(found):
        if pair is not None and usable[place]:
            targets[pair[0]][pair[1]] = None
    return [list(items) for items in targets]


def _checked(holdout: Holdout, needed: str) -> Holdout:
    if len(holdout.test_users) == 0:
        raise DataError(f"{holdout.name}: no user has a target to evaluate on", f"it needs {needed}")
    return holdout
