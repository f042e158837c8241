"""Ids and values as fields: one form, lists that are lists, and what is wrong said with its place."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import BaseModel, Field, ValidationError

from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.data.id_fields import (
    ByItem,
    HistoryIds,
    ItemId,
    ItemIds,
    SomeItemIds,
    UserId,
    ValueText,
    ValueTexts,
    by_item,
    history_ids,
    item_ids,
    user_id,
    value_text,
)
from recommender.data.item_rows import Item
from recommender.errors import DataError


class Form(BaseModel):
    item: ItemId = Field("0", max_length=5)
    items: ItemIds = ()
    some: SomeItemIds = None
    history: HistoryIds = ()
    user: UserId = Field(None, max_length=5)
    value: ValueText = ""
    values: ValueTexts = ()
    weights: Annotated[dict[str, float], ByItem] = {}


def test_fields_are_read():
    form = Form(
        item=5.0, items={5.0}, some=[np.int64(5)], history=(5,), user=5.0, value=5.0, values=5.0, weights={5.0: 1}
    )
    assert (form.item, form.items, form.some, form.history, form.user) == ("5", ("5",), ("5",), ("5",), "5")
    assert (form.value, form.values, form.weights) == ("5", ("5",), {"5": 1.0})
    assert Form(some=None, user=None).some is None and Form(user="  ").user is None
    assert Form(values=[1, "a"]).values == ("1", "a")


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ({"item": ""}, ("item",), "the id is empty"),
        ({"item": "123456"}, ("item",), "at most 5"),
        ({"user": "123456"}, ("user",), "at most 5"),
        ({"items": "50"}, ("items",), "expected a list of item ids, found '50'"),
        ({"some": {"50": 1}}, ("some",), "expected a list"),
        ({"history": ["1", None]}, ("history", 1), "the id is empty"),
        ({"history": {1, 2}}, ("history",), "no order"),
        ({"values": [1, None]}, ("values", 1), "expected a text or a number, found None"),
        ({"value": [1]}, ("value",), "expected a text or a number"),
        ({"weights": {"5": 1, "5.0": 2}}, ("weights",), "item '5' is given twice"),
        ({"weights": [1]}, ("weights",), "dictionary"),
    ],
)
def test_what_is_wrong_is_named_in_one_error(fields, place, said):
    with pytest.raises(ValidationError) as refused:
        Form(**fields)
    (problem,) = refused.value.errors()
    assert problem["loc"] == place and said in problem["msg"] and not problem["msg"].startswith("Value error")


def test_functions_raise_our_own_errors():
    assert item_ids(np.array([5.0, 6.0])) == history_ids([5, "6"]) == ("5", "6") and item_ids(iter("ab")) == ("a", "b")
    assert (
        user_id(7.0) == "7" and value_text(True) == "True" and by_item([1]) == [1] and isinstance(by_item({}), Mapping)
    )
    for wrong in (
        lambda: item_ids("50"),
        lambda: user_id(float("nan")),
        lambda: value_text({}),
        lambda: item_ids(None),
    ):
        with pytest.raises(DataError):
            wrong()


@pytest.mark.parametrize(
    "values",
    [
        np.array([16777217], dtype=np.float32),
        np.array([2049], dtype=np.float16),
        [np.float32(16777217)],
        pd.Series([16777217.0], dtype="float32"),
        pd.Series([16777217.0], dtype="Float32"),
        torch.tensor([16777217.0]),
        torch.tensor([257.0], dtype=torch.bfloat16),
        array("f", [16777217.0]),
        pa.array([16777217.0], pa.float32()),
    ],
)
def test_short_floats_that_may_have_been_rounded_are_no_ids(values):
    with pytest.raises(DataError, match="not exact"):
        history_ids(values)


def test_small_short_floats_are_ids():
    assert history_ids(torch.tensor([50.0, 2**24 - 1])) == ("50", "16777215")


@pytest.mark.parametrize(
    "values",
    [bytearray(b"181"), memoryview(b"181"), array("B", b"181"), array("u", "181"), pd.DataFrame({"181": [1]})],
)
def test_bytes_letters_and_tables_are_no_lists_of_ids(values):
    with pytest.raises(DataError, match="expected a list of item ids"):
        history_ids(values)
    with pytest.raises(DataError, match="expected a list of item ids"):
        Catalogue([Item("1", "x"), Item("181", "y")]).indices(values)


def test_a_catalogue_made_of_items_has_canonical_ids():
    assert Catalogue([Item(50, "x")]).item_ids == ("50",)
    with pytest.raises(DataError, match="stands twice"):
        Catalogue([Item(50, "x"), Item("50.0", "y")])


@pytest.mark.parametrize(("kind", "value"), [("float32", 16777217), ("float16", 2049)])
def test_a_column_of_rounded_ids_is_refused(kind, value, tmp_path):
    frame = pd.DataFrame({"user_id": np.array([value, value - 1], dtype=kind), "item_id": [1, 1], "position": [0, 1]})
    catalogue = Catalogue([Item("1", "x")])
    with pytest.raises(DataError, match="not exact"):
        Histories.load(frame, catalogue)
    pq.write_table(pa.table({name: pa.array(frame[name].to_numpy()) for name in frame}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="not exact"):
        Histories.load(tmp_path / "t.parquet", catalogue)
    with pytest.raises(DataError, match="not exact"):
        Catalogue.load(pd.DataFrame({"item_id": frame["user_id"], "title": ["a", "b"]}))
