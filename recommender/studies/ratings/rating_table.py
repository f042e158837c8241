"""Reads a table of ratings, drops and counts unusable rows, and samples whole users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from recommender.config import ColumnsConfig, DataConfig
from recommender.data.catalogue import Catalogue
from recommender.data.dropping import usable_rows
from recommender.data.histories import Events, read_events
from recommender.data.tables import Table, fail_on_errors, read_table
from recommender.errors import DataError
from recommender.studies.ratings.settings import RatingsSettings

_MOST_LEVELS = 20


@dataclass(frozen=True)
class Ratings:
    """Ratings, one a row. users: indices without gaps; items: catalogue indices.

    levels: the distinct ratings, rising; classes: the index of each row's rating among them.
    likes: a user likes an item that is rated so or higher.
    counts: numbers of rows read, dropped for each reason, and kept.
    """

    user_ids: tuple[str, ...]
    users: np.ndarray
    items: np.ndarray
    order: np.ndarray
    classes: np.ndarray
    levels: np.ndarray
    likes: float
    counts: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.users)

    @property
    def values(self) -> np.ndarray:
        """The rating of each row, float64."""
        return self.levels[self.classes]

    @property
    def liked(self) -> np.ndarray:
        """Whether each row's user likes its item, bool."""
        return self.values >= self.likes

    @classmethod
    def load(
        cls,
        source: Any,
        catalogue: Catalogue,
        data: DataConfig | ColumnsConfig,
        settings: RatingsSettings,
        minimum: float | None = None,
    ) -> Ratings:
        """Read an interactions table with ratings; a time or position is used if there is one, but not required.

        Dropped and counted are rows without a rating, with one below `settings.lowest` (-1 and 0 often mean "none") or
        below `minimum`, and all but the last of a user's ratings of an item. Raises DataError naming a wrong row, or if
        the rest is not enough to learn from.
        """
        data = DataConfig.of(data)
        columns = data.columns_of("interactions")
        table = read_table(source, "interactions", data.interactions_table)
        if columns.rating not in table.columns:
            fail_on_errors([table.missing(columns.rating, "rating")])
        events, problems = read_events(_ordered(table, columns), catalogue, columns)
        usable = usable_rows(table, problems, data.on_error, "interactions")
        assert events is not None and events.ratings is not None  # no error, so both are there
        lowest = max(settings.lowest, minimum if minimum is not None else settings.lowest)
        rated = np.flatnonzero(usable & (events.ratings >= lowest))  # NaN is not
        last = _last_of_each_pair(events, rated)
        sampled = _whole_users(events.users[last], settings.sample, settings.seed)
        counts = {
            "read": len(events),
            "unrated": len(events) - len(rated),
            "repeated": len(rated) - len(last),
            "not_sampled": len(last) - int(sampled.sum()),
        }
        return _checked(table.name, events, last[sampled], settings, counts)


def _ordered(table: Table, columns: ColumnsConfig) -> Table:
    """Return a table with an order: if it has neither time nor position, that of its rows."""
    if columns.timestamp in table.columns or columns.position in table.columns:
        return table
    places = pa.chunked_array([pa.array(np.arange(table.rows))])
    return replace(table, columns={**table.columns, columns.position: places})


def _last_of_each_pair(events: Events, rows: np.ndarray) -> np.ndarray:
    """Return the rows without a later row of the same user and item, in file order."""
    by_pair = rows[np.lexsort((events.order[rows], events.items[rows], events.users[rows]))]
    pairs = np.stack([events.users[by_pair], events.items[by_pair]])
    is_last = np.append((np.diff(pairs, axis=1) != 0).any(axis=0), True)[: len(by_pair)]
    return np.sort(by_pair[is_last])


def _whole_users(users: np.ndarray, sample: int | None, seed: int) -> np.ndarray:
    """Return bool: the rows of users who are drawn at random until they have `sample` rows.

    Users are drawn, not rows, as a sample of rows would thin out all histories.
    """
    if sample is None or sample >= len(users):
        return np.ones(len(users), dtype=bool)
    distinct, counts = np.unique(users, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(distinct))
    enough = int(np.searchsorted(np.cumsum(counts[order]), sample)) + 1
    return np.isin(users, distinct[order[:enough]])


def _checked(
    name: str, events: Events, rows: np.ndarray, settings: RatingsSettings, counts: Mapping[str, int]
) -> Ratings:
    """Return the ratings of these rows. Raises DataError if there is nothing to learn from."""
    assert events.ratings is not None
    if len(rows) == 0:
        raise DataError(f"{name}: no rating is {settings.lowest:g} or above", "look at column data.columns.rating")
    levels, classes = np.unique(events.ratings[rows], return_inverse=True)
    if len(levels) > _MOST_LEVELS:
        message = f"{name}: {len(levels)} distinct ratings, expected at most {_MOST_LEVELS}"
        raise DataError(message, "round the ratings to a scale such as 1 to 5")
    liked = levels[classes] >= settings.likes
    fewest = min(int(liked.sum()), int((~liked).sum()))
    if fewest < 2 * settings.folds:
        message = f"{name}: {int(liked.sum())} of {len(rows)} ratings are {settings.likes:g} or above"
        need = f"{2 * settings.folds} on either side are needed"
        raise DataError(f"{message}; {need}", "set --likes within the scale, and no data.minimum_rating near it")
    present, users = np.unique(events.users[rows], return_inverse=True)
    names = tuple(events.user_ids[user] for user in present.tolist())
    counts = {**counts, "kept": len(rows)}
    return Ratings(names, users, events.items[rows], events.order[rows], classes, levels, settings.likes, counts)
