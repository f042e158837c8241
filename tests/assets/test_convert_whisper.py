"""Whisper out of CTranslate2's format: computes the same, and hears what is spoken."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from recommender import assets
from recommender.errors import RecommenderError


def ctranslate2_arrays(model) -> dict[str, np.ndarray]:
    """Name a Whisper model's parameters as CTranslate2 does, with its fused matrices."""
    import torch

    def norm(prefix, layer):
        return {f"{prefix}/layer_norm/gamma": layer.weight, f"{prefix}/layer_norm/beta": layer.bias}

    def linear(prefix, *layers):
        biases = [torch.zeros(len(x.weight)) if x.bias is None else x.bias for x in layers]
        return {f"{prefix}/weight": torch.cat([x.weight for x in layers]), f"{prefix}/bias": torch.cat(biases)}

    arrays = norm("encoder", model.encoder.ln_post) | norm("decoder", model.decoder.ln)
    for name in ("conv1", "conv2"):
        arrays |= {f"encoder/{name}/{key}": value for key, value in getattr(model.encoder, name).named_parameters()}
    arrays["encoder/position_encodings/encodings"] = model.encoder.positional_embedding
    arrays["decoder/position_encodings/encodings"] = model.decoder.positional_embedding
    arrays["decoder/embeddings/weight"] = model.decoder.token_embedding.weight
    for part in ("encoder", "decoder"):
        for i, block in enumerate(getattr(model, part).blocks):
            p, a, c = f"{part}/layer_{i}", block.attn, block.cross_attn
            arrays |= norm(f"{p}/self_attention", block.attn_ln) | norm(f"{p}/ffn", block.mlp_ln)
            arrays |= linear(f"{p}/self_attention/linear_0", a.query, a.key, a.value)
            arrays |= linear(f"{p}/self_attention/linear_1", a.out)
            arrays |= linear(f"{p}/ffn/linear_0", block.mlp[0]) | linear(f"{p}/ffn/linear_1", block.mlp[2])
            if c is not None:
                arrays |= norm(f"{p}/attention", block.cross_attn_ln) | linear(f"{p}/attention/linear_0", c.query)
                arrays |= linear(f"{p}/attention/linear_1", c.key, c.value) | linear(f"{p}/attention/linear_2", c.out)
    named = {name: tensor.detach().numpy().astype(np.float16) for name, tensor in arrays.items()}
    heads = {"encoder": model.dims.n_audio_head, "decoder": model.dims.n_text_head}
    return named | {f"{part}/num_heads": np.array(count, dtype=np.int16) for part, count in heads.items()}


def ctranslate2_bytes(arrays: dict[str, np.ndarray], version: int = 6) -> bytes:
    def word(text):
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    kinds = {np.dtype(np.int16): 2, np.dtype(np.float16): 4}
    out = struct.pack("<I", version) + word("WhisperSpec") + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        out += word(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        out += struct.pack("<BI", kinds[array.dtype], array.nbytes) + array.tobytes()
    return out + struct.pack("<I", 1) + word("decoder/projection/weight") + word("decoder/embeddings/weight")


def test_speech_conversion_computes_what_whisper_does(tmp_path):
    import torch
    import whisper
    from whisper.model import ModelDimensions, Whisper

    from recommender.assets import convert_whisper

    torch.manual_seed(2)
    # in whisper's order: mels, then context, width, heads and layers of the encoder, then the decoder's
    dims = ModelDimensions(4, 6, 8, 2, 2, 11, 5, 8, 4, 3)
    model = Whisper(dims).eval()
    for tensor in model.state_dict().values():
        tensor.copy_(torch.randn_like(tensor).half())
    (tmp_path / "model.bin").write_bytes(ctranslate2_bytes(ctranslate2_arrays(model)))
    convert_whisper.convert(tmp_path, tmp_path)
    loaded = whisper.load_model(str(tmp_path / "tiny.en.pt"), device="cpu").eval()
    assert loaded.dims == dims
    mel, tokens = torch.randn(1, 4, 12), torch.tensor([[1, 5, 9]])
    with torch.inference_mode():
        torch.testing.assert_close(loaded(mel, tokens), model(mel, tokens))
    (tmp_path / "model.bin").write_bytes(ctranslate2_bytes({}, version=5))
    with pytest.raises(ValueError, match="version 6, found WhisperSpec of version 5"):
        convert_whisper.read_model(tmp_path / "model.bin")


@pytest.mark.assets
def test_whisper_hears_what_is_spoken():
    import scipy.signal
    import whisper

    from recommender.data.spoken_titles import speaker

    try:
        speak = speaker()
    except RecommenderError as error:
        pytest.skip(error.message)
    samples, rate = speak("Today is a very beautiful day.", "en-us", 50, 150)
    samples = scipy.signal.resample_poly(np.asarray(samples, dtype=np.float32), 16_000, rate).astype(np.float32)
    samples /= np.abs(samples).max()
    model = whisper.load_model(str(assets.fetch("whisper-tiny.en") / "tiny.en.pt"), device="cpu")
    heard = model.transcribe(samples, fp16=False, temperature=0.0)["text"].lower()
    assert "beautiful day" in heard
