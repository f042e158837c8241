"""Training examples of justifications, and what the checker says of damaged ones."""

from __future__ import annotations

import re

import numpy as np
import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.justify import (
    ClaimChecker,
    Evidence,
    Influence,
    explain_examples,
)
from recommender.justify.evidence import shared_facts
from recommender.justify.planning import make_outline
from recommender.justify.templates import templates_of
from tests.justify.films import FILMS


def shelf(size=40):
    genres, people = ("Drama", "Comedy", "Sci-Fi", "War"), ("Ann Lee", "Bo Chan", "Cy Dahl")
    return Catalogue(
        Item(
            str(i),
            f"Film {chr(65 + i % 26)}{chr(97 + i // 26)} Story",
            attributes={
                "genres": tuple(dict.fromkeys((genres[i % 4], genres[i // 4 % 4]))),
                "year": (str(1970 + i),),
                "director": (people[i % 3],),
            },
        )
        for i in range(size)
    )


@pytest.fixture(scope="module")
def examples():
    catalogue = shelf()
    random = np.random.default_rng(0)
    histories = [random.permutation(len(catalogue))[:12] for _ in range(30)]
    return catalogue, histories, explain_examples(catalogue, histories, 400, seed=3, style=FILMS)


def test_examples_are_many_worded_and_deterministic(examples):
    catalogue, histories, pairs = examples
    assert pairs == explain_examples(catalogue, histories, 400, seed=3, style=FILMS)
    assert pairs != explain_examples(catalogue, histories, 400, seed=4, style=FILMS)
    shapes = {re.sub(r'"[^"]*"|[A-Z]\S+|\(?\d{4}s?\)?', "_", completion) for _, completion in pairs}
    assert len(pairs) == 400 and len(shapes) > 200
    assert any("You" not in prompt for prompt, _ in pairs)
    assert all(any(f"one {length} sentence" in prompt for prompt, _ in pairs) for length in ("short", "detailed"))
    assert explain_examples(catalogue, [], 10, seed=0) == []
    assert explain_examples(catalogue, [np.array([1])], 10, seed=0) == []


def test_examples_speak_of_what_their_prompt_names(examples):
    catalogue, _, pairs = examples
    for prompt, completion in pairs:
        quoted = set(re.findall(r'"[^"]*"', completion))
        assert quoted and quoted <= set(re.findall(r'"[^"]*"', prompt))
        assert completion.endswith(".")
        told = [v for item in catalogue for vs in item.attributes.values() for v in vs if v in completion]
        assert all(value in prompt for value in told)


def texts_of(catalogue, found, checker):
    return [template.text for template in templates_of(catalogue, make_outline(found, checker, FILMS), FILMS)]


def test_a_swapped_name_year_or_value_never_passes(examples):
    catalogue, histories, _ = examples
    checker = ClaimChecker(catalogue)
    for start in range(12):
        item, other, stranger = (int(histories[start][n]) for n in (5, 2, 7))
        found = Evidence(item, (Influence(other, 1.0),), shared_facts(catalogue, item, [other]))
        true = {v for i in (item, other) for v in catalogue[i].attributes["genres"]}
        false = {v for i in catalogue for v in i.attributes["genres"]} - true
        for line in texts_of(catalogue, found, checker):
            assert checker.check(line, found, "films").ok
            for wrong in (
                line.replace(catalogue[other].title, catalogue[stranger].title),
                line.replace(catalogue[item].title, catalogue[stranger].title),
                line.replace(f"({catalogue[item].attributes['year'][0]})", "(1931)"),
                re.sub(r"\.$", f", a {min(false)} film.", line),
                re.sub(r"\.$", " and not a film.", line),
            ):
                assert not checker.check(wrong, found, "films").ok, wrong
            swapped = line.replace(catalogue[item].title, "#").replace(catalogue[other].title, catalogue[item].title)
            swapped = swapped.replace("#", catalogue[other].title)
            assert not checker.check(swapped, found, "films").ok, swapped


def test_an_item_and_its_influence_cannot_change_places(examples):
    catalogue, histories, _ = examples
    checker = ClaimChecker(catalogue)
    for history in histories[:12]:
        item, first, second = (int(i) for i in history[:3])
        found = Evidence(
            item, (Influence(first, 1.0), Influence(second, 0.5)), shared_facts(catalogue, item, [first, second])
        )
        for others in ([item], [item, second], [second, item]):
            turned = Evidence(first, tuple(Influence(o, 1.0) for o in others), shared_facts(catalogue, first, others))
            for line in texts_of(catalogue, turned, checker):
                if catalogue[item].title in line:  # else it speaks of the other two only
                    assert not checker.check(re.sub(r" \(\d{4}\)", "", line), found, "films").ok, line
