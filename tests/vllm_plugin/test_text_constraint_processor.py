"""The text constraints' logits processor: under both interfaces each row gets what a `TextConstraint` makes of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from recommender.constraints.text_constraint import TEXT_CONSTRAINT, TextConstraint, TokenPieces
from tests.conftest import byte_tokenizer
from tests.vllm_plugin.stub_vllm import SamplingParams, V2Context, stub, update

NAMES = TextConstraint(("The red story", "The blue night"))


@pytest.fixture(scope="module")
def tokenizer():
    return byte_tokenizer()


@pytest.fixture(scope="module")
def config(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return SimpleNamespace(model_config=SimpleNamespace(tokenizer=str(folder), model=str(folder)))


@pytest.fixture(scope="module")
def module():
    with stub("text_constraint_processor") as imported:
        yield imported


def params():
    return SamplingParams({TEXT_CONSTRAINT: json.dumps({"names": NAMES.names})})


def constrained(row, tokens, tokenizer):
    expected = row.clone()
    NAMES.constrain(expected, tokens, TokenPieces(tokenizer))
    return expected


def test_v1_constrains_what_a_request_has_generated_so_far(module, config, tokenizer):
    processor = module.TextConstraintProcessor(config, torch.device("cpu"), False)
    prompt, output = tokenizer.encode("Say it"), tokenizer.encode('Watch "The b')
    processor.update_state(update([(0, params(), prompt, output), (1, SamplingParams(), prompt, output)]))
    logits = torch.randn(2, len(tokenizer))
    before = logits.clone()
    processor.apply(logits)
    assert torch.equal(logits[1], before[1])
    assert torch.equal(logits[0], constrained(before[0], output, tokenizer))
    assert tokenizer.decode(int(logits[0].argmax())) == "l"  # of the two names only "The blue night" begins so


def test_v2_takes_what_follows_the_prompt(module, config, tokenizer):
    prompt, output = tokenizer.encode('A "prompt'), tokenizer.encode('Watch "The r')
    tokens = torch.zeros(2, 64, dtype=torch.int64)
    tokens[1, : len(prompt) + len(output)] = torch.tensor([*prompt, *output])
    states = SimpleNamespace(prompt_len=SimpleNamespace(np=[0, len(prompt)]), all_token_ids=SimpleNamespace(gpu=tokens))
    processor = module.TextConstraintProcessor(config, states)
    assert processor.add_request(1, params()) and not processor.add_request(0, SamplingParams())
    logits = torch.randn(2, len(tokenizer))
    before = logits.clone()
    processor.apply(logits, V2Context([1, 0], [len(prompt) + len(output) - 1, 0]))
    assert torch.equal(logits[1], before[1])
    assert torch.equal(logits[0], constrained(before[0], output, tokenizer))


def test_wrong_entries_are_refused(module):
    module.TextConstraintProcessor.validate_params(SamplingParams())
    module.TextConstraintProcessor.validate_params(params())
    with pytest.raises(ValueError, match=TEXT_CONSTRAINT):
        module.TextConstraintProcessor.validate_params(SamplingParams({TEXT_CONSTRAINT: 5}))
