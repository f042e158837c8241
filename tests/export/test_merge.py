"""Merging: the plain folders compute what the checkpoint computes, and nothing is written if they do not."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from recommender.adapters.lora import EXPLAIN, RANK
from recommender.errors import CheckpointError, ConfigError
from recommender.export.merge import merge
from recommender.inference import beam_search
from recommender.inference.weight_cache import WeightCache
from recommender.model.checkpoint import save_pretrained


@pytest.fixture
def trained(make_checkpoint):
    """A checkpoint whose LoRA and projectors do something: they start at or near zero."""

    def make(levels=1, settings=None):
        checkpoint = make_checkpoint(levels, settings) if settings else make_checkpoint(levels)
        torch.manual_seed(2)
        with torch.no_grad():
            for name, parameter in checkpoint.model.named_parameters():
                if "lora_" in name or name.startswith("projectors."):
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        return checkpoint

    return make


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize("levels", [1, 3])
def test_a_plain_model_ranks_as_the_checkpoint_does(trained, config, tmp_path, levels, scale):
    checkpoint = trained(levels, config.updated({"base.item_scale": scale}))
    report = merge(checkpoint, tmp_path / "plain")
    assert report.rank_difference < 1e-3 and report.tied is (levels == 1)
    llm = AutoModelForCausalLM.from_pretrained(tmp_path / "plain" / "rank")
    entries = json.loads((tmp_path / "plain" / "items.json").read_text())
    assert [e["item_id"] for e in entries] == [item.item_id for item in checkpoint.catalogue]
    # a history of untitled items, told in the merged vocabulary alone
    words = np.concatenate([checkpoint.builder.prefix, checkpoint.builder.start]).tolist()
    history = [4, 9, 2]
    prompt = [*words, *(entries[i]["history"] for i in history)]
    expected = beam_search.score(
        WeightCache(checkpoint.model), [checkpoint.builder.prompt(history, titled=0)], range(20)
    )[0]
    sizes, codes = checkpoint.model.ids.sizes, checkpoint.model.ids.codes
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]) + checkpoint.model.vocabulary
    for item in range(20):
        ids = torch.tensor([[*prompt, *entries[item]["codes"][:-1]]])
        logits = llm(input_ids=ids).logits[0, len(prompt) - 1 :].detach()
        levels_ = [
            torch.log_softmax(logits[level, start : start + size], -1)[code]
            for level, (start, size, code) in enumerate(zip(starts, sizes, codes[item], strict=True))
        ]
        assert float(sum(levels_)) == pytest.approx(float(expected[item]), abs=1e-4)


def test_titled_items_and_soft_tokens_are_ordinary_tokens(trained, tmp_path):
    checkpoint = trained()
    merge(checkpoint, tmp_path / "plain")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "plain" / "rank")
    llm = AutoModelForCausalLM.from_pretrained(tmp_path / "plain" / "rank")
    entries = json.loads((tmp_path / "plain" / "items.json").read_text())
    builder, item = checkpoint.builder, 7
    title = tokenizer(builder.title(item), add_special_tokens=False)["input_ids"]
    own = entries[item]["history"]
    ids = [*builder.prefix, *builder.start, *title, *entries[item]["soft"], own]
    first = checkpoint.model.vocabulary
    logits = llm(input_ids=torch.tensor([ids])).logits[0, -1, first : first + 20]
    expected = beam_search.score(WeightCache(checkpoint.model), [builder.prompt([item], titled=1)], range(20))[0]
    np.testing.assert_allclose(torch.log_softmax(logits, -1).detach(), expected, atol=1e-3)
    # the tokenizer spells every row, so a prompt may be given as text
    text = tokenizer.decode(ids)
    assert tokenizer(text, add_special_tokens=False)["input_ids"][-4:] == ids[-4:]


def test_the_writing_model_holds_its_own_lora(trained, tmp_path):
    checkpoint = trained()
    merge(checkpoint, tmp_path / "plain")
    llm = AutoModelForCausalLM.from_pretrained(tmp_path / "plain" / "write")
    ids = torch.tensor([[3, 5, 8]])
    checkpoint.model.use_adapter(EXPLAIN)
    expected = checkpoint.model.llm(input_ids=ids).logits
    checkpoint.model.use_adapter(RANK)
    torch.testing.assert_close(llm(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(checkpoint.model.llm(input_ids=ids).logits, expected, atol=1e-3)


def test_merging_leaves_the_checkpoint_as_it_was(trained, tmp_path):
    checkpoint = trained()
    before = {n: p.clone() for n, p in checkpoint.model.named_parameters()}
    merge(checkpoint, tmp_path / "plain")
    assert all(torch.equal(p, before[n]) for n, p in checkpoint.model.named_parameters())


def test_a_merge_that_computes_something_else_is_not_written(trained, tmp_path, monkeypatch):
    checkpoint = trained()
    target = tmp_path / "plain"
    target.mkdir()
    (target / "items.json").write_text("an earlier merge")
    load = AutoModelForCausalLM.from_pretrained

    def damaged(*args, **kwargs):
        llm = load(*args, **kwargs)
        llm.model.norm.weight.data.mul_(1.5)
        return llm

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", damaged)
    with pytest.raises(CheckpointError, match="differ by .* nothing was written"):
        merge(checkpoint, target)
    assert [p.name for p in tmp_path.iterdir()] == ["plain"] and (
        target / "items.json"
    ).read_text() == "an earlier merge"


def test_a_bfloat16_model_is_merged_in_float32(trained, config, tmp_path):
    report = merge(trained(settings=config.updated({"base.dtype": "bfloat16"})), tmp_path / "plain")
    assert max(report.rank_difference, report.write_difference) < 1e-3
    for part in ("rank", "write"):
        assert AutoModelForCausalLM.from_pretrained(tmp_path / "plain" / part, dtype="auto").dtype == torch.float32


@pytest.mark.parametrize("target", ["mine", "."])
def test_what_is_no_merge_is_never_replaced(trained, tmp_path, target):
    checkpoint = trained()
    save_pretrained(checkpoint, tmp_path / "mine")
    with pytest.raises(CheckpointError, match="a folder with other things in it"):
        merge(checkpoint, tmp_path / target)
    assert (tmp_path / "mine" / "adapter.safetensors").exists()
    merge(checkpoint, tmp_path / "plain")
    merge(checkpoint, tmp_path / "plain")  # a merge may be made again


def test_a_four_bit_base_is_refused(trained, config, tmp_path):
    checkpoint = trained()
    checkpoint.config = config.updated({"base.load_in_4bit": True})
    with pytest.raises(ConfigError, match="4-bit"):
        merge(checkpoint, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()
