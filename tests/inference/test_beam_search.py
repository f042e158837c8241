import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch.utils._python_dispatch import TorchDispatchMode

from recommender.constraints import Trie
from recommender.data.catalogue import Catalogue, Item
from recommender.encoders.features import Features
from recommender.errors import RecommenderError
from recommender.inference import beam_search
from recommender.inference.weight_cache import WeightCache
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint
from recommender.prompting.example import Example
from recommender.prompting.packing import collate
from recommender.semantic_ids.codes import SemanticIds
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
        found = beam_search.rank(WeightCache(model), [builder.prompt(history)], trie, k=ITEMS, beam=64)[0]
        slow = slow_scores(model, builder, history)
        assert len(found.items) == ITEMS
        np.testing.assert_allclose(found.scores, np.sort(slow)[::-1], atol=1e-4)
        np.testing.assert_allclose(slow[found.items], found.scores, atol=1e-4)


def test_score_equals_brute_force_for_chosen_candidates(world):
    model, builder, _ = world
    candidates = [7, 0, 19, 3]
    scored = beam_search.score(WeightCache(model), [builder.prompt([2, 9]), builder.prompt([5])], candidates, chunk=3)
    for row, history in zip(scored, ([2, 9], [5]), strict=True):
        np.testing.assert_allclose(row, slow_scores(model, builder, history)[candidates], atol=1e-4)


@given(st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS), st.integers(1, 12))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_what_is_allowed_comes_out_and_nothing_twice(world, allowed, k):
    model, builder, trie = world
    mask = torch.tensor([allowed])
    found = beam_search.rank(WeightCache(model), [builder.prompt([1, 2])], trie, k, beam=4, allowed=mask)[0]
    assert len(set(found.items)) == len(found.items) <= k
    assert all(allowed[item] for item in found.items)
    assert (np.diff(found.scores) <= 0).all()
    if sum(allowed) <= 4:
        assert len(found.items) == min(k, sum(allowed))


