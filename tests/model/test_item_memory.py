"""The memory of transitions: what it adds at each position, against a loop over the items before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recommender.config import StageConfig
from recommender.errors import ConfigError
from recommender.export.merge import merge
from recommender.export.vllm_folder import export_vllm, load_exported
from recommender.inference import beam_search
from recommender.inference.weight_cache import WeightCache
from recommender.model.checkpoint import from_pretrained, save_pretrained
from recommender.model.item_memory import ItemMemory, ages_in_rows, ages_of_prompts
from recommender.prompting.example import FIRST_SOFT, ITEM, TOKEN
from recommender.prompting.packing import collate
from recommender.training.parameter_groups import parameter_groups
from recommender.vllm_plugin.served_folder import Allowed, Served
from tests.vllm_plugin.stub_vllm import stub

LENGTH, HIDDEN = 3, 4


@pytest.fixture
def memory() -> ItemMemory:
    torch.manual_seed(1)
    made = ItemMemory(HIDDEN, LENGTH, 1.0)
    with torch.no_grad():
        made.log_weights.normal_()
        made.follow.normal_()
    return made


def _expected(memory, vectors, slots, segments, place):
    """The sum over the last items of the place's own example, the latest first."""
    own = [q for q in range(place, -1, -1) if slots[q] == ITEM and segments[q] == segments[place]]
    total = torch.zeros(HIDDEN)
    for age, q in enumerate(own[:LENGTH]):
        total = total + memory.log_weights[age].exp() * vectors[q]
    return total @ memory.follow


def test_each_position_reads_the_last_items_of_its_own_example(memory):
    random = np.random.default_rng(0)
    slots = torch.from_numpy(random.choice([TOKEN, ITEM, FIRST_SOFT], (2, 15), p=[0.2, 0.6, 0.2]))
    segments = torch.tensor([[0] * 3 + [1] * 6 + [2] * 4 + [-1] * 2, [0] * 3 + [1] * 12])
    vectors = torch.randn(2, 15, HIDDEN) * (slots == ITEM)[..., None]
    added = memory(vectors, ages_in_rows(slots, segments, LENGTH))
    for row in range(2):
        for place in range(15):
            wanted = _expected(memory, vectors[row], slots[row], segments[row], place)
            torch.testing.assert_close(added[row, place], wanted)


def test_the_end_of_a_prompt_reads_as_that_position_does_in_training(memory):
    slots = torch.tensor([TOKEN, ITEM, ITEM, ITEM, ITEM, TOKEN, ITEM, FIRST_SOFT])
    segments = torch.tensor([1] * 5 + [2] * 3)
    vectors = torch.randn(8, HIDDEN) * (slots == ITEM)[:, None]
    rows = memory(vectors[None], ages_in_rows(slots[None], segments[None], LENGTH))[0]
    ends = memory(vectors, ages_of_prompts(slots, [slice(0, 5), slice(5, 8)], LENGTH))
    torch.testing.assert_close(ends, rows[[4, 7]])


def test_nothing_is_added_without_an_item(memory):
    slots = torch.tensor([TOKEN, TOKEN])
    assert not memory(torch.zeros(2, HIDDEN), ages_of_prompts(slots, [slice(0, 2)], LENGTH)).any()


@pytest.fixture
def remembering(make_checkpoint, config):
    checkpoint = make_checkpoint(1, config.updated({"base.memory": LENGTH}))
    with torch.no_grad():  # as after training: not the same for every direction
        checkpoint.model.memory.follow += 0.5 * torch.randn_like(checkpoint.model.memory.follow)
    return checkpoint


def _scores_in_training(model, builder, history):
    """The scores of all codes at the end of a prompt, by the pass that training makes."""
    prompt = builder.prompt(history)
    batch = collate([[prompt]])
    with torch.no_grad():
        return torch.log_softmax(model.code_logits(model.final_states(batch)[0, len(prompt) - 1], 0), -1)


@pytest.mark.parametrize("history", [[], [4], [1, 2, 3, 4, 5]])
@pytest.mark.parametrize("layers", [True, False])
def test_lists_are_ranked_by_what_training_sees(remembering, history, layers):
    model, builder = remembering.model, remembering.builder
    model.reads_layers = layers
    items = range(len(remembering.catalogue))
    prompts = [builder.prompt(history), builder.prompt([7, 8])]
    found = beam_search.score(WeightCache(model), prompts, items, instruction=builder.prefix)[0]
    wanted = _scores_in_training(model, builder, history)[torch.from_numpy(model.ids.codes[:, 0])]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_new_memory_finds_what_is_like_the_last_item(make_checkpoint, config):
    checkpoint = make_checkpoint(1, config.updated({"base.memory": LENGTH}))
    model, builder = checkpoint.model, checkpoint.builder
    model.reads_layers = False
    with torch.no_grad():
        model.rows[int(model.codes[5, 0])] = model.rows[int(model.codes[3, 0])]
        for projector in model.projectors.values():
            projector.leave.weight.zero_()
    scores = beam_search.score(WeightCache(model), [builder.prompt([3])], range(len(checkpoint.catalogue)))[0]
    assert set(np.argsort(-scores)[:2].tolist()) == {3, 5}


