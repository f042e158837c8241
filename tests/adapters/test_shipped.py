"""The adapter that ships, on the real base model: what a newcomer's first commands rest on."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from recommender.engine import Recommender, Request
from recommender.justify import ClaimChecker, Evidence, Influence
from recommender.justify.evidence import shared_facts
from recommender.model.checkpoint import TEMPLATE_SELECTION, resolve
from recommender.model.manifest import read_manifest

pytestmark = pytest.mark.assets
SHIPPED = "adapters/movielens-100k"
LARGEST_MB = 30
FORMER_RANK_HASH = "0395d5aefbfaabfda59dab4bd73628d9e1f9f7e0d3e157f487727df7e88af27a"
#: present keys of the configuration -> those of earlier versions
FORMER = {
    "r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "targets",
    "warmup_ratio": "warmup",
    "max_grad_norm": "clip",
    "cold_item_dropout": "newcomer_share",
}


@pytest.fixture(scope="module")
def model():
    return Recommender.from_pretrained(SHIPPED)


@pytest.fixture(scope="module")
def answer(model):
    """One list of ten with its sentences, which take a second each."""
    return model.answer(Request(history=("50", "181", "258"), k=10))


def test_it_is_small_and_says_what_it_is():
    folder = resolve(SHIPPED)
    files = [path for path in folder.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST_MB * 1e6
    card = (folder / "README.md").read_text()
    for said in ("movielens-100k", "research, non-commercial", "| rank |", "stand-ins", "## Limits"):
        assert said in card
    stages = json.loads((folder / "metrics.json").read_text())["stages"]
    assert [stage["stage"] for stage in stages] == ["rank", "explain", "converse"]


def test_random_histories_never_give_an_invalid_repeated_or_seen_item(model):
    random = np.random.default_rng(11)
    histories = [random.choice(len(model.catalogue), int(random.integers(0, 25)), replace=False) for _ in range(200)]
    for history, ranking in zip(histories, model.rank(histories, 10), strict=True):
        assert len(set(ranking.items.tolist())) == 10
        assert not set(ranking.items.tolist()) & set(history.tolist())
        assert ranking.items.min() >= 0 and ranking.items.max() < len(model.catalogue)
        assert np.isfinite(ranking.scores).all() and (np.diff(ranking.scores) <= 0).all()


@pytest.mark.parametrize("modality", ["image", "audio", "collaborative"])
def test_another_items_media_changes_what_is_ranked(model, modality):
    history = model.catalogue.indices(["50", "181", "258"])
    features = model.model.features
    before = model.rank([history], 100)[0]
    try:
        # Star Wars looks, sounds or is watched like Toy Story, Contact like Fargo
        swapped = features
        for mine, other in zip(history[[0, 2]], model.catalogue.indices(["1", "100"]), strict=True):
            swapped = swapped.swapped(modality, int(mine), int(other))
        model.set_features(swapped)
        after = model.rank([history], 100)[0]
        assert not np.array_equal(before.items, after.items)
        model.set_features(features.without(modality))
        absent = model.rank([history], 100)[0]
        assert len(set(absent.items.tolist())) == 100 and np.isfinite(absent.scores).all()
    finally:
        model.set_features(features)


def test_its_parameters_are_what_vectors_that_are_not_there_change(model):
    from recommender.engine.parameters import parameters

    request, history = Request(history=("50", "181", "258"), k=10), model.catalogue.indices(["50", "181", "258"])
    told = {one["name"]: one for one in parameters(model, request)["data"]}
    assert {"text", "image", "audio", "collaborative", "popularity", "history"} == set(told)
    features, before = model.model.features, model.rank([history], 10)[0]
    scores = model.score([history], before.items)[0]
    try:
        for modality in ("text", "image", "audio", "collaborative"):
            model.set_features(features.without(modality))
            after = model.rank([history], 10)[0]
            assert told[modality]["changed"] == len(set(before.items.tolist()) - set(after.items.tolist()))
            effect = np.abs(scores - model.score([history], before.items)[0]).mean()
            assert told[modality]["effect"] == pytest.approx(effect, abs=1e-3) and effect > 0.01
    finally:
        model.set_features(features)


def test_bfloat16_and_float32_rank_nearly_alike():
    model = Recommender.from_pretrained(SHIPPED)  # its own: rounding cannot be undone
    history = model.catalogue.indices(["50", "181", "258"])
    before = model.rank([history], 10)[0].items
    dtype = model.model.llm.dtype
    model.model.llm.to(torch.bfloat16 if dtype == torch.float32 else torch.float32)
    after = model.rank([history], 10)[0].items
    assert len(set(before.tolist()) & set(after.tolist())) >= 8


def test_its_sentences_are_true_and_some_its_own(model, answer):
    checker = ClaimChecker(model.catalogue)
    for item in answer.items:
        index = model.catalogue.index(item.item_id)
        others = [model.catalogue.index(i["item_id"]) for i in item.evidence["influences"]]
        influences = tuple(Influence(other, 1.0) for other in others)
        evidence = Evidence(index, influences, shared_facts(model.catalogue, index, others))
        assert checker.check(item.justification, evidence, "films").ok
    assert not model.writes or sum(item.written_by == "model" for item in answer.items) >= 2


@pytest.mark.parametrize("query", [None, "a comedy from the 1990s"])
def test_the_claims_of_its_sentences_stand_where_they_say_and_are_about_whom_they_say(model, answer, query):
    if query:
        answer = model.answer(Request(history=("50", "181", "258"), k=4, query=query))
    kinds = set()
    for item in answer.items:
        text, claims = item.justification, item.evidence["claims"]
        placed = [claim for claim in claims if claim["start"] is not None]
        assert any(claim["kind"] == "title" and claim["items"] == [item.item_id] for claim in placed)
        for claim in placed:
            kinds.add(claim["kind"])
            assert text[claim["start"] : claim["end"]] == claim["text"] and claim["text"].strip() == claim["text"] != ""
            assert claim["kind"] != "title" or text[claim["start"] - 1] in "\"“‘'"
            for held in claim["items"] if claim["fact"] else ():
                known = model.catalogue[model.catalogue.index(held)].attributes
                values = {value for values in known.values() for value in values}
                name, value = claim["fact"]["name"], claim["fact"]["value"]
                assert value in values or name in ("decade", "theme", "series")
    assert {"title", "year", "genres"} <= kinds


def test_it_is_the_recipe_that_the_repository_holds():
    from recommender.config import Config

    here = Path(__file__).parents[2] / "adapters" / "movielens-100k.yaml"
    assert Config.load(here) == Config.load(resolve(SHIPPED) / "config.yaml")


@pytest.fixture(scope="module")
def as_shipped_before(tmp_path_factory):
    """The checkpoint as earlier versions wrote it: former keys in config.yaml and metrics.json, the former prompt's hash."""
    folder = tmp_path_factory.mktemp("former") / "movielens-100k"
    shutil.copytree(resolve(SHIPPED), folder)
    text = (folder / "config.yaml").read_text()
    for present, former in FORMER.items():
        assert f"  {present}:" in text
        text = text.replace(f"  {present}:", f"  {former}:")
    (folder / "config.yaml").write_text(text)
    metrics = (folder / "metrics.json").read_text()
    assert TEMPLATE_SELECTION in metrics
    (folder / "metrics.json").write_text(metrics.replace(f'"{TEMPLATE_SELECTION}"', '"wordings"'))
    manifest = json.loads((folder / "checkpoint.json").read_text())
    manifest["prompts"]["rank"] = FORMER_RANK_HASH
    for name in ("config.yaml", "metrics.json"):
        manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "checkpoint.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return folder


def test_a_checkpoint_of_an_earlier_version_ranks_and_writes_the_same(model, as_shipped_before, caplog):
    before = Recommender.from_pretrained(as_shipped_before)
    (note,) = [record.getMessage() for record in caplog.records if "is now" in record.getMessage()]
    assert "lora.rank is now lora.r" in note and "training.stages.clip is now training.stages.max_grad_norm" in note
    assert before.config == model.config and before.writes
    assert before.style.lines == model.style.lines and "shared.0" in model.style.lines  # the selected templates
    random = np.random.default_rng(5)
    histories = [random.choice(len(model.catalogue), int(random.integers(0, 25)), replace=False) for _ in range(20)]
    for old, new in zip(before.rank(histories, 10), model.rank(histories, 10), strict=True):
        assert np.array_equal(old.items, new.items) and np.array_equal(old.scores, new.scores)


@pytest.mark.parametrize("name", ["movielens-100k", "movielens-1m"])
def test_shipped_configurations_have_the_present_keys(name, caplog):
    from recommender.config import Config

    folder = resolve(name)
    assert read_manifest(folder)["files"]["config.yaml"]
    Config.load(folder / "config.yaml")
    assert not caplog.records
