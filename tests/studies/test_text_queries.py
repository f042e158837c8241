"""The study of queries: who is asked for what, and that words alone decide where nothing else is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recommender.encoders.reduction import Reduction
from recommender.encoders.text import TextEncoder
from recommender.errors import DataError
from recommender.model.checkpoint import save_pretrained
from recommender.studies import text_queries
from tests.conftest import write_tables


@pytest.fixture
def saved(tmp_path, catalogue, histories, text_folder, make_checkpoint, config):
    tables = {f"data.{name}": value for name, value in write_tables(tmp_path, catalogue, histories).items()}
    checkpoint = make_checkpoint(settings=config.updated(tables | {"encoders.text": str(text_folder)}))
    save_pretrained(checkpoint, tmp_path / "model")
    return str(tmp_path / "model")


def test_every_way_to_rank_is_measured_on_the_same_users(saved, catalogue, histories):
    found = text_queries.query_study(saved)
    models = set(found.evaluation.summary["model"])
    expected = {"history alone", "nothing", "history and query", "query alone", "popularity"}
    # the kinds of the tiny world, comedy and drama, have other words
    expected |= {"history and other words", "other words alone", "text vectors, query", "TF-IDF, query"}
    assert expected <= models == set(found.met)
    assert not any("read by" in name for name in models)  # nothing but the language model scores_query a query here
    assert found.evaluation.about["users"] == len(histories)
    assert all(0 <= share <= 1 for share in found.met.values())
    # documents name their genre, so whoever compares words finds what was asked for
    assert found.met["TF-IDF, query"] > found.met["popularity"]
    assert found.met["TF-IDF, other words"] <= found.met["TF-IDF, query"]


def test_a_wish_that_is_heard_is_also_measured_as_the_language_model_alone_reads_it(
    tmp_path, catalogue, histories, features, text_folder, make_checkpoint, config
):
    tables = {f"data.{name}": value for name, value in write_tables(tmp_path, catalogue, histories).items()}
    settings = config.updated(tables | {"encoders.text": str(text_folder), "decoding.query_weight": 50})
    encoder = TextEncoder(str(text_folder))
    raw = encoder.encode([catalogue.document(item) for item in range(len(catalogue))])
    reduction = Reduction.fit(raw, 8, encoder.identity)
    checkpoint = make_checkpoint(settings=settings)
    read = replace(features, vectors=features.vectors | {"text": reduction.apply(raw)}, reductions={"text": reduction})
    checkpoint.model.set_features(read)
    save_pretrained(checkpoint, tmp_path / "model")
    found = text_queries.query_study(str(tmp_path / "model"), users=6)
    # so many nats leave the language model nothing to say
    assert found.met["query alone"] == pytest.approx(found.met["text vectors, query"], abs=0.1)
    assert {"query alone, read by the language model", "history and query, read by the language model"} < set(found.met)


def test_the_seed_decides_what_is_said(saved):
    one, same = (text_queries.query_study(saved, users=6, seed=3) for _ in range(2))
    assert one.met == same.met
    assert one.evaluation.about["users"] == 6


def test_an_attribute_that_nobody_has_is_named(saved):
    with pytest.raises(DataError, match="colour"):
        text_queries.query_study(saved, attribute="colour")


def test_the_share_that_is_met_counts_places():
    has = [{"a"}, {"b"}, {"a", "b"}]
    assert text_queries.share_met(np.array([[0, 1], [2, -1]]), ["a", "b"], has) == pytest.approx(2 / 3)
