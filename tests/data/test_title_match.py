"""Titles as two tables write them: what is the same work is found, what is not is not."""

import pytest

from recommender.data.title_match import KINDS, TitleIndex

TABLE = (
    ("Il Postino", 1994),
    ("12 Monkeys", 1995),
    ("Star Wars: Episode V – The Empire Strikes Back", 1980),
    ("Manon des Sources", 1986),
    ("Three Colours: Red", 1994),
    ("Fear", 1996),
    ("Heat", 1995),
    ("Heat", 1986),
    ("Hamlet", 1996),
    ("Hamlet", 1996),
    ("Police Story 3", 1992),
    ("Lilo & Stitch", 2002),
    ("M*A*S*H", 1970),
)
INDEX = TitleIndex([title for title, _ in TABLE], [year for _, year in TABLE])


@pytest.mark.parametrize(
    ("title", "year", "row", "kind"),
    [
        ("Postino, Il", 1994, 0, "title and year"),
        ("Twelve Monkeys", 1995, 1, "title and year"),
        ("x", 1, 1, None),  # another year, and an article that the other one has not
        ("Twelve Monkeys", 1996, 1, "year apart"),
        ("The Empire Strikes Back", 1980, 2, "part of a title"),
        ("Manon of the Spring (Manon des sources)", 1986, 3, "other title"),
        ("Three Colors: Red", 1994, 4, "spelling"),
        ("Heat", 1995, 6, "title and year"),
        ("Heat", 1986, 7, "title and year"),
        ("Lilo and Stitch", 2002, 11, "title and year"),
        ("MASH", 1970, 12, "title and year"),
    ],
)
def test_the_same_work_is_found(title, year, row, kind):
    match = INDEX.find(title, year)
    if kind is None:
        assert match is None
    else:
        assert match is not None and (match.rows, match.kind) == ((row,), kind) and kind in KINDS


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("The Fear", 1995),  # "Fear" is another film
        ("Heat", 1990),
        ("Police Story 4", 1993),  # a number makes another one of a series
        ("Postino", 1997),
        ("", 1994),
        ("?!", 1994),
    ],
)
def test_another_work_is_not(title, year):
    assert INDEX.find(title, year) is None


def test_what_cannot_be_told_apart_is_said_to_be_several():
    match = INDEX.find("Hamlet", 1996)
    assert match is not None and match.rows == (8, 9)


def test_years_apart_are_as_many_as_allowed():
    assert INDEX.find("Twelve Monkeys", 1998, apart=3) is not None
    assert INDEX.find("Twelve Monkeys", 1996, apart=0) is None


def test_a_row_without_a_year_is_never_found():
    assert TitleIndex(["Alien"], [None]).find("Alien", 1979) is None
