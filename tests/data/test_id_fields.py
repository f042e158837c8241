"""Ids and values as fields: one form, lists that are lists, and what is wrong said with its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pytest
from pydantic import BaseModel, Field, ValidationError

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