def test_a_stage_without_layers_trains_the_memory_and_the_rows(remembering):
    model = remembering.model
    groups = parameter_groups(model, StageConfig(stage="rank", layers=False))
    names = {id(p): n for n, p in model.named_parameters()}
    trained = {names[id(p)] for group in groups for p in group["params"]}
    assert {"memory.follow", "memory.log_weights", "rows"} <= trained
    assert not any("lora" in name or "norm" in name for name in trained)


def test_a_checkpoint_holds_it(remembering, tmp_path):
    save_pretrained(remembering, tmp_path / "made")
    loaded = from_pretrained(tmp_path / "made", remembering.catalogue)
    torch.testing.assert_close(loaded.model.memory.follow, remembering.model.memory.follow, atol=1e-3, rtol=1e-3)


def test_what_vllm_adds_to_the_scores_is_the_same(remembering, tmp_path):
    """The exported model scores what the layers know; the logits processor adds the memory, from token ids alone."""
    export_vllm(remembering, tmp_path / "out")  # compares what the layers score
    served = Served.load(tmp_path / "out" / "rank")
    model, builder = remembering.model, remembering.builder
    layout = load_exported(tmp_path / "out", remembering.catalogue).layout
    for history in ([4], [1, 2, 3, 4, 5]):
        prompt = builder.prompt(history)
        batch = collate([[prompt]])
        with torch.no_grad():
            layers = model.code_logits(
                model.read(model.embed(batch), batch.positions, batch.mask)[0, len(prompt) - 1], 0
            )
        row = torch.zeros(layout.size)
        row[layout.words : layout.words + layout.codes] = layers
        ids = layout.ids(prompt, model.ids.codes).tolist()
        served.constrain(row, ids, Allowed())
        codes = row[layout.words : layout.words + layout.codes]
        torch.testing.assert_close(codes, _scores_in_training(model, builder, history), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("history", [[4, 7], [7, 1, 2, 3, 4], [4, 9, 4]])
def test_vectors_of_a_request_change_what_vllm_adds_as_they_change_lists(remembering, features, history, tmp_path):
    """Also those of an item that occurs twice, and not those of one that is older than what the memory reads."""
    export_vllm(remembering, tmp_path / "out")
    folder, model, items = tmp_path / "out" / "rank", remembering.model, range(len(remembering.catalogue))
    served = Served.load(folder)
    own = {4: {"image": features.vectors["image"][9] * 2}, 7: {"audio": features.vectors["audio"][5]}}
    prompt = remembering.builder.prompt(history)
    ids = load_exported(tmp_path / "out", remembering.catalogue).layout.ids(prompt, model.ids.codes).tolist()
    with stub("ranking_route") as route:
        inputs = route.SoftTokenInputs.load(str(folder), served)
    vectors = {item: {m: vector.tolist() for m, vector in by_kind.items()} for item, by_kind in own.items()}
    change = served.memory.change_of(inputs.remembered(ids, vectors))
    row = torch.zeros(served.level_starts[-1])  # the layers know nothing
    served.constrain(row, ids, Allowed(), change)
    model.reads_layers = False
    brought, plain = (
        beam_search.score(WeightCache(model), [replace(prompt, overrides=o)], items)[0] for o in (own, {})
    )
    ours = row[[served.item_token(item) for item in items]]
    torch.testing.assert_close(ours, torch.from_numpy(brought), atol=1e-3, rtol=1e-3)
    assert np.abs(brought - plain).max() > 1e-2
    assert inputs.remembered(ids, {}) is None


def test_it_needs_atomic_ids_and_a_stage_needs_it(config):
    with pytest.raises(ConfigError, match="base.memory needs one level"):
        config.updated({"base.memory": 4, "semantic_ids.levels": 2})
    with pytest.raises(ConfigError, match="layers: false trains base.memory"):
        config.updated({"training.stages": [{"stage": "rank", "layers": False}]})
    with pytest.raises(ConfigError, match="layers: false belongs to a stage rank"):
        config.updated({"base.memory": 4, "training.stages": [{"stage": "align", "layers": False}]})


def test_a_plain_model_has_no_place_for_it(remembering, tmp_path):
    with pytest.raises(ConfigError, match="base.memory"):
        merge(remembering, tmp_path / "merged")
