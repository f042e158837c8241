"""Checkpoints: what is saved is loaded, and what does not fit is refused by name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.errors import CheckpointError
from recommender.inference import beam_search
from recommender.inference.weight_cache import WeightCache
from recommender.model import checkpoint
from recommender.model.checkpoint import TEMPLATE_SELECTION, from_pretrained, save_pretrained


def scores(checkpoint, history):
    prompts = [checkpoint.builder.prompt(history)]
    return beam_search.score(WeightCache(checkpoint.model), prompts, range(len(checkpoint.catalogue)))[0]


@pytest.mark.parametrize("levels", [1, 3])
def test_a_saved_checkpoint_ranks_the_same(make_checkpoint, catalogue, tmp_path, levels):
    made = make_checkpoint(levels)
    save_pretrained(made, tmp_path / "saved")
    loaded = from_pretrained(tmp_path / "saved", catalogue)
    np.testing.assert_allclose(scores(made, [1, 2, 3]), scores(loaded, [1, 2, 3]), atol=2e-2)
    save_pretrained(loaded, tmp_path / "again")
    again = from_pretrained(tmp_path / "again", catalogue)
    np.testing.assert_array_equal(scores(loaded, [1, 2, 3]), scores(again, [1, 2, 3]))


def test_a_checkpoint_whose_vectors_stay_in_their_file_ranks_the_same(
    make_checkpoint, catalogue, tmp_path, monkeypatch
):
    save_pretrained(make_checkpoint(), tmp_path / "saved")
    whole = from_pretrained(tmp_path / "saved", catalogue)
    monkeypatch.setattr("recommender.encoders.features.LARGE", 0)
    mapped = from_pretrained(tmp_path / "saved", catalogue)
    assert isinstance(mapped.model.features.vectors["text"], np.memmap)
    np.testing.assert_array_equal(scores(mapped, [1, 2, 3]), scores(whole, [1, 2, 3]))
    assert mapped.model.vectors_text.dtype == torch.float16  # as in the file: no second copy
    save_pretrained(mapped, tmp_path / "again")
    again, first = (tmp_path / name / "features.safetensors" for name in ("again", "saved"))
    assert again.read_bytes() == first.read_bytes()


def test_the_card_says_what_it_was_made_from(make_checkpoint, tmp_path):
    made = make_checkpoint()
    made.metrics = {"name": "tiny", "stages": [{"stage": "rank", "steps": 3, "minutes": 0.5, "validation": 0.1}]}
    save_pretrained(made, tmp_path / "saved")
    card = (tmp_path / "saved" / "README.md").read_text()
    for part in ("# tiny", "| rank | 3 | 0.5 | 0.1000 |", "MovieLens: research", "one token an item", "20 films"):
        assert part in card


def test_a_missing_or_damaged_file_is_named(make_checkpoint, catalogue, tmp_path):
    save_pretrained(make_checkpoint(), tmp_path / "saved")
    (tmp_path / "saved" / "features.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="features.safetensors is damaged"):
        from_pretrained(tmp_path / "saved", catalogue)
    (tmp_path / "saved" / "features.safetensors").unlink()
    with pytest.raises(CheckpointError, match="features.safetensors is missing"):
        from_pretrained(tmp_path / "saved", catalogue)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        from_pretrained(tmp_path / "nowhere", catalogue)


def test_another_catalogue_is_refused(make_checkpoint, catalogue, tmp_path):
    save_pretrained(make_checkpoint(), tmp_path / "saved")
    with pytest.raises(CheckpointError, match="another catalogue"):
        from_pretrained(tmp_path / "saved", Catalogue(catalogue[:19]))


def test_of_another_catalogue_with_the_same_ids_it_is_said_what_differs(make_checkpoint, catalogue, tmp_path):
    folder, checkpoint = tmp_path / "saved", make_checkpoint()
    checkpoint.config = checkpoint.config.updated({"data.facts": {"table": "told.csv"}})
    save_pretrained(checkpoint, folder)

    def said(*items):
        with pytest.raises(CheckpointError, match="made for another catalogue") as caught:
            from_pretrained(folder, Catalogue(items))
        assert "ids of its 20 items are the same" in caught.value.message
        return f"{caught.value.message}; {caught.value.hint}"

    first, *rest = catalogue
    assert "in another order" in said(*rest, first)
    changed = said(*(replace(i, title="x", attributes={"mood": ("calm",)}) for i in catalogue))
    assert "other values in 'title'; no longer a column" in changed and "new is 'mood'" in changed
    facts = json.loads((folder / "checkpoint.json").read_text())
    del facts["catalogue"]["columns"]  # as earlier versions wrote it
    (folder / "checkpoint.json").write_text(json.dumps(facts))
    older = said(replace(first, title="x"), *rest)
    assert "titles, tags or other attributes changed; the table of items" in older
    assert "data.items" in older and "data.facts.table (told.csv) has changed" in older


def _with_prompts(folder, known):
    facts = json.loads((folder / "checkpoint.json").read_text())
    (folder / "checkpoint.json").write_text(json.dumps(facts | {"prompts": known}))


def with_trained_writing(checkpoint):
    """Return the checkpoint with a writing adapter that changes something."""
    with torch.no_grad():
        for name, parameter in checkpoint.model.named_parameters():
            if "lora_B.explain" in name:
                parameter.add_(0.01)
    return checkpoint


def test_a_checkpoint_with_other_prompts_of_justifications_still_ranks(make_checkpoint, catalogue, tmp_path):
    folder = tmp_path / "saved"
    save_pretrained(with_trained_writing(make_checkpoint()), folder)
    assert from_pretrained(folder, catalogue).writes
    _with_prompts(folder, prompts.template_hashes() | {"explain": "0" * 64})
    stale = from_pretrained(folder, catalogue)
    assert not stale.writes and "trained on other prompts" in str(stale.plain_because)
    save_pretrained(stale, folder)  # what was learned is not made newer by saving it
    assert not from_pretrained(folder, catalogue).writes


def test_a_writing_adapter_that_was_never_trained_must_not_be_used(make_checkpoint, catalogue, tmp_path):
    """Also where the manifest names its prompts, as those of earlier versions do: then its weights tell."""
    folder = tmp_path / "saved"
    save_pretrained(make_checkpoint(), folder)
    assert "explain" in json.loads((folder / "checkpoint.json").read_text())["prompts"]
    loaded = from_pretrained(folder, catalogue)
    assert not loaded.writes and "never trained" in str(loaded.plain_because)
    save_pretrained(loaded, folder)
    assert set(json.loads((folder / "checkpoint.json").read_text())["prompts"]) == {"rank"}
    assert not from_pretrained(folder, catalogue).writes
    _with_prompts(folder, "ca79a9446af34b7a933d01e85de05a780e81bcb8f74380e072674e482ff0a507")  # one hash of all
    assert not checkpoint.writing_prompts({"explain": "0" * 64}, load_file(folder / "adapter.safetensors"))


@pytest.mark.parametrize("name", ["movielens-100k", "movielens-1m"])
def test_the_shipped_adapters_write(name):
    folder = checkpoint.resolve(name)
    recorded = json.loads((folder / "checkpoint.json").read_text())["prompts"]
    tensors = {n: t for n, t in load_file(folder / "adapter.safetensors").items() if ".explain." in n}
    assert checkpoint.plain_because(checkpoint.writing_prompts(recorded, tensors)) is None


@pytest.mark.parametrize("known", [{"rank": "0" * 64}, "0" * 64, None])
def test_other_prompts_of_ranking_are_refused(make_checkpoint, catalogue, tmp_path, known):
    folder = tmp_path / "saved"
    save_pretrained(make_checkpoint(), folder)
    _with_prompts(folder, known)
    with pytest.raises(CheckpointError, match="other prompts"):
        from_pretrained(folder, catalogue)


def test_an_interrupted_save_leaves_the_old_checkpoint(make_checkpoint, tmp_path, monkeypatch):
    made = make_checkpoint()
    save_pretrained(made, tmp_path / "saved")
    before = json.loads((tmp_path / "saved" / "checkpoint.json").read_text())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recommender.model.checkpoint.write_card", full)
    with pytest.raises(OSError, match="No space"):
        save_pretrained(made, tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "checkpoint.json").read_text()) == before
    assert [p.name for p in tmp_path.iterdir()] == ["saved"]


def test_every_file_is_described_and_listed_in_the_manifest(make_checkpoint, tmp_path):
    save_pretrained(make_checkpoint(), tmp_path / "saved")
    files = {path.name for path in (tmp_path / "saved").iterdir()}
    manifest = json.loads((tmp_path / "saved" / "checkpoint.json").read_text())
    assert set(manifest["files"]) == files - {"checkpoint.json"}
    assert all(f"| {name} |" in checkpoint.__doc__ for name in files)


def test_a_checkpoint_holds_what_is_trained_and_nothing_of_the_base(make_checkpoint, tmp_path):
    made = make_checkpoint()
    save_pretrained(made, tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "adapter.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float16}
    assert all("lora_" in n or n.split(".")[0] in ("rows", "projectors", "rank_norm") for n in saved)
    assert saved["projectors.image.enter.weight"].shape == (256, 6) and saved["rows"].shape == (20, 32)


def test_measurements_are_added_to_metrics_and_card(make_checkpoint, catalogue, tmp_path):
    folder = tmp_path / "saved"
    save_pretrained(make_checkpoint(), folder)
    ranking = {"protocol": "leave-one-out", "rows": [{"model": "mine", "recall": ".2", "ndcg": ".1"}]}
    checkpoint.record(folder, "ranking", ranking)
    assert "| mine | .2 | .1 |" in (folder / "README.md").read_text()
    assert from_pretrained(folder, catalogue).metrics == {"ranking": ranking}  # every sha256 is that of the new files


def test_former_keys_of_metrics_are_read(make_checkpoint, catalogue, tmp_path):
    folder = tmp_path / "saved"
    made = make_checkpoint()
    made.metrics = {"wordings": {"shared.0": [12, 12]}, "name": "old"}
    save_pretrained(made, folder)
    assert from_pretrained(folder, catalogue).metrics == {TEMPLATE_SELECTION: {"shared.0": [12, 12]}, "name": "old"}
    checkpoint.record(folder, "more", 1)
    assert set(json.loads((folder / "metrics.json").read_text())) == {TEMPLATE_SELECTION, "name", "more"}


def test_a_copy_may_hold_one_more_file(make_checkpoint, catalogue, tmp_path):
    folder, copy = tmp_path / "saved", tmp_path / "copy"
    save_pretrained(make_checkpoint(), folder)
    checkpoint.save_copy_with(folder, copy, {"extra.txt": lambda path: path.write_text("more")}, {"told": 1})
    assert json.loads((copy / "metrics.json").read_text())["told"] == 1
    assert (copy / "extra.txt").read_text() == "more" and not (folder / "extra.txt").exists()
    assert len(from_pretrained(copy, catalogue).catalogue) == 20
    checkpoint.save_copy_with(copy, copy, {"extra.txt": lambda path: path.write_text("else")}, {})
    assert (copy / "extra.txt").read_text() == "else"


def test_ids_of_the_items_are_known_without_loading_the_model(make_checkpoint, catalogue, tmp_path):
    save_pretrained(make_checkpoint(), tmp_path / "saved")
    assert checkpoint.item_ids_of(tmp_path / "saved") == list(catalogue.item_ids)


def test_weights_of_another_shape_are_refused_by_name(make_checkpoint, config, catalogue, tmp_path):
    save_pretrained(make_checkpoint(), tmp_path / "saved")
    path = tmp_path / "saved" / "config.yaml"
    path.write_text(path.read_text().replace("  r: 4\n", "  r: 2\n"))
    manifest = json.loads((tmp_path / "saved" / "checkpoint.json").read_text())
    manifest["files"]["config.yaml"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "saved" / "checkpoint.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="does not fit the base model and config .*lora_A"):
        from_pretrained(tmp_path / "saved", catalogue)


@pytest.mark.parametrize("known", [1, "two", None])
def test_another_format_is_refused(make_checkpoint, catalogue, tmp_path, known):
    save_pretrained(make_checkpoint(), tmp_path / "saved")
    path = tmp_path / "saved" / "checkpoint.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": known}))
    with pytest.raises(CheckpointError, match=f"has format {known}, this version reads 2"):
        from_pretrained(tmp_path / "saved", catalogue)


def test_an_installed_checkpoint_is_found_by_name_and_a_folder_of_that_name_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("movielens-100k", "adapters/movielens-100k"):
        assert (checkpoint.resolve(name) / "adapter.safetensors").is_file()
    assert not checkpoint.resolve("elsewhere/movielens-100k").exists() and not checkpoint.resolve("nothing").exists()
    with pytest.raises(CheckpointError, match="movielens-100m: no such checkpoint folder") as error:
        from_pretrained("movielens-100m")
    assert error.value.hint.startswith("did you mean movielens-100k or movielens-1m?")
    with pytest.raises(CheckpointError, match="no such checkpoint folder") as error:
        checkpoint.item_ids_of("elsewhere")
    assert "movielens-100k, movielens-1m" in error.value.hint
    (tmp_path / "movielens-100k").mkdir()
    assert checkpoint.resolve("movielens-100k") == Path("movielens-100k")
