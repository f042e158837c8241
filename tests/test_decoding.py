import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from recommender import decoding
from recommender.errors import RecommenderError
from recommender.examples import Example, collate
from recommender.trie import Trie
from tests.conftest import ITEMS

LEVELS = (1, 3)


@pytest.fixture(params=LEVELS)
def world(request, make_checkpoint):
    checkpoint = make_checkpoint(request.param)
    trie = Trie.from_codes(checkpoint.model.ids.codes, checkpoint.model.ids.sizes)
    return checkpoint.model, checkpoint.builder, trie


def slow_scores(model, builder, history) -> np.ndarray:
    """Score every item on its own: the whole prompt and all its codes in one plain pass, no cache and no branch."""
    prompt = builder.prompt(history)
    scores = []
    for item in range(ITEMS):
        codes = builder.code_tokens[item]
        grown = [np.concatenate([a, fill]) for a, fill in zip(
            (prompt.tokens, prompt.items, prompt.slots),
            (codes[:-1], np.full(len(codes) - 1, -1), np.zeros(len(codes) - 1, int)), strict=True)]  # fmt: skip
        size = len(grown[0])
        example = Example(*grown, np.full(size, -1), np.full(size, -100), np.full(size, -1))
        batch = collate([[example]])
        with torch.no_grad():
            hidden = model.read(model.embed(batch), batch.positions, batch.mask)[0]
            total = 0.0
            for level, code in enumerate(model.ids.codes[item]):
                logits = model.code_logits(hidden[len(prompt) - 1 + level], level)
                total += float(torch.log_softmax(logits, -1)[code])
        scores.append(total)
    return np.array(scores)


def test_a_wide_beam_equals_brute_force(world):
    model, builder, trie = world
    for history in ([], [4], [1, 2, 3, 4, 5, 6, 7, 8]):
        found = decoding.rank(model, [builder.prompt(history)], trie, k=ITEMS, beam=64)[0]
        slow = slow_scores(model, builder, history)
        assert len(found.items) == ITEMS
        np.testing.assert_allclose(found.scores, np.sort(slow)[::-1], atol=1e-4)
        np.testing.assert_allclose(slow[found.items], found.scores, atol=1e-4)


def test_score_equals_brute_force_for_chosen_candidates(world):
    model, builder, _ = world
    candidates = [7, 0, 19, 3]
    scored = decoding.score(model, [builder.prompt([2, 9]), builder.prompt([5])], candidates, chunk=3)
    for row, history in zip(scored, ([2, 9], [5]), strict=True):
        np.testing.assert_allclose(row, slow_scores(model, builder, history)[candidates], atol=1e-4)


@given(st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS), st.integers(1, 12))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_what_is_allowed_comes_out_and_nothing_twice(world, allowed, k):
    model, builder, trie = world
    mask = torch.tensor([allowed])
    found = decoding.rank(model, [builder.prompt([1, 2])], trie, k, beam=4, allowed=mask)[0]
    assert len(set(found.items)) == len(found.items) <= k
    assert all(allowed[item] for item in found.items)
    assert (np.diff(found.scores) <= 0).all()
    if sum(allowed) <= 4:
        assert len(found.items) == min(k, sum(allowed))


def test_the_mask_leaves_scores_as_they_are(world):
    model, builder, trie = world
    everything = decoding.rank(model, [builder.prompt([3])], trie, ITEMS, beam=64)[0]
    mask = torch.ones(1, ITEMS, dtype=torch.bool)
    mask[0, everything.items[0]] = False
    rest = decoding.rank(model, [builder.prompt([3])], trie, ITEMS, beam=64, allowed=mask)[0]
    np.testing.assert_array_equal(rest.items, everything.items[1:])
    np.testing.assert_allclose(rest.scores, everything.scores[1:], atol=1e-5)


def test_batch_and_order_change_nothing(world):
    model, builder, trie = world
    prompts = [builder.prompt(h) for h in ([], [1, 2, 3, 4, 5], [9], [7, 8])]
    together = decoding.rank(model, prompts, trie, k=5, beam=16)
    for prompt, expected in zip(prompts[::-1], together[::-1], strict=True):
        alone = decoding.rank(model, [prompt], trie, k=5, beam=16)[0]
        np.testing.assert_array_equal(alone.items, expected.items)
        np.testing.assert_allclose(alone.scores, expected.scores, atol=1e-4)


def test_nothing_allowed_gives_nothing(world):
    model, builder, trie = world
    none = torch.zeros(1, ITEMS, dtype=torch.bool)
    assert len(decoding.rank(model, [builder.prompt([1])], trie, 5, 8, none)[0].items) == 0


def test_nan_is_an_error_not_a_ranking(world):
    model, builder, trie = world
    with torch.no_grad():
        model.rank_norm.weight.fill_(float("nan"))
    with pytest.raises(RecommenderError, match="NaN"):
        decoding.rank(model, [builder.prompt([1])], trie, 5, 8)
