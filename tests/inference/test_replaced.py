"""One item's scores with other vectors: those of a catalogue that has them, for one item a prefill or one for all."""

from dataclasses import replace

import numpy as np
import pytest

from recommender.inference import beam_search
from recommender.inference.replaced import score_replaced
from recommender.inference.weight_cache import WeightCache

VECTORS = np.random.default_rng(3).standard_normal((20, 6)).astype(np.float32)


def expected(model, prompt, item, vector):
    before = model.features
    model.set_features(before.with_rows("image", np.array([item]), vector[None]))
    try:
        return beam_search.score(WeightCache(model), [prompt], [item])[0, 0]
    finally:
        model.set_features(before)


@pytest.mark.parametrize("history", [[4, 9, 12], [4, 11, 12], []])
@pytest.mark.parametrize("item", [11, 3])  # 3 has no picture of its own
def test_scores_are_those_of_a_catalogue_with_these_vectors(leveled, history, item):
    model, builder = leveled
    prompt, weights = builder.prompt(history), WeightCache(model)
    found = score_replaced(weights, prompt, item, "image", VECTORS, builder.prefix)
    assert found.shape == (20,) and found.dtype == np.float32
    for n in (0, 7, 19):
        assert found[n] == pytest.approx(expected(model, prompt, item, VECTORS[n]), abs=1e-5)


def test_a_vector_of_the_prompt_stays_for_other_items(leveled):
    model, builder = leveled
    prompt = replace(builder.prompt([4, 9]), overrides={9: {"image": VECTORS[1]}})
    found = score_replaced(WeightCache(model), prompt, 11, "image", VECTORS[:1])
    before = model.features
    model.set_features(before.with_rows("image", np.array([9]), VECTORS[1:2]))
    whole = beam_search.score(WeightCache(model), [builder.prompt([4, 9])], [11])[0, 0]
    model.set_features(before)
    if model.ids.levels > 1:  # an item's own vectors change nothing where it is ranked by its codes
        assert found[0] == pytest.approx(whole, abs=1e-5)
    else:
        assert abs(found[0] - whole) > 1e-5
