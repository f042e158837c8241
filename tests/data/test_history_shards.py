"""Shards of whole histories: ids in any form, what is left out, and what cannot be read is one line."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender import assets
from recommender.config import ColumnsConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.data.checks import validate
from recommender.data.histories import Histories
from recommender.data.history_shards import holds_histories, read_shards
from recommender.errors import DataError

ITEMS = Catalogue(Item(name, name) for name in ("50", "b", "7"))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(assets, "cache_dir", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def write(folder, users, lists, kind=None, name="0.parquet"):
    folder.mkdir(exist_ok=True)
    lists = pa.array(lists, kind) if kind is not None else lists
    pq.write_table(pa.table({"user_id": users, "item_id": lists}), folder / name)
    return str(folder)


def test_ids_have_one_form_and_users_without_items_are_left_out(tmp_path):
    write(tmp_path / "a", [1, 2, 3, 4], [["50.0", " b"], [], None, ["7"]])
    source = write(tmp_path / "a", [5], [["b", "b", "50"]], name="1.parquet")
    read = Histories.load(source, ITEMS)
    assert list(read.user_ids) == ["1", "4", "5"] and read.user_ids[-1] == "5" and read.user_ids[:2] == ("1", "4")
    assert [items.tolist() for items in read.items] == [[0, 1], [2], [1, 1, 0]]
    assert read.items[-1].dtype == np.int64 and len(read.items[1:]) == 2
    assert (read.report.users, read.report.interactions) == (3, 6)
    assert list(read.sampled(2).user_ids) == ["1", "5"]


def test_numbers_and_fixed_lists_are_read(tmp_path):
    source = write(tmp_path / "n", ["u"], [[7, 50]], pa.list_(pa.int64(), 2))
    assert Histories.load(source, ITEMS).items[0].tolist() == [2, 0]


def test_what_was_read_is_kept_until_shards_or_items_change(tmp_path):
    columns = ColumnsConfig()
    source = write(tmp_path / "a", ["u"], [["b"]])
    first = read_shards(source, ITEMS, columns)
    assert read_shards(source, ITEMS, columns) == first
    assert read_shards(source, Catalogue([*ITEMS, Item("c", "c")]), columns) != first
    write(tmp_path / "a", ["v"], [["7"]], name="1.parquet")
    assert read_shards(source, ITEMS, columns) != first


def test_only_lists_are_whole_histories(tmp_path):
    pq.write_table(pa.table({"user_id": ["u"], "item_id": ["b"]}), tmp_path / "flat.parquet")
    assert not holds_histories(str(tmp_path / "flat.parquet"), ColumnsConfig())
    assert not holds_histories("movielens-100k", ColumnsConfig()) and not holds_histories("nowhere", ColumnsConfig())
    assert holds_histories(write(tmp_path / "l", ["u"], [["b"]]), ColumnsConfig())


@pytest.mark.parametrize(
    ("users", "lists", "kind", "said"),
    [
        (["u", "v"], [["b"], ["50", "c"]], None, r"user 'v' has the item 'c', which the items table lacks"),
        (["u"], [["b", None]], None, r"user 'u' has the item None"),
        (["u"], [[1.5]], None, r"the lists hold double"),
        ([None], [["b"]], None, r"user: the id is empty"),
        (["u"], [[]], pa.list_(pa.string()), r"the histories are empty"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, users, lists, kind, said):
    source = write(tmp_path / "bad", users, lists, kind)
    with pytest.raises(DataError, match=said) as error:
        Histories.load(source, ITEMS)
    assert "\n" not in error.value.message and error.value.hint


def test_validate_counts_them_and_says_what_is_wrong(tmp_path):
    pq.write_table(pa.table({"item_id": ["50", "b", "7"], "title": ["x", "y", "z"]}), tmp_path / "items.parquet")
    source = write(tmp_path / "a", ["u", "v"], [["b"], ["7", "50"]])
    report = validate(str(tmp_path / "items.parquet"), source)
    assert report.ok and (report.users, report.interactions) == (2, 3)
    write(tmp_path / "a", ["w"], [["c"]], name="1.parquet")
    report = validate(str(tmp_path / "items.parquet"), source)
    assert not report.ok and "the item 'c', which the items table lacks" in report.render()


def test_a_broken_shard_and_ratings_are_refused(tmp_path):
    source = write(tmp_path / "a", ["u"], [["b"]])
    with pytest.raises(DataError, match="have no ratings"):
        Histories.load(source, ITEMS, minimum_rating=3)
    (tmp_path / "a" / "1.parquet").write_bytes(pickle.dumps("nothing"))
    with pytest.raises(DataError, match=r"1.parquet: not a readable parquet file"):
        Histories.load(source, ITEMS)
