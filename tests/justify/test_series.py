"""Series found in titles."""

from __future__ import annotations

from recommender.justify.series import series_of


def test_numbers_and_colons_make_a_series_with_the_first_one():
    titles = ["Die Hard (1988)", "Die Hard 2 (1990)", "Die Hard: With a Vengeance (1995)", "Die Another Day (2002)"]
    assert series_of(titles) == ["Die Hard", "Die Hard", "Die Hard", None]
    assert series_of(["Rocky", "Rocky II", "Rocky IV"]) == ["Rocky"] * 3


def test_titles_that_begin_alike_by_chance_are_none():
    assert series_of(["The Net", "The Nanny", "Seven", "Seven Samurai"]) == [None] * 4
    assert series_of(["Apollo 13", "Heat"]) == [None, None]
    assert series_of(["Star Wars", "Star Wars"]) == [None, None]


def test_a_series_of_one_book_and_of_volumes():
    titles = ["Dune, Book 2", "Dune, Book 3", "Emma"]
    assert series_of(titles) == ["Dune", "Dune", None]


def test_a_catalogue_that_only_counts_its_titles_has_no_series():
    assert series_of([f"Song {n}" for n in range(1, 31)]) == [None] * 30
    assert series_of([f"Song {n}" for n in range(1, 105)]) == [None] * 104
    films = [f"Film {chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(40)]
    assert series_of([*films, *(f"Friday the 13th Part {n}" for n in range(2, 9))])[40:] == ["Friday the 13th"] * 7
