"""The study of new items: nothing of a cold item reaches training, and cold items are what is asked for."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.errors import CheckpointError, DataError
from recommender.studies.ablation import variants
from recommender.studies.cold_start import ColdStartOptions, cold_start_study, leave_items_out
from tests.conftest import ITEMS, write_tables


def test_histories_end_before_the_last_cold_item_and_hold_none():
    rng = np.random.default_rng(3)
    items = tuple(rng.permutation(30)[: rng.integers(1, 20)] for _ in range(40))
    whole = Histories(tuple(f"u{n}" for n in range(40)), items)
    split = leave_items_out(whole, 30, 0.2, seed=5)
    assert split.cold.sum() == int(0.2 * len(np.unique(np.concatenate(items))))
    for own, known, target in zip(items, split.histories, split.targets, strict=True):
        assert not split.cold[known].any()
        cold = own[split.cold[own]]
        if target >= 0:
            assert target == cold[-1]
            before = own[: list(own).index(target)]
            assert list(known) == [i for i in before if not split.cold[i]]
        elif not len(cold):
            assert list(known) == list(own)
        else:  # nothing known comes before
            assert len(known) == 0


def test_the_choice_of_items_is_a_function_of_the_seed():
    whole = Histories(("a", "b"), (np.arange(10), np.arange(10)[::-1]))
    one, same, other = (leave_items_out(whole, 10, 0.3, seed).cold for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(DataError, match="share"):
        leave_items_out(Histories(("a",), (np.arange(5),)), 5, share)


def test_no_target_is_said_at_once():
    with pytest.raises(DataError, match="nothing to test"):
        leave_items_out(Histories(("a",), (np.array([0]),)), 1, 0.5)


def test_the_study_trains_without_cold_items_and_ranks_all(tmp_path, catalogue, histories, llm_folder, text_folder):
    stage = {"stage": "rank", "epochs": 1, "batch_tokens": 128, "row_tokens": 64}
    raw = {
        "data": write_tables(tmp_path, catalogue, histories),
        "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 1},
        "encoders": {"text": str(text_folder), "image": None, "audio": None, "width": 6, "collaborative_width": 4},
        "lora": {"r": 2, "alpha": 4},
        "prompt": {"history": 6, "titled": 0},
        "training": {"stages": [stage]},
    }
    config = Config.parse(raw).updated({"encoders.cache": str(tmp_path / "encodings")})
    output, recipes = tmp_path / "study", variants(config, changed={"short": {"prompt.history": 4}})
    options = ColdStartOptions(share=0.2, baselines=["vector-content"], times=3, fit_seeds=(0, 1))
    found = cold_start_study(recipes, output, options)
    known, extended = Catalogue.load(str(output / "known.jsonl")), Catalogue.load(str(output / "items.jsonl"))
    assert len(extended) == ITEMS
    assert extended.fingerprint == catalogue.fingerprint
    assert extended[3].text == catalogue[3].text
    trained_on = (output / "interactions.csv").read_text()
    cold = set(extended.item_ids) - set(known.item_ids)
    assert cold
    assert not any(f",{item_id}," in trained_on for item_id in cold)
    assert set(found.cold.users["target"]) <= cold
    assert not set(found.known.users["target"]) & cold
    for evaluation in (found.cold, found.known):
        shares = [evaluation.row(name, "cold_share", 5)["mean"] for name in ("unlisted", "full")]
        assert shares[0] < shares[1]
        assert set(evaluation.summary["model"]) == {"full", "unlisted", "short", "vector-content"}
    manifests = [output / name / "checkpoint.json" for name in ("full-seed0/known", "full-seed1/extended-3")]
    seeds = [Config.load(output / name / "known" / "config.yaml").seed for name in ("full-seed0", "short-seed1")]
    assert seeds == [0, 1] and not (output / "short-seed0" / "unlisted").exists()
    made = [path.stat().st_mtime_ns for path in manifests]
    assert json.loads(manifests[1].read_text())["catalogue"]["items"] == ITEMS
    cold_start_study(recipes, output, options)
    assert [path.stat().st_mtime_ns for path in manifests] == made
    with pytest.raises(CheckpointError, match="another configuration"):
        cold_start_study({"full": config.updated({"lora.r": 3})}, output, options)
    with pytest.raises(CheckpointError, match="other known items"):
        cold_start_study(recipes, output, replace(options, seed=1))
    unlisted = cold_start_study({"full": config}, output, replace(options, times=0))
    assert {"full", "unlisted"} < set(unlisted.cold.summary["model"])
    with pytest.raises(DataError, match="lists no new item"):
        cold_start_study({"full": config, "unlisted": config}, output)


def test_a_recipe_without_content_is_refused_before_anything_is_trained(tmp_path):
    config = Config.parse({"encoders": {"text": None, "audio": None}})
    blind = variants(config, changed={"no pictures": {"encoders.image": None}})
    with pytest.raises(DataError, match="'no pictures' reads no content .*text, knowledge, image, audio"):
        cold_start_study(blind, tmp_path / "study")
    assert not (tmp_path / "study").exists()
