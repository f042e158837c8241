"""`recommender sign`, and every command that reads a checkpoint when a key is trusted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from recommender.adapters.vouching import KEY_VARIABLE, SIGNATURE
from tests.cli.conftest import refused


@pytest.fixture
def keyed(run, trained, tmp_path, monkeypatch):
    """A copy of a trained checkpoint, and a key pair beside it; nothing is trusted yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(KEY_VARIABLE, "")  # so that what a command sets goes again
    monkeypatch.delenv("RECOMMENDER_STORE", raising=False)
    shutil.copytree(trained, tmp_path / "model")
    code, out, _ = run("keys", "pair", "key.pem", "--json")
    assert code == 0 and json.loads(out)["public"] == "key.pub.pem"
    return tmp_path / "model"


def readers(model, recipe, folder):
    settings = yaml.safe_load(Path(recipe).read_text())
    settings["base"]["adapter"] = str(model)
    (folder / "next.yaml").write_text(yaml.safe_dump(settings))
    (folder / "in.jsonl").write_text('{"custom_id": "a", "history": ["103"], "k": 2}\n')
    return (
        ("recommend", model, "--history", "103", "-q"),
        ("explain", model, "--history", "103", "--item", "104", "-q"),
        ("chat", model, "-m", "hello", "-q"),
        ("batch", model, "--input", folder / "in.jsonl", "--output", folder / "out.jsonl", "-q"),
        ("export", model, folder / "plain", "-q"),
        ("export", model, folder / "served", "--to", "vllm", "-q"),
        ("serve", model, "--port", 0, "-q"),
        ("serve", model, "--engine", "vllm", "--port", 0, "-q"),
        ("train", "--config", folder / "next.yaml", "--output", folder / "trained", "-q"),
    )


def test_every_command_refuses_what_is_not_signed_or_was_changed(keyed, run, recipe, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "key.pub.pem")
    for command in readers(keyed, recipe, tmp_path):
        refused(run(*command), "is not signed", "recommender sign")
    code, out, _ = run("sign", keyed, "--key", "key.pem", "--json")
    assert code == 0 and json.loads(out)["signed"].endswith("model")
    assert run("recommend", keyed, "--history", "103", "-q", "--no-explain")[0] == 0
    config = keyed / "config.yaml"
    config.write_text(config.read_text() + "# more\n")
    for command in readers(keyed, recipe, tmp_path):
        refused(run(*command), "config.yaml is damaged")
    assert not (tmp_path / "trained").exists() and not (tmp_path / "out.jsonl").exists()


def test_a_config_key_and_a_setting_of_serve_count_too(keyed, run, recipe, tmp_path):
    refused(run("serve", keyed, "--port", 0, "--set", "checkpoint_key=key.pub.pem", "-q"), "is not signed")


def test_a_recipe_names_the_key_of_what_it_starts_from(keyed, run, recipe, tmp_path):
    readers(keyed, recipe, tmp_path)
    settings = yaml.safe_load((tmp_path / "next.yaml").read_text())
    settings["serving"] = {"checkpoint_key": "key.pub.pem"}
    (tmp_path / "next.yaml").write_text(yaml.safe_dump(settings))
    refused(run("train", "--config", "next.yaml", "--output", "trained", "-q"), "is not signed")


def test_the_store_signs_too_and_writes_it_down(keyed, run, tmp_path, monkeypatch):
    assert run("keys", "master", "m.keys", "--name", "first")[0] == 0
    at = ("--store", "store.db", "--master-key", "m.keys")
    assert run("keys", "add", "shop", "--scope", "recommend", *at)[0] == 0
    code, out, _ = run("sign", keyed, *at, "--json")
    signed = json.loads(out)
    assert code == 0
    rows = json.loads(run("audit", "list", "--json", *at)[1])
    assert rows[0]["kind"] == "sign" and rows[0]["body"]["checkpoint.json"] == signed["manifest"]
    (tmp_path / "store.pem").write_text(run("audit", "key", *at)[1])
    monkeypatch.setenv(KEY_VARIABLE, "store.pem")
    assert run("recommend", keyed, "--history", "103", "-q", "--no-explain")[0] == 0


def test_what_signs_must_be_named(keyed, run):
    refused(run("sign", keyed), "what signs?", "keys pair")
    refused(run("sign", keyed, "--key", "key.pub.pem"), "holds no private key")
    refused(run("keys", "pair", "key.pem"), "never replaced")
    assert not (keyed / SIGNATURE).exists()


def test_a_checkpoint_may_not_name_a_command(keyed, run, tmp_path):
    from recommender.model.manifest import read_manifest, write_manifest

    config = yaml.safe_load((keyed / "config.yaml").read_text())
    config["serving"] = {"store": "store.db", "master_key": "command:touch ran"}
    (keyed / "config.yaml").write_text(yaml.safe_dump(config))
    facts = json.loads((keyed / "checkpoint.json").read_text())
    write_manifest(keyed, {name: value for name, value in facts.items() if name != "files"})
    assert read_manifest(keyed)
    refused(run("serve", keyed, "--port", 0, "-q"), "names a command", "--master-key")
    assert not (tmp_path / "ran").exists()
