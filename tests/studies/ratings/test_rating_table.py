"""Which rows of a table become ratings, what is dropped, and what cannot be learnt from."""

import numpy as np
import pandas as pd
import pytest

from recommender.config import ColumnsConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.errors import DataError
from recommender.studies.ratings import Ratings, RatingsSettings

COLUMNS = ColumnsConfig(user_id="USER_ID", item_id="SONG_ID", rating="RATING")
ITEMS = Catalogue(Item(str(number), f"song {number}") for number in range(10))
SETTINGS = RatingsSettings(folds=2, sample=None)


def frame(users: int = 20, **more) -> pd.DataFrame:
    """Everybody rates every song, from 1 to 5 in turn."""
    pairs = [(user, song, (user + song) % 5 + 1) for user in range(users) for song in range(len(ITEMS))]
    return pd.DataFrame(pairs, columns=["USER_ID", "SONG_ID", "RATING"]).assign(**more)


def load(table, settings=SETTINGS, minimum=None):
    return Ratings.load(table, ITEMS, COLUMNS, settings, minimum)


def test_mapped_columns_and_no_time_are_enough():
    ratings = load(frame())
    assert ratings.levels.tolist() == [1, 2, 3, 4, 5] and len(ratings) == 200
    assert ratings.values.tolist() == frame()["RATING"].tolist()
    assert ratings.liked.mean() == 0.4


def test_rows_without_a_rating_are_dropped_and_counted():
    table = frame().astype({"RATING": float})
    table.loc[:6, "RATING"] = -1
    table.loc[7:8, "RATING"] = np.nan
    ratings = load(table)
    assert ratings.counts == {"read": 200, "unrated": 9, "repeated": 0, "not_sampled": 0, "kept": 191}
    assert ratings.levels.min() == 1


def test_the_last_of_repeated_ratings_counts():
    again = pd.DataFrame({"USER_ID": [0, 0], "SONG_ID": [3, 3], "RATING": [1, 5]})
    ratings = load(pd.concat([frame(), again], ignore_index=True))
    assert ratings.counts["repeated"] == 2 and len(ratings) == 200
    assert ratings.values[(ratings.users == ratings.user_ids.index("0")) & (ratings.items == 3)].tolist() == [5]


def test_a_sample_is_of_whole_users():
    ratings = load(frame(users=40), SETTINGS.model_copy(update={"sample": 120}))
    assert np.bincount(ratings.users).tolist() == [10] * 12
    assert ratings.counts["not_sampled"] == 280


@pytest.mark.parametrize(
    ("table", "minimum", "words"),
    [
        (frame().rename(columns={"RATING": "stars"}), None, "no column 'RATING'"),
        (frame(RATING=-1), None, "no rating is 0.5 or above"),
        (frame(RATING=5), None, "200 of 200 ratings are 4 or above"),
        (frame(), 4.0, "80 of 80 ratings are 4 or above"),
        (frame(RATING=np.arange(200) / 7), None, "distinct ratings"),
        (frame(SONG_ID="nowhere"), None, "unknown item id 'nowhere'"),
    ],
)
def test_what_cannot_be_learnt_from_is_one_clear_error(table, minimum, words):
    with pytest.raises(DataError, match=words) as caught:
        load(table, minimum=minimum)
    assert caught.value.hint
