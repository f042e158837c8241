from __future__ import annotations

import base64
import hashlib
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from rich.console import Console

from recommender.baselines import BASELINES, FitData
from recommender.baselines.topk import fit_baseline, rank_topk
from recommender.errors import DataError
from recommender.eval import page, plots
from recommender.eval.beyond_accuracy import Attributes, ItemFacts
from recommender.eval.holdout import Holdout
from recommender.eval.protocol import evaluate_models
from recommender.eval.report import FILES, for_card, sparse_rows, table, write_report

ITEMS = 20


def baseline(name):
    return lambda learn: fit_baseline(BASELINES[name](), FitData(learn, ITEMS))


def ones(_):
    return lambda some, k: rank_topk(np.ones((len(some), ITEMS)), some, k)


@pytest.fixture(scope="module")
def evaluation():
    generator = np.random.default_rng(0)
    whole = [generator.permutation(np.arange(user % 2, ITEMS, 2))[:8] for user in range(60)]
    histories, targets = [one[:-1] for one in whole], np.array([one[-1] for one in whole])
    targets[::9] = (targets[::9] + 1) % ITEMS  # a taste that nobody can foresee: no perfect score
    models = {name: {"seed 0": baseline(name)} for name in ("popularity", "sequential-item-knn")}
    models["a <model> & co"] = {"all alike": ones}
    return evaluate_models(models, Holdout(histories, targets, ITEMS, "test: leave-one-out"), samples=200)


@pytest.fixture(scope="module")
def written(evaluation, tmp_path_factory):
    return write_report(evaluation, tmp_path_factory.mktemp("runs") / "deep" / "report")


def shown(evaluation, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table(evaluation))
    return console.export_text()


def test_these_files_and_nothing_else(written):
    assert sorted(path.name for path in written.iterdir()) == sorted(FILES)


def test_json_says_what_was_measured_and_how(written, evaluation):
    content = json.loads((written / "metrics.json").read_text())
    assert content["about"]["users"] == 60 and content["about"]["items"] == ITEMS
    assert content["about"]["seed"] == 0 and content["about"]["split"] == "test: leave-one-out"
    assert {"python", "numpy", "recommender"} <= set(content["versions"])
    knn = content["models"]["sequential-item-knn"]
    assert knn["metrics"]["ndcg@10"]["mean"] == evaluation.row("sequential-item-knn", "ndcg", 10)["mean"]
    assert knn["metrics"]["ndcg@10"]["low"] <= knn["metrics"]["ndcg@10"]["mean"]
    assert set(knn["metrics"]["coverage@10"]) == {"mean"}
    assert knn["seconds"]["fit"] > 0 and content["models"]["a <model> & co"]["seconds"]["fit"] is None


def test_json_knows_the_checksums_of_its_companions(written):
    sums = json.loads((written / "metrics.json").read_text())["sha256"]
    assert sums == {
        name: hashlib.sha256((written / name).read_bytes()).hexdigest() for name in FILES if name != "metrics.json"
    }


def test_the_parquet_reproduces_the_means(written, evaluation):
    users = pd.read_parquet(written / "per_user.parquet")
    assert list(users.columns) == ["model", "user", "metric", "k", "value"]
    means = users.groupby(["model", "metric", "k"], observed=True)["value"].mean()
    for row in evaluation.summary.dropna().to_dict("records"):
        assert means[row["model"], row["metric"], row["k"]] == pytest.approx(row["mean"])


def test_the_page_stands_alone_with_its_pictures(written):
    page = (written / "report.html").read_text()
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 4 and "http" not in page and "<link" not in page and "<script" not in page
    for source in sources:
        picture = base64.b64decode(source.removeprefix("data:image/png;base64,"))
        assert picture.startswith(b"\x89PNG")
    assert "a &lt;model&gt; &amp; co" in page and "<model>" not in page
    assert "higher is better" in page and "95 % interval" in page


def test_the_page_marks_the_best_and_the_reference(written, evaluation):
    page = (written / "report.html").read_text()
    best = f"{evaluation.row('sequential-item-knn', 'ndcg', 10)['mean']:.4f}"
    assert f'class="best"><b>{best}</b>' in page
    assert 'popularity<span class="tag">reference</span>' in page


def test_one_model_alone_has_no_table_of_differences(evaluation):
    one = evaluate_models({"ones": {"": ones}}, Holdout([np.array([0])], np.array([1]), ITEMS), samples=20)
    assert "Difference to" not in page.html(one) and "Difference to" in page.html(evaluation)


