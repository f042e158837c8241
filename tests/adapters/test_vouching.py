"""Signed checkpoints: one changed byte anywhere shows, and no loader reads what the trusted key did not sign."""

from __future__ import annotations

import json
import random
import shutil
from types import SimpleNamespace

import pytest
import torch

from recommender.adapters.key_files import fingerprint, new_pair, read_private_key, read_public_key
from recommender.adapters.vouching import KEY_VARIABLE, PIN_VARIABLE, SIGNATURE, check_served, file_digest, sign, trust
from recommender.batch import BatchOptions, run_batch
from recommender.engine import Recommender, open_engine
from recommender.engine.vllm import VllmRecommender
from recommender.errors import CheckpointError, DataError
from recommender.export.vllm_folder import export_vllm, load_exported
from recommender.model.checkpoint import check_adapter, copy_adapter, from_pretrained, record, save_pretrained
from recommender.model.manifest import MANIFEST, read_manifest
from tests.vllm_plugin.stub_vllm import stub


@pytest.fixture
def pair(tmp_path):
    """A key pair: the private key, and the file of the public one."""
    new_pair(tmp_path / "key.pem", tmp_path / "public.pem")
    return read_private_key(tmp_path / "key.pem"), tmp_path / "public.pem"


@pytest.fixture
def saved(make_checkpoint, tmp_path):
    save_pretrained(make_checkpoint(), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def trusting(pair, monkeypatch):
    """From here on only what the key signed is read."""

    def begin():
        monkeypatch.setenv(KEY_VARIABLE, str(pair[1]))

    return begin


def changes(content: bytes, chance: random.Random):
    """Yield a file's content with one byte changed, at the ends and in many places between, cut, and longer."""
    for place in {0, len(content) - 1, *(chance.randrange(len(content)) for _ in range(12))}:
        changed = bytearray(content)
        changed[place] ^= 1 << chance.randrange(8)
        yield bytes(changed)
    yield content[:-1]
    yield content + b" "


def test_any_changed_byte_of_any_file_is_found(saved, pair, trusting):
    assert sign(saved, pair[0])["manifest"] == file_digest(saved / MANIFEST)
    trusting()
    assert read_manifest(saved)["format"]
    files = sorted(path for path in saved.rglob("*") if path.is_file())
    assert {MANIFEST, SIGNATURE, "README.md", "adapter.safetensors"} <= {path.name for path in files}
    chance, tried = random.Random(23), 0
    for path in files:
        content = path.read_bytes()
        for changed in changes(content, chance):
            path.write_bytes(changed)
            with pytest.raises(CheckpointError, match="damaged|changed since|no manifest|vouches for no files|missing"):
                read_manifest(saved)
            tried += 1
        path.unlink()
        with pytest.raises(CheckpointError, match="missing|is not signed|no checkpoint"):
            read_manifest(saved)
        path.write_bytes(content)
    assert tried > 10 * len(files)
    assert read_manifest(saved)["format"]
    (saved / "note.txt").write_text("beside it")
    with pytest.raises(CheckpointError, match="does not vouch for note.txt"):
        read_manifest(saved)


def test_another_key_or_another_form_of_the_signature_is_refused(saved, pair, trusting, tmp_path):
    new_pair(tmp_path / "other.pem", tmp_path / "other.public.pem")
    trusting()
    sign(saved, read_private_key(tmp_path / "other.pem"))
    with pytest.raises(CheckpointError, match="another key"):
        read_manifest(saved)
    sign(saved, pair[0])
    told = json.loads((saved / SIGNATURE).read_text())
    assert told["key"] == fingerprint(read_public_key(pair[1]))
    for wrong in (told | {"signature": told["signature"].upper()}, told | {"more": 1}, {"key": told["key"]}, [], "x"):
        (saved / SIGNATURE).write_text(json.dumps(wrong, indent=1) + "\n")
        with pytest.raises(CheckpointError, match="changed since"):
            read_manifest(saved)


def test_an_edited_card_is_signed_as_it_is(saved, pair, trusting):
    (saved / "README.md").write_text("my own words")
    sign(saved, pair[0])
    trusting()
    assert read_manifest(saved)["format"]


def test_a_damaged_checkpoint_is_not_signed(saved, pair):
    (saved / "config.yaml").write_text("base: {}\n")
    with pytest.raises(CheckpointError, match="config.yaml is damaged"):
        sign(saved, pair[0])
    assert not (saved / SIGNATURE).exists()


def test_what_is_written_anew_is_not_signed_any_more_and_says_so(saved, pair, trusting, caplog, make_checkpoint):
    sign(saved, pair[0])
    record(saved, "measured", 1)
    assert "not signed any more" in caplog.text and not (saved / SIGNATURE).exists()
    assert read_manifest(saved)["format"]
    caplog.clear()
    sign(saved, pair[0])
    save_pretrained(make_checkpoint(), saved)
    assert "not signed any more" in caplog.text
    trusting()
    with pytest.raises(CheckpointError, match="is not signed"):
        read_manifest(saved)


def loaders(folder, catalogue, tmp_path, checkpoint):
    (tmp_path / "in.jsonl").write_text('{"history": ["103"], "k": 2}\n')
    return {
        "from_pretrained": lambda: from_pretrained(folder, catalogue),
        "Recommender": lambda: Recommender.from_pretrained(folder, catalogue),
        "engine": lambda: open_engine("embedded", str(folder), catalogue),
        "vllm engine": lambda: VllmRecommender.from_pretrained(folder, catalogue),
        "batch": lambda: run_batch(str(folder), tmp_path / "in.jsonl", tmp_path / "out.jsonl", BatchOptions()),
        "start of a training": lambda: check_adapter(checkpoint.config, folder),
        "adapter": lambda: copy_adapter(checkpoint.model, folder),
        "record": lambda: record(folder, "measured", 1),
    }


def test_every_loader_refuses_what_is_not_signed(saved, pair, trusting, catalogue, tmp_path, make_checkpoint):
    trusting()
    checkpoint = make_checkpoint()
    for name, load in loaders(saved, catalogue, tmp_path, checkpoint).items():
        with pytest.raises(CheckpointError, match="is not signed"):
            load()
            pytest.fail(name)
    sign(saved, pair[0])
    weights = saved / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    for name, load in loaders(saved, catalogue, tmp_path, checkpoint).items():
        with pytest.raises(CheckpointError, match="adapter.safetensors is damaged"):
            load()
            pytest.fail(name)
    save_pretrained(checkpoint, saved)
    sign(saved, pair[0])
    assert Recommender.from_pretrained(saved, catalogue).recommend(["103"], k=1, explain=False)
    check_adapter(checkpoint.config, saved)


@pytest.fixture
def exported(make_checkpoint, tmp_path):
    export_vllm(make_checkpoint(), tmp_path / "export")
    return tmp_path / "export"


def test_an_export_is_signed_itself_or_pinned_by_whoever_made_it(exported, pair, trusting, catalogue):
    pin = file_digest(exported / MANIFEST)
    trusting()
    with pytest.raises(CheckpointError, match="is not signed"):
        load_exported(exported, catalogue)
    assert load_exported(exported, catalogue, pin).pin == pin
    with pytest.raises(CheckpointError, match="not as it was exported"):
        load_exported(exported, catalogue, "0" * 64)
    sign(exported, pair[0])
    assert load_exported(exported, catalogue).pin is None
    (exported / "lora" / "rank" / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="adapter_config.json is damaged"):
        load_exported(exported, catalogue)


@pytest.mark.parametrize(
    ("module", "name", "part"),
    [
        ("trie_processor", "TrieProcessor", "rank"),
        ("text_constraint_processor", "TextConstraintProcessor", "write"),
    ],
)
def test_a_worker_of_vllm_checks_what_it_serves(module, name, part, exported, pair, trusting, monkeypatch):
    folder = str(exported / part)
    config = SimpleNamespace(model_config=SimpleNamespace(model=folder, tokenizer=folder))
    with stub(module) as imported:

        def begin():
            return getattr(imported, name)(config, torch.device("cpu"), False)

        begin()
        trusting()
        with pytest.raises(CheckpointError, match="is not signed"):
            begin()
        monkeypatch.setenv(PIN_VARIABLE, file_digest(exported / MANIFEST))
        begin()
        monkeypatch.delenv(PIN_VARIABLE)
        sign(exported, pair[0])
        begin()
        weights = exported / part / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
        with pytest.raises(CheckpointError, match="model.safetensors is damaged"):
            begin()
        other = {"rank": "write", "write": "rank"}[part]
        check_served(exported / other)  # each worker answers for what it reads


def test_the_key_of_the_environment_stays_unless_it_is_to_be_replaced(pair, monkeypatch, tmp_path, saved):
    monkeypatch.setenv(KEY_VARIABLE, str(pair[1]))
    trust(str(tmp_path / "none.pem"))
    with pytest.raises(CheckpointError, match="is not signed"):
        read_manifest(saved)
    sign(saved, pair[0])
    trust(str(tmp_path / "none.pem"), instead=True)
    with pytest.raises(DataError, match="the key cannot be read"):
        read_manifest(saved)


def test_wrong_keys_are_one_line_that_shows_no_key(pair, tmp_path):
    for read, file in ((read_private_key, "public.pem"), (read_public_key, "key.pem")):
        with pytest.raises(DataError, match="holds no") as error:
            read(tmp_path / file)
        assert "BEGIN" not in str(error.value)
    with pytest.raises(DataError, match="never replaced"):
        new_pair(tmp_path / "key.pem", tmp_path / "new.pem")
    assert not (tmp_path / "new.pem").exists() and (tmp_path / "key.pem").stat().st_mode & 0o077 == 0
    shutil.copy(tmp_path / "key.pem", tmp_path / "cut.pem")
    (tmp_path / "cut.pem").write_text((tmp_path / "cut.pem").read_text()[:40])
    with pytest.raises(DataError, match="holds no private key"):
        read_private_key(tmp_path / "cut.pem")
