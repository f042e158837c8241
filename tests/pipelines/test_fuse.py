"""A fusion in a checkpoint: what is kept, what the engine serves, and the switch."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from recommender.baselines import BASELINES, FitData, ItemContent
from recommender.baselines.fusion.score_views import weighted_scores
from recommender.baselines.fusion.stored import FUSION_FILE, LANGUAGE_MODEL, StoredFusion
from recommender.baselines.item_tables import STORABLE, from_arrays, to_arrays
from recommender.cli import app
from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import leave_one_out
from recommender.engine import Recommender
from recommender.engine.variants import reweighted
from recommender.errors import CheckpointError, DataError, RecommenderError
from recommender.model.trained_on import TrainedOn
from recommender.pipelines import train
from recommender.pipelines.fuse import fuse_checkpoint
from recommender.pipelines.recounting import recounted
from recommender.studies.comparison import evaluate
from tests.conftest import ITEMS, write_csv, write_tables


@pytest.fixture(scope="module", params=[1, 2], ids=["atomic", "three levels"])
def trained(request, tmp_path_factory, catalogue, histories, llm_folder, text_folder):
    folder = tmp_path_factory.mktemp("fusing")
    stage = {"stage": "rank", "epochs": 1, "batch_tokens": 128, "row_tokens": 64}
    raw = {
        "data": write_tables(folder, catalogue, histories),
        "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 1},
        "encoders": {"text": str(text_folder), "image": None, "audio": None, "width": 6, "collaborative_width": 4},
        "semantic_ids": {"levels": request.param, "codebook_size": 4, "collision_limit": 1},
        "lora": {"r": 2, "lora_alpha": 4},
        "prompt": {"history": 6, "titled": 0},
        "training": {"stages": [stage]},
    }
    config = Config.parse(raw).updated({"encoders.cache": str(folder / "encodings")})
    train.train(config, folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def fused(trained):
    output = trained.with_name("fused")
    return output, fuse_checkpoint(str(trained), ["ease-decay", "transition-tfidf"], output)


@pytest.fixture(scope="module")
def gated(trained):
    output = trained.with_name("gated")
    return output, fuse_checkpoint(str(trained), ["ease-decay", "popularity"], output, gated=True)


@pytest.mark.parametrize("name", STORABLE)
def test_a_kept_baseline_scores_as_before(name, catalogue, histories, features):
    content = ItemContent([catalogue.document(i) for i in range(ITEMS)], features.content)
    ranker = BASELINES[name]()
    ranker.fit(FitData(histories, ITEMS, content))
    again = from_arrays(name, to_arrays(ranker))
    np.testing.assert_array_equal(again.scores(histories[:5]), ranker.scores(histories[:5]))


def test_a_baseline_that_holds_users_is_not_kept(histories):
    ranker = BASELINES["user-knn"]()
    ranker.fit(FitData(histories, ITEMS))
    with pytest.raises(DataError, match="cannot be kept"):
        to_arrays(ranker)


def check_served_as_evaluated(folder, evaluated, known):
    served = Recommender.from_pretrained(folder).rank(known, 5, fused=True)
    for row, ranking in zip(evaluated(known, 5), served, strict=True):
        assert ranking.items.tolist() == row.tolist()
        assert (np.diff(ranking.scores) <= 0).all()


def test_the_engine_serves_what_the_evaluation_ranks(fused, histories):
    check_served_as_evaluated(*fused, list(histories[:6]))


def test_the_engine_serves_a_gate_as_the_evaluation_ranks_with_it(gated, histories):
    check_served_as_evaluated(*gated, list(histories[:6]))


def test_a_factor_of_an_arm_scales_the_weights_of_a_gated_scorer_for_every_history(gated, histories):
    engine, known = Recommender.from_pretrained(gated[0]), list(histories[:6])
    model_scores = engine.score(known, candidates=range(len(engine.catalogue)))
    usual, without = engine.fusion, reweighted(engine.fusion, {"popularity": 0.0})
    parts = {LANGUAGE_MODEL: model_scores} | {n: b.scores(known) for n, b in usual.baselines.items()}
    weights = usual.gate.weights(usual.weights, parts, known)
    expected = sum(weighted_scores(parts[name], known, weights[name]) for name in (LANGUAGE_MODEL, "ease-decay"))
    scores = without.scores(model_scores, known)
    np.testing.assert_allclose(scores[np.isfinite(scores)], expected[np.isfinite(scores)], rtol=1e-4, atol=1e-4)


def test_counts_of_a_gate_follow_new_histories(gated, histories):
    engine = Recommender.from_pretrained(gated[0])
    fewer = recounted(engine.fusion, engine.catalogue, engine.features, histories[:3], 0)
    np.testing.assert_array_equal(fewer.gate.counts, np.bincount(np.concatenate(histories[:3]), minlength=ITEMS))
    assert fewer.gate.slopes is engine.fusion.gate.slopes


def test_the_language_model_alone_is_unchanged_and_one_switch_away(fused, trained):
    folder, _ = fused
    alone, both = Recommender.from_pretrained(trained), Recommender.from_pretrained(folder)
    ids = list(both.catalogue.item_ids[:3])
    plain = [item.item_id for item in alone.recommend(ids, k=8, explain=False)]
    assert [item.item_id for item in both.recommend(ids, k=8, explain=False, fused=False)] == plain
    with_both = both.recommend(ids, k=8, explain=False)
    assert [item.score for item in with_both] != [item.score for item in alone.recommend(ids, k=8, explain=False)]
    both.setup.config = both.config.updated({"decoding.fused": False})
    assert [item.item_id for item in both.recommend(ids, k=8, explain=False)] == plain
    with pytest.raises(RecommenderError, match="nothing to fuse"):
        alone.recommend(ids, fused=True)


def test_a_fused_checkpoint_says_what_its_baselines_were_trained_on(fused, trained, tmp_path, caplog):
    folder, _ = fused
    config = Config.load(folder / "config.yaml")
    catalogue = Catalogue.load(config.data.items)
    histories = train.load_histories(config, catalogue)
    split = leave_one_out(histories)
    targets = [
        (user, catalogue.item_ids[item])
        for user, item in zip(histories.user_ids, split.validation.tolist(), strict=True)
        if item >= 0
    ]
    before, after = TrainedOn.load(trained), TrainedOn.load(folder)
    assert (
        before.digest == after.digest and after.count_seen(targets)[0] == len(targets) > before.count_seen(targets)[0]
    )
    card = (folder / "README.md").read_text()
    assert (
        "| fused with | ease-decay, transition-tfidf: fitted on " in card and "targets of validation included" in card
    )
    evaluate([str(folder)])
    assert "not at hand" not in caplog.text
    shorter = [
        (user, catalogue.item_ids[i], t)
        for user, items in zip(histories.user_ids, histories.items, strict=True)
        for t, i in enumerate(items[:-1])
    ]
    write_csv(tmp_path / "shorter.csv", "user_id item_id timestamp", shorter)
    evaluate([str(trained)], interactions=str(tmp_path / "shorter.csv"))
    with pytest.raises(DataError, match=r"fused: was trained on \d+ of the \d+ targets"):
        evaluate([str(folder)], interactions=str(tmp_path / "shorter.csv"))


def test_what_is_not_allowed_is_never_ranked(fused):
    model = Recommender.from_pretrained(fused[0])
    ids = list(model.catalogue.item_ids)
    found = model.recommend(ids[:3], k=5, explain=False, exclude=ids[3:6])
    assert not {item.item_id for item in found} & set(ids[:6])
    assert {item.item_id for item in model.recommend(ids[:3], k=2, explain=False, only=ids[7:9])} == set(ids[7:9])


def test_the_command_says_the_weights_and_the_answer_says_who_ranked(trained, tmp_path):
    asked = ["fuse", str(trained), "popularity", "--gate", "--output", str(tmp_path / "out"), "--json", "-q"]
    result = CliRunner().invoke(app, asked, catch_exceptions=False)
    rows = json.loads(result.stdout.splitlines()[-1])
    assert [row["scorer"] for row in rows][1:] == ["popularity"]
    asked = ["recommend", str(tmp_path / "out"), "--history", "100,105", "--k", "3", "--no-explain", "--json", "-q"]
    told = json.loads(CliRunner().invoke(app, asked, catch_exceptions=False).stdout.splitlines()[-1])
    assert "ranked together with popularity" in told["notes"]
    told = json.loads(CliRunner().invoke(app, [*asked, "--no-fused"], catch_exceptions=False).stdout.splitlines()[-1])
    assert told["notes"] == []


@pytest.mark.parametrize(
    ("baselines", "told"), [(["lightgcn"], "cannot be kept"), (["popularty"], "popularity"), ([], "no baseline")]
)
def test_a_wrong_baseline_is_refused_before_any_work(trained, tmp_path, baselines, told):
    with pytest.raises(DataError) as caught:
        fuse_checkpoint(str(trained), baselines, tmp_path / "out")
    assert told in f"{caught.value.message} {caught.value.hint}"
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_is_named(fused, tmp_path):
    (tmp_path / FUSION_FILE).write_bytes(b"not a table")
    with pytest.raises(CheckpointError, match=FUSION_FILE):
        StoredFusion.load(tmp_path / FUSION_FILE)
