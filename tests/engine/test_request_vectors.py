"""Vectors of requests: what float32 cannot hold, and what breaks a model, is refused, and nobody else is."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.encoders.reduction import LONGEST
from recommender.engine import Recommender, Request, Response
from recommender.engine.request_vectors import vector_overrides
from recommender.errors import RecommenderError
from tests.conftest import in_parts


@pytest.mark.parametrize("value", [1e39, -1e39, 1e308, 3.5e38, 1e38, 1e7])
@pytest.mark.parametrize("modality", ["image", "audio", "collaborative"])
def test_a_vector_that_no_encoder_gives_fails_alone(make_checkpoint, features, modality, value):
    model = Recommender(make_checkpoint())
    vector = (value,) * features.vectors[modality].shape[1]
    broken = Request(history=("103",), k=3, explain=False, vectors={"103": {modality: vector}})
    good = Request(history=("103", "107"), k=3, explain=False)
    answers = model.answer_many([good, broken, good])
    assert isinstance(answers[1], RecommenderError) and "vectors" in answers[1].message
    expected = [item.item_id for item in model.answer(good).items]
    assert [[item.item_id for item in answers[n].items] for n in (0, 2)] == [expected] * 2


def test_who_breaks_a_group_is_found_and_the_others_are_answered(make_checkpoint, monkeypatch):
    model = Recommender(make_checkpoint())
    rank_prompts = model.rank_prompts

    def break_on_long_prompts(prompts, k, allowed):
        if any(103 - 100 in prompt.items for prompt in prompts):
            raise RecommenderError("the model computed NaN scores")
        return rank_prompts(prompts, k, allowed)

    monkeypatch.setattr(model, "rank_prompts", break_on_long_prompts)
    requests = [Request(history=(str(100 + n),), k=3, explain=False) for n in range(6)]
    answers = model.answer_many(requests)
    assert [isinstance(answer, Response) for answer in answers] == [True, True, True, False, True, True]
    assert np.isfinite(
        [item.score for answer in answers if isinstance(answer, Response) for item in answer.items]
    ).all()


def test_an_encoders_own_vector_of_a_medium_in_parts_is_reduced_part_by_part(catalogue, features):
    read = in_parts(features)  # pictures of three parts: of each the first two of four numbers are kept

    def image(*numbers):
        request = Request(history=("103",), vectors={"103": {"image": numbers}})
        return vector_overrides(request, catalogue, read)[3]["image"].tolist()

    assert image(1, 2, 9, 9, 3, 4, 9, 9, 1, 0, 9, 9) == [1, 2, 3, 4, 1, 0] == image(1, 2, 3, 4, 1, 0)
    long = image(*(100, 0, 9, 9) * 3)  # is cut as those of the catalogue are
    assert np.linalg.norm(long) == pytest.approx(LONGEST * 6**0.5)
    with pytest.raises(RecommenderError, match="has 4 numbers; expected 6, or the encoder's own 12"):
        image(1, 2, 9, 9)
