"""One form of an id for all doors."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data.ids import canonical_id, is_missing
from recommender.errors import DataError


class Numbered(IntEnum):
    FIFTY = 50


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((fifty, "50") for fifty in (50, 50.0, "50", " 50\t", "50.0", "50.00", b"50", b"50.0", Decimal("50.0"))),
        *((kind(50), "50") for kind in (np.int8, np.uint64, np.float32, np.float64, np.str_, np.array)),
        (np.bytes_(b"50"), "50"),
        (Numbered.FIFTY, "50"),
        (Decimal("5E+1"), "50"),
        ("007", "007"),
        ("007.0", "007.0"),
        ("0.0", "0"),
        (-0.0, "0"),
        ("-0.0", "0"),
        (-5.0, "-5"),
        ("-5.0", "-5"),
        ("1e3", "1e3"),
        ("5.5", "5.5"),
        ("1.10", "1.10"),
        ("+5.0", "+5.0"),
        ("nan", "nan"),
        ("None", "None"),
        ("True", "True"),
        ("a, b", "a, b"),
        ("\u0665", "\u0665"),
        (2**64 + 1, "18446744073709551617"),
        ("9007199254740993.0", "9007199254740993"),
        (2.0**53 - 1, "9007199254740991"),
        (Decimal("1234567890123456789.0"), "1234567890123456789"),
        ("café".encode(), "café"),
        (bytearray(b"x"), "x"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ],
)
def test_an_id_has_one_form(value, text):
    assert canonical_id(value) == text


@pytest.mark.parametrize(
    "value", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, Decimal("NaN"), "", " \n", b""]
)
def test_nothing_is_no_id(value):
    with pytest.raises(DataError, match="the id is empty"):
        canonical_id(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        *((value, "a truth value") for value in (True, np.bool_(False))),
        *((value, "no whole number") for value in (5.5, np.float32(0.1), float("inf"), Decimal("5.5"), Decimal("Inf"))),
        (2.0**53, "not exact"),
        (1e300, "not exact"),
        pytest.param(10**5000, "thousands of digits", id="long"),
        (b"caf\xe9", "no UTF-8"),
        ("a\x00b", "cannot be printed"),
        ("a\ud800", "cannot be printed"),
        ("\ufeff50", "cannot be printed"),
        *((value, "of the type") for value in ([50], {"id": 50}, (50,), {50}, 5j, Fraction(50), np.array([50]))),
        *((value, "of the type") for value in (datetime(2020, 1, 1, tzinfo=UTC), np.datetime64(50, "ns"), object())),
    ],
)
def test_what_is_no_id_is_refused_with_the_reason(value, reason):
    with pytest.raises(DataError, match=reason) as caught:
        canonical_id(value)
    assert caught.value.hint and "\n" not in str(caught.value)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.decimals(), st.binary(max_size=6)))
def test_the_form_of_a_form_is_itself(value):
    try:
        name = canonical_id(value)
    except DataError:
        return
    assert canonical_id(name) == name == name.strip()
    name.encode()


def test_a_cell_with_nothing_in_it_is_told_from_blank_text():
    assert all(map(is_missing, [None, float("nan"), np.float64("nan"), pd.NA, pd.NaT, np.datetime64("NaT")]))
    assert not any(map(is_missing, ["", "nan", 0, False, [], Decimal(0)]))


@pytest.mark.parametrize("text", ["9.78E+12", "9,78E+12", "1e+16", "1E+100"])
def test_a_number_that_a_spreadsheet_has_shortened_is_no_id(text):
    with pytest.raises(DataError, match="has shortened a long number"):
        canonical_id(text)


@pytest.mark.parametrize("text", ["1E12", "E+12", "A1E+12", "12E+10", "1e5"])
def test_codes_that_only_resemble_one_are_ids(text):
    assert canonical_id(text) == text