@given(st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS), st.integers(1, 12), st.integers(1, 4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_proven_is_exact_and_a_narrow_beam_is_widened_until_it_is(world, allowed, k, beam):
    model, builder, trie = world
    mask, prompts = torch.tensor([allowed] * 2), [builder.prompt([1, 2]), builder.prompt([7])]
    every = np.where(mask.numpy(), beam_search.score(WeightCache(model), prompts, range(ITEMS)), -np.inf)
    best = -np.sort(-every, axis=1)[:, : min(k, sum(allowed))]
    for exact in (False, True):
        found = beam_search.rank(WeightCache(model), prompts, trie, k, beam, allowed=mask, exact=exact)
        assert all(one.proven for one in found) or not exact
        for one, expected in zip(found, best, strict=True):
            if one.proven:
                np.testing.assert_allclose(one.scores, expected, atol=1e-4)


def test_the_mask_leaves_scores_as_they_are(world):
    model, builder, trie = world
    everything = beam_search.rank(WeightCache(model), [builder.prompt([3])], trie, ITEMS, beam=64)[0]
    mask = torch.ones(1, ITEMS, dtype=torch.bool)
    mask[0, everything.items[0]] = False
    rest = beam_search.rank(WeightCache(model), [builder.prompt([3])], trie, ITEMS, beam=64, allowed=mask)[0]
    np.testing.assert_array_equal(rest.items, everything.items[1:])
    np.testing.assert_allclose(rest.scores, everything.scores[1:], atol=1e-5)


def test_batch_and_order_change_nothing(world):
    model, builder, trie = world
    prompts = [builder.prompt(h) for h in ([], [1, 2, 3, 4, 5], [9], [7, 8])]
    together = beam_search.rank(WeightCache(model), prompts, trie, k=5, beam=16)
    for prompt, expected in zip(prompts[::-1], together[::-1], strict=True):
        alone = beam_search.rank(WeightCache(model), [prompt], trie, k=5, beam=16)[0]
        np.testing.assert_array_equal(alone.items, expected.items)
        np.testing.assert_allclose(alone.scores, expected.scores, atol=1e-4)


@pytest.mark.parametrize("static", [False, True])
def test_prompts_of_many_lengths_with_and_without_padding_and_a_known_instruction(world, monkeypatch, static):
    model, builder, trie = world
    monkeypatch.setattr("recommender.inference.beam_search.padded", lambda device: static)
    histories = ([], [1, 2, 3, 4, 5], [9], [7, 8], [3, 4])
    prompts = [builder.prompt(history) for history in histories]
    for instruction in (None, builder.prefix, builder.prefix[:5]):
        for found, history in zip(
            beam_search.rank(WeightCache(model), prompts, trie, ITEMS, 64, instruction=instruction),
            histories,
            strict=True,
        ):
            slow = slow_scores(model, builder, history)
            np.testing.assert_allclose(slow[found.items], found.scores, atol=1e-4)


class Counting:
    """A stack that tells how many positions it computes and of what shapes."""

    def __init__(self, model):
        self.weights = WeightCache(model)
        self.inner, self.positions, self.shapes = self.weights.stack(), [], []

    def __call__(self, embedded, positions, attention, last=None):
        self.positions.append(len(embedded))
        self.shapes.append([list(embedded.shape), None if last is None else list(last.shape)])
        return self.inner(embedded, positions, attention, last)


@pytest.fixture
def counted(world, monkeypatch):
    counting = Counting(world[0])
    monkeypatch.setattr(counting.weights, "stack", lambda: counting)
    return counting


def test_nothing_is_computed_for_padding_nor_twice_for_an_instruction(world, counted):
    model, builder, trie = world
    prompts = [builder.prompt(history) for history in ([1, 2, 3], [9], [7, 8])]
    own = sum(len(prompt) - len(builder.prefix) for prompt in prompts)
    passes = [3 * min(4 ** (level + 1), 8) for level in range(trie.levels - 1)]
    for request in range(2):
        beam_search.rank(counted.weights, prompts, trie, 5, beam=8, instruction=builder.prefix)
        prefix = [len(builder.prefix)] if request == 0 else []
        assert counted.positions[: len(prefix) + 1] == [*prefix, own]
        assert all(n <= most for n, most in zip(counted.positions[len(prefix) + 1 :], passes, strict=True))
        counted.positions.clear()


def test_static_shapes_recur_for_other_lengths_and_histories(world, counted, monkeypatch):
    model, builder, trie = world
    monkeypatch.setattr("recommender.inference.beam_search.padded", lambda device: True)
    seen = []
    for histories in (([1, 2, 3], [9]), ([], [7, 8]), ([1, 2], [3, 4, 5, 6])):
        beam_search.rank(counted.weights, [builder.prompt(h) for h in histories], trie, 5, beam=8)
        seen.append(counted.shapes.copy())
        counted.shapes.clear()
    assert seen[0] == seen[1] == seen[2]


class HostTrips(TorchDispatchMode):
    """Collects the operators that make a GPU wait for the host: they read a value, or their result's size depends on one."""

    NAMES = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(name in func.name() for name in self.NAMES):
            self.found.append(func.name())
        return func(*args, **(kwargs or {}))

    @classmethod
    def watch(cls, call):
        with cls() as trips:
            call()
        return trips.found


@pytest.mark.parametrize("masked", [False, True])
def test_no_step_waits_for_the_host(world, masked):
    model, builder, trie = world
    allowed = torch.ones(2, ITEMS, dtype=torch.bool)
    allowed[:, 3] = not masked
    prompts = [builder.prompt([1]), builder.prompt([2, 3])]
    mask, search = trie.mask(allowed), beam_search.Search(WeightCache(model), prompts, None)
    beams = beam_search.Beams(2, trie, model.device)
    with torch.no_grad(), HostTrips() as trips:
        for level in range(trie.levels):
            parents, codes = beams.extend(search.log_probabilities(level), trie, level, mask, 8)
            if level + 1 < trie.levels:
                search.advance(parents, codes, level)
    assert trips.found == []
    assert "aten::nonzero" in HostTrips.watch(lambda: torch.ones(2).nonzero())


def test_fewer_allowed_items_than_beams_or_k_are_all_that_comes(world):
    model, builder, trie = world
    allowed = torch.zeros(1, ITEMS, dtype=torch.bool)
    allowed[0, [2, 17]] = True
    found = beam_search.rank(WeightCache(model), [builder.prompt([1])], trie, k=10, beam=50, allowed=allowed)[0]
    assert set(found.items.tolist()) == {2, 17}


def test_nothing_allowed_gives_nothing(world):
    model, builder, trie = world
    none = torch.zeros(1, ITEMS, dtype=torch.bool)
    assert len(beam_search.rank(WeightCache(model), [builder.prompt([1])], trie, 5, 8, none)[0].items) == 0


def test_nan_is_an_error_not_a_ranking(world, monkeypatch):
    model, builder, trie = world
    logits = WeightCache.code_logits
    for wrong in (float("nan"), float("inf")):
        monkeypatch.setattr(
            WeightCache, "code_logits", lambda weights, hidden, level, w=wrong: logits(weights, hidden, level) * w
        )
        with pytest.raises(RecommenderError, match="NaN"):
            beam_search.score(WeightCache(model), [builder.prompt([1])], [0, 1])
        with pytest.raises(RecommenderError, match="NaN"):
            beam_search.rank(WeightCache(model), [builder.prompt([1])], trie, 5, 8)
        monkeypatch.undo()
    with torch.no_grad():
        model.rank_norm.weight.fill_(float("nan"))
    with pytest.raises(RecommenderError, match="NaN"):
        beam_search.rank(WeightCache(model), [builder.prompt([1])], trie, 5, 8)


# --- a beam without children ends: ragged trees, few allowed items, prompts with different numbers of them


@pytest.fixture
def ragged(config, catalogue):
    """Make a model over `items` items of random codes; later levels have fewer codes, so that a wrong state shows."""

    def make(levels: int, items: int, seed: int = 0):
        sizes = {1: (items,), 2: (90, 3), 3: (200, 6, 3), 4: (100, 5, 4, 2)}[levels]
        codes = {1: np.arange(items)[:, None]}.get(levels)
        if codes is None:
            every = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), 1)[np.prod(sizes) // 4 :]
            codes = every[np.random.default_rng(seed).choice(len(every), items, replace=False)]
        random = np.random.default_rng(seed)
        vectors = {"text": random.standard_normal((items, 8)).astype(np.float32)}
        llm, tokenizer = load_llm(config.base)
        torch.manual_seed(seed)
        features = Features(vectors, {"text": np.ones(items, dtype=bool)})
        model = RecommenderModel(llm, SemanticIds(codes, sizes), features, config).eval()
        with torch.no_grad():
            model.rank_norm.weight.mul_(3)  # scores that differ as those of a trained model
        named = Catalogue(Item(item_id=str(i), title=f"The red story {i}") for i in range(items))
        builder = Checkpoint(model, tokenizer, named, config).builder
        return model, builder, Trie.from_codes(codes, sizes)

    return make


def best_by_score(model, prompts, allowed, k):
    """Score everything, mask, sort: the items of each prompt and their scores."""
    scores = beam_search.score(WeightCache(model), prompts, range(allowed.shape[1]))
    scores = np.where(allowed.numpy(), scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")
    return [
        (o[: min(k, int(a.sum()))], s[o[: min(k, int(a.sum()))]])
        for o, s, a in zip(order, scores, allowed, strict=True)
    ]


def assert_best(found, expected):
    for one, (items, scores) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.items, items)
        np.testing.assert_allclose(one.scores, scores, atol=1e-4)
        assert one.items.dtype == np.int64 and one.proven


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_every_number_of_allowed_items_comes_back_whole_beside_others_in_one_batch(ragged, levels, exact):
    model, builder, trie = ragged(levels, items=60)
    counts = range(31)  # none, too
    allowed = torch.zeros(len(counts), 60, dtype=torch.bool)
    for count in counts:
        allowed[count, torch.from_numpy(np.random.default_rng(count).choice(60, count, replace=False))] = True
    prompts = [builder.prompt([count % 7] * (count % 5)) for count in counts]
    for k, beam in ((10, 50), (60, 1)):
        found = beam_search.rank(WeightCache(model), prompts, trie, k, beam, allowed, builder.prefix, exact)
        assert_best(found, best_by_score(model, prompts, allowed, k))


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@given(data=st.data())
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_trees_with_any_mask_with_and_without_padding(ragged, static, sparse, data):
    levels, items, seed = (data.draw(st.integers(low, high)) for low, high in ((1, 4), (1, 40), (0, 9)))
    model, builder, trie = ragged(levels, items, seed)
    rows = data.draw(st.lists(st.sets(st.integers(0, items - 1), max_size=30), min_size=1, max_size=4))
    allowed = torch.zeros(len(rows), items, dtype=torch.bool)
    for row, chosen in zip(allowed, rows, strict=True):
        row[list(chosen)] = True
    k, exact = data.draw(st.integers(1, 12)), data.draw(st.booleans())
    prompts = [builder.prompt([number % items] * number) for number in range(len(rows))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recommender.inference.beam_search.padded", lambda device: static)
        patch.setattr("recommender.constraints.trie.SPARSE_LIMIT", 4096 if sparse else -1)
        found = beam_search.rank(WeightCache(model), prompts, trie, k, 50, allowed, exact=exact)
    assert_best(found, best_by_score(model, prompts, allowed, k))


def test_items_that_were_added_and_removed_come_back_too(ragged):
    model, builder, trie = ragged(3, items=40)
    edited = trie.without_items([3, 4, 5]).with_items([4], model.ids.codes[[4]])
    allowed = torch.zeros(4, 40, dtype=torch.bool)
    for row, chosen in zip(allowed, ([4], [3], [4, 5, 9], [0, 1, 2, 4]), strict=True):
        row[chosen] = True
    here = allowed.clone()
    here[:, [3, 5]] = False
    prompts = [builder.prompt([number]) for number in range(4)]
    found = beam_search.rank(WeightCache(model), prompts, edited, 10, 50, allowed)
    assert_best(found, best_by_score(model, prompts, here, 10))


def test_a_prompt_without_allowed_items_is_not_read_and_few_items_need_few_beams(ragged, monkeypatch):
    model, builder, trie = ragged(3, items=60)
    counting = Counting(model)
    monkeypatch.setattr(counting.weights, "stack", lambda: counting)
    prompts, allowed = [builder.prompt([1, 2]), builder.prompt([3])], torch.zeros(2, 60, dtype=torch.bool)
    assert [len(found.items) for found in beam_search.rank(counting.weights, prompts, trie, 5, 50, allowed)] == [0, 0]
    assert counting.positions == []
    allowed[1, [7, 30]] = True
    beam_search.rank(counting.weights, prompts, trie, 5, 50, allowed)
    assert counting.positions[0] == len(prompts[1]) and all(count <= 2 for count in counting.positions[1:])
