"""Interactions of users in order of time, and the splits for evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from recommender.config import ColumnsConfig, DataConfig, WithoutTime
from recommender.data.catalogue import Catalogue
from recommender.data.dropping import usable_rows
from recommender.data.event_times import order_of, resembling_times, shown
from recommender.data.history_shards import holds_histories, read_shards
from recommender.data.mapped_histories import MappedHistories, MappedNames
from recommender.data.tables import Problem, Table, is_grouped, read_table, release_tables, say_warnings
from recommender.errors import DataError
from recommender.numerics.sampling import evenly

_SAID = ("no-time", "doubtful-time", "doubtful-id")  # warnings that are said without `recommender validate`
_NOBODY = frozenset({"nan", "null", "none", "n/a", "na", "nil", "undefined", "\\n", "#n/a", "<na>", "anonymous"})
_MOST_HINTS = 20  # unknown ids for which the closest known ones are looked up: that is slow
_MOST_LOOKED_UP = 50_000  # known ids that these are compared with altogether, and three of them always


@dataclass(frozen=True)
class HistoriesReport:
    """What was read: `repeated` interactions of a user with one item are kept, `dropped` ones had a lower rating.

    `liked`: only ratings in the upper fifth of the scale were kept, so that people may be said to have liked what they had.
    """

    interactions: int = 0
    users: int = 0
    repeated: int = 0
    dropped: int = 0
    dropped_users: int = 0
    liked: bool = False


@dataclass(frozen=True)
class Histories:
    """One array of catalogue indices a user, oldest first; `times` in the unit of the table, None without time stamps.

    Dates become seconds since 1970 (UTC). Times are float64, or int64 where a float would not hold them. `ranks`, int64, are
    the places of the times among all distinct ones of the table: exact also where floats are not.
    """

    user_ids: Sequence[str]
    items: Sequence[np.ndarray]
    times: tuple[np.ndarray, ...] | None = None
    report: HistoriesReport = field(default_factory=HistoriesReport, compare=False)
    ranks: tuple[np.ndarray, ...] | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.user_ids)

    def sampled(self, users: int | None) -> Histories:
        """Return an even sample of this many users; None or more than there are: all."""
        if users is None or users >= len(self):
            return self
        return self.chosen(evenly(len(self), users))

    def chosen(self, users: np.ndarray) -> Histories:
        """Return some users, in the order given; `users`: their places [n], or bool [users]."""
        places = (np.flatnonzero(users) if users.dtype == bool else users).tolist()
        times = self.times and tuple(self.times[user] for user in places)
        user_ids, items = tuple(self.user_ids[user] for user in places), tuple(self.items[user] for user in places)
        ranks = self.ranks and tuple(self.ranks[user] for user in places)
        return Histories(user_ids, items, times, self.report, ranks)

    @classmethod
    def load(
        cls,
        source: Any,
        catalogue: Catalogue,
        data: DataConfig | ColumnsConfig | None = None,
        minimum_rating: float | None = None,
    ) -> Histories:
        """Read interactions; users in order of appearance, ties in file order.

        `data`: names of columns, how the table is written, whether rows with errors are dropped, and what orders
        interactions without a time. Raises DataError for missing columns, unknown item ids, empty fields and unreadable
        times, naming the row. Parquet shards of whole histories, and iterable data sets of them, stay on disk: see
        `history_shards`.
        """
        data = DataConfig.of(data)
        columns = data.columns_of("interactions")
        if holds_histories(source, columns):
            return _mapped(source, catalogue, columns, minimum_rating)
        table = read_table(source, "interactions", data.interactions_table)
        need_rating = minimum_rating is not None
        events, problems = read_events(table, catalogue, columns, need_rating, data.without_time)
        selected = usable_rows(table, problems, data.on_error, "interactions")
        say_warnings(problems, _SAID)
        assert events is not None  # no error, so every column was there
        if minimum_rating is not None and events.ratings is not None:
            selected &= events.ratings >= minimum_rating
            if not selected.any():
                raise DataError(f"{table.name}: no rating reaches {minimum_rating:g}", "lower data.minimum_rating")
        histories = events.histories(selected)
        liked = minimum_rating is not None and only_liked(events.ratings, minimum_rating)
        del table, events, selected
        release_tables()
        return replace(histories, report=replace(histories.report, liked=True)) if liked else histories


def _mapped(source: Any, catalogue: Catalogue, columns: ColumnsConfig, minimum_rating: float | None) -> Histories:
    """Return histories that lie on disk. Raises DataError if ratings are asked for, which lists have not."""
    if minimum_rating is not None:
        raise DataError("histories of a row a user have no ratings", "leave low ones out, and set minimum_rating: null")
    folder = read_shards(source, catalogue, columns)
    items = MappedHistories.open(folder)
    report = HistoriesReport(interactions=len(items.items), users=len(items))
    return Histories(MappedNames.open(folder), items, None, report)


@dataclass(frozen=True)
class Events:
    """The interactions in file order: user code, catalogue index, place in time, rating; -1 or NaN where unusable.

    order: int64, the place of each time or position among the distinct ones, exact; times: the numbers themselves, None
    for positions or without either, `ordered` whether there is one of the two.
    """

    user_ids: list[str]
    users: np.ndarray
    items: np.ndarray
    order: np.ndarray
    times: np.ndarray | None = None
    ratings: np.ndarray | None = None
    ordered: bool = True

    def __len__(self) -> int:
        return len(self.users)

    def histories(self, selected: np.ndarray) -> Histories:
        """Group the events that are `selected`, bool [events], by user, oldest first."""
        sorting = np.flatnonzero(selected)
        sorting = sorting[np.lexsort((self.order[sorting], self.users[sorting]))]  # stable: ties keep file order
        users = self.users[sorting]
        starts = np.flatnonzero(np.diff(users, prepend=-1))
        present = users[starts]
        groups = np.split(self.items[sorting], starts[1:])
        times = None if self.times is None else np.split(self.times[sorting], starts[1:])
        report = HistoriesReport(
            interactions=len(sorting),
            users=len(present),
            repeated=len(sorting) - len(np.unique(users * (self.items.max() + 1) + self.items[sorting])),
            dropped=len(self) - len(sorting),
            dropped_users=len(self.user_ids) - len(present),
        )
        names = tuple(self.user_ids[user] for user in present)
        if times is None:
            return Histories(names, tuple(groups), None, report)
        return Histories(names, tuple(groups), tuple(times), report, tuple(np.split(self.order[sorting], starts[1:])))


@dataclass(frozen=True)
class Split:
    """Histories to train on, and a later target item a user (int64 [users], -1 where none)."""

    train: Histories
    validation: np.ndarray
    test: np.ndarray

    def chosen(self, users: np.ndarray) -> Split:
        """Return the split of some users, in the order given; `users`: their places [n], or bool [users]."""
        return Split(self.train.chosen(users), self.validation[users], self.test[users])

    def history_for(self, part: Literal["validation", "test"]) -> Sequence[np.ndarray]:
        """Return what is known before the target: train for validation, train and validation target for test."""
        if part == "validation":
            return self.train.items
        if isinstance(self.train.items, MappedHistories):
            return replace(self.train.items, cut=max(self.train.items.cut - 1, 0))
        pairs = zip(self.train.items, self.validation, strict=True)
        return tuple(np.append(items, target) if target >= 0 else items for items, target in pairs)


def only_liked(ratings: np.ndarray | None, minimum: float) -> bool:
    """Return whether interactions rated at least `minimum` are liked ones: 4 of 5, or as much of another scale.

    `ratings`: all of the table. Two numbers are no scale: 1 may be a click, and 0 none.
    """
    if ratings is None:
        return False
    scale = np.unique(ratings[np.isfinite(ratings)])
    return len(scale) > 2 and scale[0] >= 0 and minimum >= 0.8 * float(scale[-1])


def leave_one_out(histories: Histories, minimum: int = 3, validate_on: int | None = None) -> Split:
    """Hold out every user's last item as test and the one before it as validation.

    Users with fewer than `minimum` (at least 3) interactions stay whole in train and have no target. `validate_on`: only an
    even sample of so many users has a validation target; that of the others is in train. Raises DataError for that in
    histories that lie on disk.
    """
    if minimum < 3:
        raise ValueError("minimum must be at least 3: one item to train on, two targets")
    if isinstance(histories.items, MappedHistories):
        if validate_on is not None:
            raise DataError(
                "histories of a row a user are cut alike, and training.validate_on cuts some of them later",
                "leave it out, or give one row an interaction",
            )
        whole = histories.items
        train = replace(histories, items=whole.without_last(2, minimum))
        return Split(train, whole.targets(2, minimum), whole.targets(1, minimum))
    cuts = np.array([-2 if len(items) >= minimum else 0 for items in histories.items], dtype=np.int64)
    validation = np.array([items[-2] if cut else -1 for items, cut in zip(histories.items, cuts, strict=True)])
    test = np.array([items[-1] if cut else -1 for items, cut in zip(histories.items, cuts, strict=True)])
    if validate_on is not None:
        with_target = np.flatnonzero(cuts)
        learned = cuts < 0
        learned[with_target[evenly(len(with_target), validate_on)]] = False
        cuts, validation = np.where(learned, -1, cuts), np.where(learned, -1, validation)
    ends = [len(items) + int(cut) for items, cut in zip(histories.items, cuts, strict=True)]
    return Split(_truncated(histories, ends), validation.astype(np.int64), test.astype(np.int64))


def time_split(histories: Histories, validation: float = 0.1, test: float = 0.1) -> Split:
    """Split all users at two moments, so that nothing later than a moment is learnt from.

    `validation` (0 for none) and `test` are shares of all interactions. Train ends before the first moment; a user's
    validation target is the first interaction between the two, the test target the first from the second moment on.
    Users who come only after the first moment have no history to start from and get no target. Raises DataError
    without times.
    """
    if histories.times is None:
        raise DataError("a split by time needs time stamps, and the interactions have none", "use leave-one-out")
    if not (validation >= 0 and test > 0 and validation + test < 1):
        raise ValueError("validation and test must be shares that sum to less than 1, test above 0")
    moments = histories.ranks or histories.times
    all_times = np.concatenate(moments)
    places = np.quantile(np.arange(len(all_times)), [1 - validation - test, 1 - test], method="higher")
    first, second = np.sort(all_times)[places.astype(np.int64)]
    ends, targets = [], np.full((2, len(histories)), -1, dtype=np.int64)
    for user, (items, times) in enumerate(zip(histories.items, moments, strict=True)):
        start, late = np.searchsorted(times, [first, second], side="left")
        ends.append(int(start))
        if 0 < start < late:
            targets[0, user] = items[start]
        if start > 0 and late < len(items):
            targets[1, user] = items[late]
    return Split(_truncated(histories, ends), targets[0], targets[1])


def read_events(
    table: Table,
    catalogue: Catalogue | None,
    columns: ColumnsConfig,
    need_rating: bool = False,
    without_time: WithoutTime = None,
) -> tuple[Events | None, list[Problem]]:
    """Read all rows into events and list everything that is wrong; raises nothing.

    There are no events if a column is missing. Without a catalogue every item id counts as known. `without_time`: what
    orders events that have neither a time nor a position; if that is not said, a column that speaks of time is an error.
    """
    problems = _missing_columns(table, columns, need_rating, without_time)
    if problems:
        return None, [*table.problems, *problems]
    problems = list(table.problems)
    users, user_ids = table.factorize(columns.user_id)
    problems += _id_problems(table, users < 0, columns.user_id, "user")
    problems += _nobodies(table, users, user_ids, columns.user_id)
    items, item_problems = _items(table, catalogue, columns.item_id)
    order, times, order_problems = order_of(table, columns, without_time)
    ratings, rating_problems = _ratings(table, columns.rating, optional=not need_rating)
    problems += [*item_problems, *order_problems, *rating_problems]
    ordered = columns.timestamp in table.columns or columns.position in table.columns
    events = Events(user_ids, users, items, order, times, ratings if columns.rating in table.columns else None, ordered)
    return events, sorted(problems, key=lambda problem: problem.row or 0)


def _missing_columns(
    table: Table, columns: ColumnsConfig, need_rating: bool, without_time: WithoutTime
) -> list[Problem]:
    needed = [(columns.user_id, "user_id"), (columns.item_id, "item_id")]
    needed += [(columns.rating, "rating")] if need_rating else []
    problems = [table.missing(column, key) for column, key in needed if column not in table.columns]
    if columns.timestamp in table.columns or columns.position in table.columns:
        return problems
    for key in ("timestamp", "position") if without_time is None else ():
        name = getattr(columns, key)
        if name != key:  # that somebody named
            return [*problems, table.missing(name, key)]
    if without_time is None and resembling_times(table, columns):
        problem = table.missing(columns.timestamp, "timestamp")
        reason = problem.reason.replace("no column", f"no column {columns.position!r} or", 1)
        problems.append(replace(problem, reason=reason))
    return problems


def _items(table: Table, catalogue: Catalogue | None, column: str) -> tuple[np.ndarray, list[Problem]]:
    """Return the catalogue index of each row, -1 where empty or unknown, and the problems."""
    codes, ids = table.factorize(column)
    problems = _id_problems(table, codes < 0, column, "item")
    if catalogue is None:
        return codes, problems
    known = [catalogue.index(name) if name in catalogue else -1 for name in ids]
    indices = np.array([*known, -1], dtype=np.int64)
    hints: dict[int, str | None] = {}
    most_hints = max(3, min(_MOST_HINTS, _MOST_LOOKED_UP // len(catalogue)))
    for row in np.flatnonzero((codes >= 0) & (indices[codes] < 0)):
        code = int(codes[row])
        if code not in hints:
            hints[code] = catalogue.similar_ids_hint(ids[code]) if len(hints) < most_hints else None
        reason = f"unknown item id {ids[code]!r}"
        problems.append(table.problem(int(row), column, "unknown-item", reason, hint=hints[code]))
    return indices[codes], problems


def _ratings(table: Table, column: str, optional: bool) -> tuple[np.ndarray, list[Problem]]:
    """Return the ratings, NaN where there is none, and the problems; an empty optional field is a warning."""
    if column not in table.columns:
        return np.full(table.rows, np.nan), []
    numbers = table.numbers(column)
    wrong_rows = np.flatnonzero(np.isnan(numbers))
    values = table.values(column) if len(wrong_rows) else []
    problems = []
    for row in map(int, wrong_rows):
        text = shown(values[row])
        severity: Literal["error", "warning"] = "warning" if optional and text is None else "error"
        reason, hint = "empty" if text is None else f"{text[:40]!r} is not a number", None
        if is_grouped(text):
            reason, hint = (
                f"{text!r} may be thousands, or have three decimals",
                "write it without a separator of thousands",
            )
        problems.append(table.problem(row, column, "bad-rating", reason, severity=severity, hint=hint))
    return numbers, problems


def _id_problems(table: Table, mask: np.ndarray, column: str, what: str) -> list[Problem]:
    """Return one problem for each row where `mask` [rows] is true."""
    values = table.values(column) if mask.any() else []
    return [table.id_problem(int(row), column, values[row], what) for row in np.flatnonzero(mask)]


def _nobodies(table: Table, users: np.ndarray, user_ids: Sequence[str], column: str) -> list[Problem]:
    """Return a warning for each user id that databases and programs write for nobody: all of them would be one person."""
    problems = []
    for code, name in enumerate(user_ids):
        if name.casefold() in _NOBODY:
            rows = np.flatnonzero(users == code)
            reason = f"{name!r} is taken for one person with {len(rows)} interactions, though it may stand for nobody"
            hint = "leave these rows out, or the field blank"
            problems.append(table.problem(int(rows[0]), column, "doubtful-id", reason, severity="warning", hint=hint))
    return problems


def _truncated(histories: Histories, ends: Sequence[int]) -> Histories:
    items = tuple(items[:end] for items, end in zip(histories.items, ends, strict=True))
    times = histories.times and tuple(times[:end] for times, end in zip(histories.times, ends, strict=True))
    ranks = histories.ranks and tuple(ranks[:end] for ranks, end in zip(histories.ranks, ends, strict=True))
    return Histories(histories.user_ids, items, times, histories.report, ranks)
