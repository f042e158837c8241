"""Vectors of requests: what float32 cannot hold, and what breaks a model, is refused, and nobody else is."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.engine import Recommender, Request, Response
from recommender.errors import RecommenderError


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
