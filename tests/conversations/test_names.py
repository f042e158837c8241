"""Names of items as people write them: found where they are meant, and nowhere else."""

from __future__ import annotations

import pytest

from recommender.conversations.names import NameFinder
from recommender.data.catalogue import Catalogue, Item

TITLES = [
    ("Alien", "1979"),
    ("Aliens", "1986"),
    ("Alien: Resurrection", "1997"),
    ("Godfather, The", "1972"),
    ("Godfather: Part II, The", "1974"),
    ("Thing, The", "1982"),
    ("Thing, The", "1951"),
    ("Toy Story", "1995"),
    ("Toy Story 2", "1999"),
    ("Seven (Se7en)", "1995"),
    ("Matrix, The", "1999"),
    ("Star Wars: Episode IV - A New Hope", "1977"),
    ("Star Wars: Episode V - The Empire Strikes Back", "1980"),
    ("1984", "1984"),
    ("Heat", "1995"),
    ("Romance", "1999"),
    ("Cruise, The", "1998"),
    ("Scary Movie", "2000"),
    ("Last Night", "1998"),
    ("Choices", "1981"),
    ("Déjà Vu", "1997"),
    ("Die Hard 2", "1990"),
]


@pytest.fixture(scope="module")
def finder():
    facts = [{"year": (year,), "genres": ("Romance" if title == "Romance" else "Drama",)} for title, year in TITLES]
    return NameFinder(
        Catalogue(
            Item(str(n), title, attributes=fact) for n, ((title, _), fact) in enumerate(zip(TITLES, facts, strict=True))
        )
    )


def found(finder, text):
    """The names in a text, each with the title and year that it most likely means."""
    return [(m.name, None if m.item is None else TITLES[m.item]) for m in finder.mentions(text)]


@pytest.mark.parametrize(
    ("text", "name", "meant"),
    [
        ("I loved The Godfather (1972) !", "The Godfather", ("Godfather, The", "1972")),
        ("i liked godfather", "godfather", ("Godfather, The", "1972")),
        ("the godfather part 2 was better", "the godfather part 2", ("Godfather: Part II, The", "1974")),
        ("The Thing (1951) please", "The Thing", ("Thing, The", "1951")),
        ("The Thing (1983)", "The Thing", ("Thing, The", "1982")),
        ("toy story 2 was ok", "toy story 2", ("Toy Story 2", "1999")),
        ("I saw toystory", "toystory", ("Toy Story", "1995")),
        ("I liked The Matrx a lot", "The Matrx", ("Matrix, The", "1999")),
        ("Se7en", "Se7en", ("Seven (Se7en)", "1995")),
        ("I loved 1984", "1984", ("1984", "1984")),
        ("something like heat", "heat", ("Heat", "1995")),
        ('have you got "Last Night"?', "Last Night", ("Last Night", "1998")),
        ("I watched deja vu yesterday", "deja vu", ("Déjà Vu", "1997")),
        ("I watched de\u0301ja\u0300 vu", "de\u0301ja\u0300 vu", ("Déjà Vu", "1997")),
        ("I love Star Wars", "Star Wars", ("Star Wars: Episode IV - A New Hope", "1977")),
        ("Click (2006) is fun", "Click", None),
        ("did you watch Avengers: Infinity War (2018)", "Avengers: Infinity War", None),
    ],
)
def test_one_name_and_whom_it_means(finder, text, name, meant):
    assert found(finder, text) == [(name, meant)]


@pytest.mark.parametrize(
    "text",
    [
        "films from 1984",
        "romance, please",
        "I like scary movies",
        "any good Tom Cruise movies?",
        "we talked last night",
        "good choices",
        "this heat is too much",
        "hello",
        "",
        "Die hard fans only",
    ],
)
def test_words_that_happen_to_be_a_name(finder, text):
    assert found(finder, text) == []


def test_a_name_of_another_number_is_not_the_one_that_is_there(finder):
    assert all(meant != ("Die Hard 2", "1990") for _, meant in found(finder, "I liked Die Hard 3"))


def test_a_series_is_all_of_its_items(finder):
    (series,) = finder.mentions("I know the Alien films")
    assert series.series and {TITLES[i][0] for i in series.items} == {"Alien", "Alien: Resurrection"}


def test_several_names_do_not_overlap(finder):
    text = "I liked Alien (1979) and Aliens (1986), but Heat was better than The Matrix"
    mentions = finder.mentions(text)
    assert [TITLES[m.item][0] for m in mentions] == ["Alien", "Aliens", "Heat", "Matrix, The"]
    assert all(a.end <= b.start for a, b in zip(mentions, mentions[1:], strict=False))
    assert text[mentions[0].start : mentions[0].end] == "Alien (1979)" and mentions[0].year == 1979


def test_of_namesakes_the_popular_one_is_meant():
    items = [Item(str(n), "Titanic", attributes={"year": (year,)}) for n, year in enumerate(("1953", "1997"))]
    (mention,) = NameFinder(Catalogue(items), [1, 9]).mentions("I loved Titanic")
    assert mention.items == (1, 0)


def test_long_and_odd_texts_are_read_in_time(finder):
    for text in ("x" * 50_000, "The " * 12_000, '"' * 5_000, "I liked " * 6_000, "(1999) " * 5_000):
        assert isinstance(finder.mentions(text), tuple)
