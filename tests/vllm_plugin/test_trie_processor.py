"""The trie's logits processor: under both interfaces each row gets what `Served.constrain` makes of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recommender.vllm_plugin.served_folder import (
    EXTRA_ARGS_KEY,
    MEMORY_KEY,
    Allowed,
    Served,
    ServedMemory,
    write_served,
)
from tests.vllm_plugin.stub_vllm import SamplingParams, V2Context, stub, update

CODES = np.array([[0, 0, 0], [0, 1, 0], [0, 1, 1], [1, 0, 1]])
SIZES, FIRST_CODE, VOCABULARY = (2, 2, 2), 10, 20


@pytest.fixture(scope="module")
def module():
    with stub("trie_processor") as imported:
        yield imported


@pytest.fixture
def config(tmp_path):
    write_served(tmp_path, FIRST_CODE, SIZES, CODES)
    return SimpleNamespace(model_config=SimpleNamespace(model=tmp_path))


def params(**entry):
    return SamplingParams({EXTRA_ARGS_KEY: entry})


def expected(row, tokens, **allowed):
    constrained = row.clone()
    Served(FIRST_CODE, SIZES, CODES).constrain(constrained, tokens, Allowed(**allowed))
    return constrained


def test_v1_constrains_the_rows_of_requests_that_say_so(module, config):
    processor = module.TrieProcessor(config, torch.device("cpu"), False)
    output = [12]
    processor.update_state(
        update([(0, params(), [3, 10], []), (1, SamplingParams(), [3], []), (2, params(deny=[1]), [3, 10], output)])
    )
    logits = torch.randn(3, VOCABULARY)
    before = logits.clone()
    after = processor.apply(logits)
    assert after is logits and torch.equal(logits[1], before[1])
    assert torch.equal(logits[0], expected(before[0], [3, 10]))
    assert torch.equal(logits[2], expected(before[2], [3, 10, 12], deny=(1,)))
    output.append(14)  # vLLM hands over the list that it appends to
    logits = before.clone()
    processor.apply(logits)
    assert torch.equal(logits[2], expected(before[2], [12, 14], deny=(1,)))


def test_v1_follows_requests_that_go_and_move(module, config):
    processor = module.TrieProcessor(config, torch.device("cpu"), False)
    processor.update_state(update([(0, params(), [3], []), (1, params(only=[3]), [3], [])]))
    processor.update_state(update(removed=[0], moved=[(1, 0)]))
    logits = torch.randn(2, VOCABULARY)
    before = logits.clone()
    processor.apply(logits)
    assert torch.equal(logits[0], expected(before[0], [3], only=(3,))) and torch.equal(logits[1], before[1])


def test_v2_finds_the_tokens_of_a_slot_in_the_runners_buffers(module, config):
    tokens = torch.zeros(4, 8, dtype=torch.int64)
    tokens[2, :3] = torch.tensor([3, 10, 13])
    tokens[3, :2] = torch.tensor([3, 11])
    processor = module.TrieProcessor(config, SimpleNamespace(all_token_ids=SimpleNamespace(gpu=tokens)))
    assert processor.add_request(2, params(deny=[2])) and processor.add_request(3, params())
    assert not processor.add_request(0, SamplingParams())
    logits = torch.randn(3, VOCABULARY)
    before = logits.clone()
    processor.apply(logits, V2Context([3, 0, 2], [1, 0, 2]))
    assert torch.equal(logits[0], expected(before[0], [3, 11])) and torch.equal(logits[1], before[1])
    assert torch.equal(logits[2], expected(before[2], [3, 10, 13], deny=(2,)))
    assert not processor.add_request(3, SamplingParams())  # the slot's next request is free
    logits = before.clone()
    processor.apply(logits, V2Context([3], [1]))
    assert torch.equal(logits, before)


def test_wrong_entries_are_refused_before_a_request_is_taken(module):
    module.TrieProcessor.validate_params(SamplingParams())
    module.TrieProcessor.validate_params(params(deny=[10**6]))  # how many items there are is not known here
    for entry in ({"deny": "all"}, {"hide": [1]}, {"only": [-1]}):
        with pytest.raises(ValueError, match="recommender"):
            module.TrieProcessor.validate_params(params(**entry))


@pytest.fixture
def remembering(tmp_path):
    """A folder with a memory of two items, one code an item, states of two numbers."""
    write_served(tmp_path, FIRST_CODE, (4,), np.arange(4)[:, None])
    ServedMemory(torch.randn(4, 2), torch.tensor([1.0, 0.5]), torch.eye(2)).save(tmp_path)
    return SimpleNamespace(model_config=SimpleNamespace(model=tmp_path))


def test_what_a_requests_own_vectors_change_reaches_the_memory_of_that_request_alone(module, remembering):
    served, change = Served.load(remembering.model_config.model), torch.tensor([3.0, -2.0])
    asked = SamplingParams({EXTRA_ARGS_KEY: {}, MEMORY_KEY: change.numpy().tobytes()})
    first = module.TrieProcessor(remembering, torch.device("cpu"), False)
    first.update_state(update([(0, asked, [3, 11, 12], []), (1, params(), [3, 11, 12], [])]))
    slots = torch.tensor([[3, 11, 12]] * 2)
    second = module.TrieProcessor(remembering, SimpleNamespace(all_token_ids=SimpleNamespace(gpu=slots)))
    assert second.add_request(0, asked) and second.add_request(1, params())
    expected = [torch.zeros(VOCABULARY), torch.zeros(VOCABULARY)]
    served.constrain(expected[0], [11, 12], Allowed(), change)
    served.constrain(expected[1], [11, 12], Allowed())
    assert not torch.equal(expected[0], expected[1])
    for found in (
        first.apply(torch.zeros(2, VOCABULARY)),
        second.apply(torch.zeros(2, VOCABULARY), V2Context([0, 1], [2, 2])),
    ):
        assert torch.equal(found, torch.stack(expected))
    for broken in ("text", [1.0]):
        with pytest.raises(ValueError, match="recommender_memory"):
            module.TrieProcessor.validate_params(SamplingParams({EXTRA_ARGS_KEY: {}, MEMORY_KEY: broken}))
    with pytest.raises(ValueError, match="2 float32 numbers"):
        served.memory.change_of(b"1234")


def test_a_whole_batch_is_scored_in_one_way(module, config):
    processor = module.WholeBatch(config, torch.device("cpu"), False)
    processor.update_state(update([(0, SamplingParams(), [3, 10], []), (1, SamplingParams(), None, [11])]))
    logits = torch.randn(2, VOCABULARY)
    before = logits.clone()
    processor.apply(logits)
    assert torch.equal(logits[0], expected(before[0], [3, 10])) and torch.equal(logits[1], expected(before[1], [11]))
    module.WholeBatch.free = True
    logits = before.clone()
    torch.testing.assert_close(processor.apply(logits), torch.log_softmax(before, -1))
