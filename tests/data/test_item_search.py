"""Search: words, beginnings, accents, typing errors, attribute values, scripts without spaces; who comes first."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data.catalogue import Catalogue, Item
from recommender.data.item_search import ItemSearch, search_words

TITLES = {
    "1": "The Terminator (1984)",
    "2": "Terminator 2: Judgment Day",
    "3": "Amélie",
    "4": "千と千尋の神隠し",
    "5": "שר הטבעות",
    "6": "Die Hard",
    "7": "Die Hard 2",
    "8": "Hard Die Slowly",
}
FACTS = {"1": {"director": ("James Cameron",)}, "6": {"cast": ("Bruce Willis", "Alan Rickman"), "year": ("1988",)}}
CATALOGUE = Catalogue(Item(name, title, attributes=FACTS.get(name, {})) for name, title in TITLES.items())
SEARCH = ItemSearch(CATALOGUE)


def found(text, search=SEARCH, limit=20, offset=0):
    return [CATALOGUE[int(i)].item_id for i in search.find(text, limit, offset).items]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("terminator", ["1", "2"]),
        ("TERM judg", ["2"]),
        ("amelie", ["3"]),
        ("AMÉLIE", ["3"]),
        ("千尋", ["4"]),
        ("הטבעות", ["5"]),
        ("termintaor", ["1", "2"]),
        ("terminater 2", ["2"]),
        ("rickman", ["6"]),
        ("die hard rickman", ["6"]),
        ("die hard 1988", ["6"]),
        ("cameron", ["1"]),
        ("rikcman", ["6"]),
        ("zzz", []),
        ("di", ["6", "7", "8"]),
        ("?!", []),
        ("", []),
    ],
)
def test_words_find_their_items(text, expected):
    assert sorted(found(text)) == expected and SEARCH.find(text, 20).total == len(expected)


def test_what_meets_a_search_better_comes_first_and_among_equals_the_popular():
    assert found("die hard") == ["6", "7", "8"]  # the whole title, then both words
    popularity = np.zeros(len(CATALOGUE))
    popularity[[6, 7]] = 1, 2
    popular = ItemSearch(CATALOGUE, popularity)
    assert found("die hard", popular) == ["6", "8", "7"]
    assert [int(i) for i in popular.first(3).items] == [7, 6, 0] and popular.first(3).total == len(CATALOGUE)
    assert found("die hard", limit=1, offset=1) == ["7"] and found("die hard", offset=9) == []


def test_a_search_keeps_to_the_items_that_it_is_given():
    among = np.ones(len(CATALOGUE), bool)
    among[[0, 5]] = False
    kept = SEARCH.find("die hard", 20, among=among)
    assert [CATALOGUE[int(i)].item_id for i in kept.items] == ["7", "8"] and kept.total == 2
    assert SEARCH.find("amelie rickman", 20, among=~among).total == SEARCH.find("amelie", 20, among=~among).total == 0
    listed = SEARCH.first(2, 1, among)
    assert listed.items.tolist() == [2, 3] and listed.total == 6
    assert SEARCH.first(5, 0, ~among).items.tolist() == [0, 5]


@given(st.text(max_size=60))
def test_any_text_is_a_search(text):
    result = SEARCH.find(text, 5)
    assert len(result.items) <= 5 and len(result.items) <= result.total <= len(CATALOGUE)


@given(st.sampled_from(sorted(TITLES)), st.data())
def test_every_item_is_found_by_its_title_and_by_the_beginnings_of_its_words(name, data):
    words = search_words(TITLES[name])
    begun = " ".join(word[: data.draw(st.integers(1, len(word)))] for word in words)
    assert name in found(TITLES[name]) and name in found(begun)


def test_an_empty_catalogue_has_nothing_to_find():
    empty = ItemSearch(Catalogue([]))
    assert empty.find("die", 5).total == empty.first(5).total == 0


def test_a_large_catalogue_is_searched_within_a_moment():
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 7)) for _ in range(20_000)]
    titles = rng.integers(0, len(words), (50_000, 4))
    search = ItemSearch(Catalogue(Item(str(n), " ".join(words[w] for w in row)) for n, row in enumerate(titles)))
    start = time.perf_counter()
    for text in ("a", words[3], f"{words[5][:3]} {words[9][:2]}", words[7][:3] + "x" + words[7][3:], "zz yy xx ww"):
        search.find(text, 20)
    assert (time.perf_counter() - start) / 5 < 0.05
