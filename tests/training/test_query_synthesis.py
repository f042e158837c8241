"""Query synthesis: what a query asks for is true of the items that match it."""

import numpy as np
import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.training.query_synthesis import QuerySynthesizer


@pytest.fixture
def synthesizer(catalogue) -> QuerySynthesizer:
    return QuerySynthesizer(catalogue, "films")


def test_a_query_names_its_value_and_matches_all_items_that_have_it(synthesizer, catalogue):
    random = np.random.default_rng(0)
    for item in range(len(catalogue)):
        query = synthesizer.query(item, random)
        assert query.value in query.text
        assert query.matches[item]
        for other in np.flatnonzero(query.matches):
            facts = synthesizer.facts[other]
            assert (query.name, query.value) in facts
        assert query.matches.sum() == sum((query.name, query.value) in facts for facts in synthesizer.facts)


def test_drawn_queries_match_an_item_of_the_history(synthesizer):
    history, random = np.array([3, 4, 11]), np.random.default_rng(1)
    texts = set()
    for _ in range(60):
        text, met = synthesizer.draw(history, random)
        assert met.shape == (3,) and met.any()
        texts.add(text)
    assert len(texts) > 20


def test_the_same_generator_draws_the_same_queries(synthesizer):
    drawn = [[synthesizer.draw(np.arange(6), np.random.default_rng(n))[0] for n in range(9)] for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_a_description_is_quoted_and_matched_by_its_item_alone():
    plot = "A clockmaker finds a map. " + " ".join(f"word{n}" for n in range(40)) + "."
    synthesizer = QuerySynthesizer(
        Catalogue([Item(item_id="1", title="One", text=plot), Item(item_id="2", title="Two")]), "films"
    )
    random = np.random.default_rng(0)
    quoted = [query for query in (synthesizer.query(0, random) for _ in range(40)) if query is not None]
    assert quoted and all(query.value in plot and query.matches.tolist() == [True, False] for query in quoted)
    assert max(len(query.value.split()) for query in quoted) == 12


def test_an_item_without_facts_gets_no_query():
    synthesizer = QuerySynthesizer(Catalogue([Item(item_id="1", title="One")]), "films")
    assert synthesizer.query(0, np.random.default_rng(0)) is None
    assert synthesizer.draw(np.array([0]), np.random.default_rng(0)) is None