def test_a_second_report_replaces_the_first_and_leaves_other_files(evaluation, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "metrics.json").write_text("old")
    write_report(evaluation, tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text())["about"]["users"] == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, "notes.txt"])
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_same_evaluation_gives_the_same_bytes(evaluation, written, tmp_path):
    write_report(evaluation, tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_a_failure_while_drawing_leaves_no_folder(evaluation, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("no ink")

    monkeypatch.setattr(plots, "recall_curve", broken)
    with pytest.raises(RuntimeError, match="no ink"):
        write_report(evaluation, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_failure_while_writing_keeps_the_old_report(evaluation, tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / name).write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recommender.files.os.replace", full)
    with pytest.raises(DataError, match="No space left"):
        write_report(evaluation, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(FILES, "old")


def test_a_file_in_the_place_of_the_folder_is_one_clear_line(evaluation, tmp_path):
    (tmp_path / "report").write_text("a file")
    with pytest.raises(DataError, match="report: the report cannot be written") as caught:
        write_report(evaluation, tmp_path / "report")
    assert caught.value.hint and (tmp_path / "report").read_text() == "a file"


@pytest.mark.parametrize("width", [80, 160])
def test_the_terminal_table_shows_all_columns_without_cutting(evaluation, width):
    text = shown(evaluation, width)
    for label in ("R@10", "N@10", "R@5", "N@5", "MRR@20", "cover-", "age@10", "fit", "score"):
        assert label in text
    row = evaluation.row("sequential-item-knn", "recall", 10)
    assert f"{row['mean']:.4f}*".removeprefix("0") in text and "…" not in text
    assert "sequential-item-knn" in text


def test_the_terminal_table_shows_intervals_and_a_dash_for_an_unknown_fit(evaluation):
    text = shown(evaluation, 120)
    row = evaluation.row("popularity", "ndcg", 10)
    assert f"{row['low']:.3f}".removeprefix("0") + "-" + f"{row['high']:.3f}".removeprefix("0") in text
    assert re.search(r"a <model> & co .* - ", text)


@pytest.fixture(scope="module")
def several():
    """Two models of two runs each, one of them random, and few users."""
    histories = [np.array([user % 7, 8 + user % 5]) for user in range(24)]

    def random(seed):
        return lambda _: (
            lambda some, k: rank_topk(
                np.array([np.random.default_rng([seed, *history]).random(ITEMS) for history in some]), some, k
            )
        )

    models = {
        "popularity": {"seed 0": baseline("popularity"), "seed 1": baseline("popularity")},
        "random": {"seed 0": random(0), "seed 1": random(1)},
    }
    facts = ItemFacts(Attributes("genres", sp.csr_array(np.eye(4)[np.arange(ITEMS) % 4])))
    targets = np.array([user % 7 + 1 for user in range(24)])
    return evaluate_models(models, Holdout(histories, targets, ITEMS, "leave-one-out"), facts, samples=100)


def test_json_tells_every_run_slice_and_pair(several, tmp_path):
    content = json.loads((write_report(several, tmp_path) / "metrics.json").read_text())
    model = content["models"]["random"]
    runs = [model["runs"][label]["ndcg@10"]["mean"] for label in ("seed 0", "seed 1")]
    assert model["metrics"]["ndcg@10"]["mean"] == pytest.approx(np.mean(runs))
    assert model["metrics"]["ndcg@10"]["spread"] == pytest.approx(np.std(runs, ddof=1))
    assert model["metrics"]["calibration_kl@10"]["low"] > 0 and model["memory_mb"] >= 0
    assert model["metrics"]["ndcg@10"]["users"] == 24
    for name, part in content["slices"].items():
        rows = several.slices[several.slices["slice"] == name].query("model == 'random' and metric == 'recall'")
        assert (part["users"], part["few"]) == (rows["users"].iloc[0], part["users"] < 30)
        told = part["models"]["random"]["recall@10"]
        assert told.get("mean") == (rows["mean"].iloc[0] if part["users"] else None)
    pair = content["pairs"][0]
    assert (pair["model"], pair["other"]) == ("popularity", "random")
    assert pair["significant"] == (pair["low"] > 0 or pair["high"] < 0)


def test_the_parquet_of_users_is_that_of_the_evaluation(several, tmp_path):
    users = pd.read_parquet(write_report(several, tmp_path) / "users.parquet")
    pd.testing.assert_frame_equal(users, several.users)


def test_the_page_tells_cost_slices_runs_and_what_lists_hold(several):
    text = page.html(several)
    assert "memory MB" in text and "&plusmn; 0.0000" in text and "Every run alone" in text
    assert '<span class="tag">few</span>' in text and '<span class="tag">none</span>' in text
    for title in ("diversity@10", "calibration@10, KL", "Gini@10", "history of up to 5 items"):
        assert title in text
    row = several.row("random", "diversity", 10)
    assert f"{row['mean']:.4f}" in text and "By the items' genres" in text.replace("&#39;", "'")


def test_the_page_tells_which_of_every_pair_differ(evaluation):
    text = page.html(evaluation)
    pair = evaluation.pairs.query("model == 'sequential-item-knn' and other == 'popularity' and metric == 'ndcg'").iloc[
        0
    ]
    assert pair["low"] > 0 and f'<td class="significant">{pair["difference"]:+.4f}' in text
    assert "Every run alone" not in text and "&plusmn;" not in text


def test_terminal_and_card_tell_the_spread_and_the_number_of_runs(several, evaluation):
    text = shown(several, 80)
    spread = f"±{several.row('random', 'ndcg', 10)['spread']:.4f}".replace("±0", "±")
    assert spread in text and "standard deviation over runs" in text and "…" not in text
    assert for_card(several)["protocol"].endswith("mean of 2 training runs.")
    assert for_card(evaluation)["protocol"].endswith("one training run.")
    assert [row["model"] for row in for_card(several)["rows"]] == ["popularity", "random"]


def test_sparse_targets_have_a_row_each_and_others_none(evaluation):
    rows = sparse_rows(evaluation)
    targets = evaluation.slices.drop_duplicates("slice").set_index("slice")["targets"]
    told = {row["N@10, target"]: row for row in rows}
    assert set(told) == {"seen 6 to 20 times", "seen more than 20 times"} & set(told) and told
    for name, row in told.items():
        assert row["targets"] == str(targets[f"target {name}"]) and set(evaluation.models["model"]) <= set(row)
    assert sum(int(row["targets"]) for row in rows) == 60
