"""Templates: different and grammatical texts, whatever stands in the titles."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.justify import (
    ClaimChecker,
    Evidence,
    Influence,
    Style,
)
from recommender.justify.evidence import shared_facts
from recommender.justify.planning import make_outline
from recommender.justify.templates import Fact, enumeration, templates_of
from tests.justify.films import CATALOGUE, CHECKER, FILMS, evidence, plain


@pytest.mark.parametrize("seed", range(4))
def test_all_templates_are_different_and_grammatical(seed):
    for given_evidence in (evidence(0, 1), evidence(0, 1, 2), evidence(0, 4), Evidence(0), Evidence(4)):
        lines = [t.text for t in templates_of(CATALOGUE, make_outline(given_evidence, CHECKER, FILMS), FILMS, seed)]
        assert len(set(lines)) == len(lines) >= 3
        for line in lines:
            assert re.match(r"[A-Z\"]", line) and line.endswith(".") and "  " not in line and " ," not in line
            assert not re.search(r"\ba [AEIOUaeiou]|\ban [^AEIOUaeiou]", line) and not re.search(r"[\[\]|]", line)
            assert CHECKER.check(line, given_evidence, "films").ok, line


def test_a_title_with_the_marks_of_a_choice_stays_whole():
    catalogue = Catalogue([Item("1", "Rec [a|b] (2007)"), Item("2", "Pi | Tau [2007] (2007)")])
    shared = Evidence(0, (Influence(1, 1.0),), shared_facts(catalogue, 0, [1]))
    for seed in range(8):
        for template in templates_of(catalogue, make_outline(shared, ClaimChecker(catalogue), FILMS), FILMS, seed):
            assert '"Rec [a|b] (2007)"' in template.text and '"Pi | Tau [2007] (2007)"' in template.text


def test_a_phrase_says_an_attribute_whose_name_reads_badly():
    catalogue = Catalogue(Item(str(i), f"Toy {i}", attributes={"rated_by": ("PG",)}) for i in range(2))
    style = Style("films", phrases={"rated_by": "certified {values}"})
    checker = ClaimChecker(catalogue, style.phrases)
    shared = Evidence(0, (Influence(1, 1.0),), shared_facts(catalogue, 0, [1]))
    assert "certified PG" in plain(shared, checker, style)


def test_a_seed_decides_the_order_and_nothing_else():
    outline = make_outline(evidence(0, 1), CHECKER, FILMS)
    first, again, other = ([t.text for t in templates_of(CATALOGUE, outline, FILMS, seed)] for seed in (3, 3, 4))
    assert first == again != other


@pytest.mark.parametrize(
    ("given", "blocks"),
    [
        ((0, 1), {"shared_own"}),
        ((2, 1), {"shared_own", "people"}),
        ((0, 3), {"own"}),
        ((4, 0), {"unshared"}),
        ((0,), {"alone"}),
        ((4,), {"bare"}),
    ],
)
def test_the_outline_decides_the_blocks(given, blocks):
    outline = make_outline(evidence(*given), CHECKER, FILMS)
    lines = {template.line.partition(".")[0] for template in templates_of(CATALOGUE, outline, FILMS)}
    assert lines == blocks


def test_cues_are_words_of_the_text_in_order():
    outline = make_outline(evidence(0, 1), CHECKER, FILMS)
    for template in templates_of(CATALOGUE, outline, FILMS):
        assert template.cues
        for cue in template.cues:
            for part in filter(None, cue.split("…")):
                assert part.strip(" ,").casefold() in template.text.casefold(), (cue, template.text)


@pytest.mark.parametrize(
    ("values", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (list("abc"), "a, b and c")]
)
def test_an_enumeration_has_one_and(values, text):
    assert enumeration(values, FILMS) == text
    assert enumeration(values, Style(language="de")) == text.replace(" and ", " und ")


def test_several_values_have_their_attribute_in_the_plural():
    attributes = {"material": ("Wood", "Wool"), "play series": ("Alpha", "Beta")}
    catalogue = Catalogue(Item(str(i), f"Toy {i}", attributes=attributes if i < 2 else {}) for i in range(9))
    shared = Evidence(0, (Influence(1, 1.0),), shared_facts(catalogue, 0, [1]))
    outline = make_outline(shared, ClaimChecker(catalogue), Style("toys"))
    outline = replace(
        outline, facts=(Fact("material", ("Wood", "Wool")), Fact("play series", ("Alpha", "Beta"))), own=()
    )
    text = next(templates_of(catalogue, outline, Style("toys"))).text
    assert "materials Wood and Wool" in text and "play series Alpha and Beta" in text


def test_columns_are_spoken_as_people_would():
    attributes = {"Book-Author": ("Nick Hornby",), "Publisher": ("Viking",), "Year-Of-Publication": ("1998",)}
    books = [Item(str(n), f"Book {n}", attributes=attributes if n < 2 else {}) for n in range(12)]
    catalogue = Catalogue(books)
    shared = Evidence(0, (Influence(1, 1.0),), shared_facts(catalogue, 0, [1]))
    checker, style = ClaimChecker(catalogue), Style("books")
    for template in templates_of(catalogue, make_outline(shared, checker, style), style):
        assert "Nick Hornby" in template.text and "uthor" not in template.text and "Viking" not in template.text
        assert checker.check(template.text, shared, "books").ok, template.text
    alone = [t.text for t in templates_of(catalogue, make_outline(Evidence(0), checker, style), style)]
    assert any("a book by Nick Hornby" in text for text in alone)
