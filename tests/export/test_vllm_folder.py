"""The folder for vLLM: what it holds, that prompts made from it are the checkpoint's, and what is refused."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.engine.vllm import VllmOptions, VllmRecommender
from recommender.errors import CheckpointError, ConfigError
from recommender.export.merge import item_positions
from recommender.export.projectors_export import ITEMS_WEIGHTS
from recommender.export.vllm_folder import MARKER, export_vllm, is_export, load_exported
from recommender.justify.companions import Companions
from recommender.vllm_plugin.served_folder import Allowed, Served


@pytest.fixture(params=[1, 3], ids=["atomic", "three levels"])
def exported(request, make_checkpoint, tmp_path):
    checkpoint = make_checkpoint(request.param)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in checkpoint.model.named_parameters():
            if "lora_" in name or name.startswith("projectors."):
                parameter.add_(torch.randn_like(parameter) * 0.1)
    steps = []
    report = export_vllm(checkpoint, tmp_path / "out", lambda what, done, total: steps.append((done, total)))
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    return checkpoint, tmp_path / "out", report


def test_bases_adapters_and_prompts_lie_where_they_are_looked_for(exported):
    checkpoint, folder, report = exported
    assert is_export(folder) and not is_export(folder / "rank")
    assert {path.name for path in folder.iterdir()} >= {"rank", "write", "lora", "prompting", "items.json", MARKER}
    assert {path.name for path in (folder / "lora").iterdir() if path.is_dir()} == {"rank", "explain"}
    assert max(report.rank_difference, report.write_difference) < 1e-3
    weights = load_file(folder / "rank" / "projectors.safetensors")
    torch.testing.assert_close(
        weights["projectors.image.enter.weight"], checkpoint.model.projectors["image"].enter.weight
    )
    torch.testing.assert_close(weights["centre"], checkpoint.model.centre)


def test_prompts_from_the_folder_are_those_of_the_checkpoint(exported, catalogue):
    checkpoint, folder, report = exported
    loaded = load_exported(folder, catalogue)
    assert loaded.config == checkpoint.config and loaded.layout.words == checkpoint.model.vocabulary
    assert np.array_equal(loaded.ids.codes, checkpoint.model.ids.codes)
    for history, query in (([], None), ([3, 1, 4], None), ([5], "a red comedy")):
        ours, theirs = (builder.prompt(history, query) for builder in (checkpoint.builder, loaded.builder))
        for name in ("tokens", "items", "slots"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))
    names = set(loaded.features.vectors)
    assert names == set(checkpoint.model.features.vectors) and report.vocabulary > loaded.layout.words


def test_the_writing_base_with_its_adapter_writes_as_the_checkpoint(exported):
    checkpoint, folder, _ = exported
    base = AutoModelForCausalLM.from_pretrained(folder / "write")
    writer = PeftModel.from_pretrained(base, folder / "lora" / "explain").eval()
    ids = torch.tensor([[3, 5, 8]])
    checkpoint.model.use_adapter("explain")
    with torch.no_grad():
        torch.testing.assert_close(
            writer(input_ids=ids).logits, checkpoint.model.llm(input_ids=ids).logits, atol=1e-4, rtol=1e-4
        )
    checkpoint.model.use_adapter("rank")


def test_another_catalogue_and_other_prompts_are_refused(exported, catalogue, monkeypatch):
    _, folder, _ = exported
    with pytest.raises(CheckpointError, match="exported for another catalogue"):
        load_exported(folder, Catalogue(catalogue[:19]))
    monkeypatch.setattr(prompts, "template_hash", lambda *names: "other")
    with pytest.raises(CheckpointError, match="other prompts") as error:
        load_exported(folder, catalogue)
    assert error.value.hint == "export again"


def test_a_damaged_file_is_named(exported, catalogue):
    _, folder, _ = exported
    (folder / MARKER).write_text(json.dumps({"format": 2}))
    with pytest.raises(CheckpointError, match=f"{MARKER} is damaged"):
        load_exported(folder, catalogue)


def test_what_cannot_be_exported_is_refused_before_anything_is_written(make_checkpoint, config, tmp_path):
    checkpoint = make_checkpoint()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="other things in it"):
        export_vllm(checkpoint, tmp_path / "mine")
    checkpoint.config = config.updated({"base.load_in_4bit": True})
    with pytest.raises(ConfigError, match="4-bit"):
        export_vllm(checkpoint, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_knows_whether_its_writer_was_trained_and_starts_no_server_that_nobody_asks(
    make_checkpoint, catalogue, tmp_path
):
    export_vllm(make_checkpoint(), tmp_path / "out")
    for prompts_ in ("as recorded", prompts.template_hash()):  # earlier versions recorded the hash of no template
        if prompts_ != "as recorded":
            manifest = json.loads((tmp_path / "out" / "checkpoint.json").read_text())
            (tmp_path / "out" / "checkpoint.json").write_text(json.dumps(manifest | {"prompts": prompts_}))
        loaded = load_exported(tmp_path / "out", catalogue)
        assert "never trained" in str(loaded.plain_because)
    engine = VllmRecommender(loaded, VllmOptions(rank_url="http://127.0.0.1:9"))
    assert not engine.writes and engine.started == [] and engine.addresses() == {"vLLM ranks at": "http://127.0.0.1:9"}
    assert "the sentences are plain: the writing adapter was never trained" in str(engine.plain_note)
    assert engine.score_prompts([engine.builder.prompt([1])], []).shape == (1, 0)
    engine.close()


def test_a_trained_writer_of_this_or_other_prompts(exported, catalogue):
    checkpoint, folder, _ = exported
    assert load_exported(folder, catalogue).plain_because is None
    manifest = json.loads((folder / "checkpoint.json").read_text())
    assert manifest["prompts"] == checkpoint.prompts
    stale = manifest | {"prompts": manifest["prompts"] | {"explain": "0" * 64}}
    (folder / "checkpoint.json").write_text(json.dumps(stale))
    assert "other prompts" in str(load_exported(folder, catalogue).plain_because)


def test_what_many_had_together_comes_along(make_checkpoint, catalogue, tmp_path):
    checkpoint = make_checkpoint()
    others = np.full((len(catalogue), 1), 4, np.int16)
    checkpoint.companions = Companions(others, others + 5, liked=True)
    export_vllm(checkpoint, tmp_path / "out")
    engine = VllmRecommender(load_exported(tmp_path / "out", catalogue), VllmOptions(rank_url="http://127.0.0.1:9"))
    assert engine.setup.companions.among(0, [3, 4]) == ((4, 9),) and engine.style.liked and engine.checker.liked
    engine.close()


def test_items_of_several_codes_are_no_rows_of_the_vocabulary(exported, catalogue):
    checkpoint, folder, report = exported
    model, levels = checkpoint.model, checkpoint.model.ids.levels
    loaded, rows = load_exported(folder, catalogue).layout, load_file(folder / "rank" / "model.safetensors")
    assert report.vocabulary == loaded.size == len(rows["model.embed_tokens.weight"])
    assert loaded.size == model.vocabulary + sum(model.ids.sizes) + 3
    assert (folder / "rank" / ITEMS_WEIGHTS).is_file() == loaded.items_beside == (levels > 1)
    if levels > 1:
        torch.testing.assert_close(load_file(folder / "rank" / ITEMS_WEIGHTS)["items.weight"], item_positions(model))
    entries = json.loads((folder / "items.json").read_text())
    assert [entry["codes"] for entry in entries] == (model.vocabulary + model.codes).tolist()
    served = Served.load(folder / "rank")
    assert [entry["history"] for entry in entries] == [served.item_token(item) for item in range(20)]


def test_a_tokenizer_that_knows_the_words_only_comes_with_each_base(exported):
    checkpoint, folder, _ = exported
    for part in ("rank", "write"):
        assert len(AutoTokenizer.from_pretrained(folder / part)) == len(checkpoint.tokenizer)


def test_what_may_be_shown_goes_to_vllm_in_the_shortest_way(make_checkpoint, catalogue, tmp_path, monkeypatch):
    export_vllm(make_checkpoint(), tmp_path / "out")
    engine = VllmRecommender(load_exported(tmp_path / "out", catalogue), VllmOptions(rank_url="http://127.0.0.1:9"))
    monkeypatch.setattr("recommender.engine.vllm.LISTED", 4)
    for count, key in ((3, "only"), (17, "deny"), (20, "deny"), (9, "bits")):
        allowed = np.arange(len(catalogue)) < count
        field = engine._prompt_field(engine.builder.prompt([1]), allowed)
        assert set(field) == {"ids", key}
        said = {"bits": base64.b64decode(field[key])} if key == "bits" else {key: field[key]}
        assert np.array_equal(Allowed.of(said, len(catalogue)).table(len(catalogue)), allowed)
    engine.close()
