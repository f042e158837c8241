"""Comparing: every model on the same histories and targets, measured as by hand, and what is wrong is named."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recommender.baselines import BASELINES, FitData
from recommender.config import ColumnsConfig, Config
from recommender.engine import Recommender
from recommender.errors import CheckpointError, DataError, RecommenderError
from recommender.eval.metrics import novelty
from recommender.eval.page import html
from recommender.eval.protocol import Evaluation
from recommender.eval.report import FILES
from recommender.model.checkpoint import save_pretrained
from recommender.pipelines import train
from recommender.studies.comparison import EvaluationOptions, evaluate
from tests.conftest import ITEMS, write_csv, write_tables

USERS = 24
TARGETED = [u for u in range(USERS) if u % 6]  # every sixth user has two items, too few to hold any out


@pytest.fixture(scope="module")
def walks() -> list[np.ndarray]:
    """Users who like neighbouring items, so that baselines find something and none finds all."""
    random = np.random.default_rng(3)
    lengths = [int(random.integers(3, 9)) if u % 6 else 2 for u in range(USERS)]
    return [(int(random.integers(ITEMS)) + random.permutation(10)[:length]) % ITEMS for length in lengths]


@pytest.fixture(scope="module")
def tables(tmp_path_factory, catalogue, walks) -> dict[str, str]:
    return write_tables(tmp_path_factory.mktemp("comparison"), catalogue, walks)


@pytest.fixture
def config(config):
    """The tiny world's, naming a table that does not exist: otherwise each comparison reads MovieLens-100K, which is the
    default and has other items."""
    return config.updated({"data.interactions": "gone.csv"})


@pytest.fixture
def targets_of(tmp_path):
    """Write a table of targets: pairs of user and item ids under a header."""

    def make(*rows: Sequence[object], header: str = "user_id item_id") -> str:
        write_csv(tmp_path / "targets.csv", header, rows)
        return str(tmp_path / "targets.csv")

    return make


def ranked_by(name: str, known: Sequence[np.ndarray], user: int) -> list[int]:
    """The unseen items as a baseline fitted on `known` orders them for a user, ties by index."""
    baseline = BASELINES[name]()
    baseline.fit(FitData(known, ITEMS))
    scores = np.asarray(baseline.scores([known[user]]))[0]
    return sorted((i for i in range(ITEMS) if i not in known[user]), key=lambda item: (-scores[item], item))


def ranks(name: str, known: Sequence[np.ndarray], users: Sequence[int], targets: Sequence[int]) -> list[int]:
    """Where a baseline fitted on `known` puts each user's target, from 0 on."""
    return [ranked_by(name, known, user).index(target) for user, target in zip(users, targets, strict=True)]


def values(evaluation: Evaluation, model: str, metric: str, k: int) -> list[float]:
    rows = evaluation.per_user.query("model == @model and metric == @metric and k == @k")
    return rows.sort_values("user", key=lambda users: users.str[1:].astype(int))["value"].tolist()


def check(evaluation: Evaluation, model: str, expected: Sequence[int]) -> None:
    """Compare recall and NDCG of every user with the ranks of their targets."""
    for k in (1, 5, 10):
        gains = [1 / np.log2(rank + 2) if rank < k else 0.0 for rank in expected]
        assert values(evaluation, model, "recall", k) == [float(rank < k) for rank in expected]
        np.testing.assert_allclose(values(evaluation, model, "ndcg", k), gains, rtol=1e-6)
        assert evaluation.row(model, "ndcg", k)["mean"] == pytest.approx(np.mean(gains))


def held_out(walks: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """What leave-one-out knows of every user, and the targets of those who have one."""
    return [walk[:-1] if u in TARGETED else walk for u, walk in enumerate(walks)], [int(walks[u][-1]) for u in TARGETED]


# --- leave-one-out


def test_leave_one_out_equals_the_baselines_computed_by_hand(tables, walks):
    names = ["popularity", "item-knn", "sequential-item-knn", "ease"]
    evaluation = evaluate(names, **tables)
    known, targets = held_out(walks)
    for name in names:
        check(evaluation, name, ranks(name, known, TARGETED, targets))
    about = evaluation.about
    assert (about["split"], about["users"], about["items"]) == ("leave-one-out", len(TARGETED), ITEMS)
    assert about["reference"] == names[0]
    assert len({evaluation.row(name, "ndcg", 10)["mean"] for name in names}) > 2  # else nothing was compared


def test_what_a_model_recommends_does_not_depend_on_the_targets(tables, walks, catalogue, tmp_path):
    others = [
        np.append(walk[:-1], next(i for i in range(ITEMS) if i not in walk)) if u in TARGETED else walk
        for u, walk in enumerate(walks)
    ]
    one, other = (evaluate(["item-knn"], **chosen) for chosen in (tables, write_tables(tmp_path, catalogue, others)))
    for metric in ("coverage", "gini", "novelty", "cold_share"):
        assert one.row("item-knn", metric, 5)["mean"] == other.row("item-knn", metric, 5)["mean"]
    assert values(one, "item-knn", "ndcg", 10) != values(other, "item-knn", "ndcg", 10)


def test_a_checkpoint_is_measured_like_a_baseline(tables, walks, make_checkpoint, tmp_path):
    folder = str(tmp_path / "saved")
    save_pretrained(make_checkpoint(), folder)
    evaluation = evaluate([folder, "popularity"], **tables)
    known, targets = held_out(walks)
    model = Recommender.from_pretrained(folder, make_checkpoint().catalogue)
    lists = model.rank([known[u] for u in TARGETED], ITEMS)
    check(evaluation, folder, [ranked.items.tolist().index(t) for ranked, t in zip(lists, targets, strict=True)])
    check(evaluation, "popularity", ranks("popularity", known, TARGETED, targets))
    assert evaluation.about["reference"] == folder


def test_what_ranks_alone_and_in_fusions_is_fitted_once(tables, make_checkpoint, tmp_path, monkeypatch):
    folder, made = str(tmp_path / "model"), []
    save_pretrained(make_checkpoint(), folder)
    plain = evaluate([f"{folder}+bpr", "bpr", "popularity"], **tables, options=EvaluationOptions(fit_seeds=[0, 1]))
    fit = BASELINES["bpr"]().__class__.fit
    monkeypatch.setattr(
        BASELINES["bpr"]().__class__, "fit", lambda self, data: made.append(data.seed) or fit(self, data)
    )
    again = evaluate([f"{folder}+bpr", "bpr", "popularity"], **tables, options=EvaluationOptions(fit_seeds=[0, 1]))
    assert made == [0, 0, 1]  # for the weights, then for the targets, by fusion and row; and once with another seed
    pd.testing.assert_frame_equal(again.summary, plain.summary)
    assert (again.models["fit_seconds"] > 0).all()


def test_a_checkpoint_may_be_fused_with_baselines(tables, make_checkpoint, tmp_path):
    folder = str(tmp_path / "saved")
    save_pretrained(make_checkpoint(), folder)
    fused = f"{folder}+sequential-item-knn+popularity"
    evaluation = evaluate([folder, fused], **tables)
    assert list(evaluation.models["model"]) == [folder, fused]
    alone, together = (evaluation.row(name, "recall", 10)["mean"] for name in (folder, fused))
    assert together > alone  # untrained, so it is the baselines that know
    told = evaluation.about["fusions"][fused]
    assert list(told["weights"]) == list(told["seconds"]) == [folder, "sequential-item-knn", "popularity"]
    assert all(seconds > 0 for seconds in told["seconds"].values())
    page = html(evaluation)
    assert all(f"{first:.2f} and {second:.2f}" in page for first, second in told["weights"].values())


def test_a_gate_stands_beside_fixed_weights(tables, make_checkpoint, tmp_path):
    folder = str(tmp_path / "saved")
    save_pretrained(make_checkpoint(), folder)
    fixed, gated = f"{folder}+popularity", f"{folder}+popularity@gate"
    evaluation = evaluate([fixed, gated], **tables)
    told = evaluation.about["fusions"]
    assert list(told) == [fixed, gated] and "gate" not in told[fixed]
    gate = told[gated]["gate"]
    assert len(gate["features"]) == 5 and list(gate["slopes"]) == [folder, "popularity"] and gate["ridge"] > 0
    assert html(evaluation).count("They depend on the history") == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("saved+poplarity", "'poplarity' is no baseline"),
        ("popularity+ease", "'popularity' is no checkpoint"),
        ("saved+ease+ease", "the baseline ease is given twice"),
    ],
)
def test_a_fusion_that_cannot_be_is_named(tables, make_checkpoint, tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    save_pretrained(make_checkpoint(), tmp_path / "saved")
    with pytest.raises(DataError, match=said):
        evaluate([f"./{name}" if name.startswith("saved") else name], **tables)


@pytest.mark.parametrize("users", [1, 5, len(TARGETED) - 1, len(TARGETED), 1000])
def test_a_sample_takes_users_evenly_and_fits_on_everyone(tables, users):
    whole, sample = (
        evaluate(["popularity", "ease"], **tables, options=EvaluationOptions(users=n)) for n in (None, users)
    )
    count = min(users, len(TARGETED))
    assert sample.about["users"] == count
    places = np.linspace(0, len(TARGETED) - 1, count).astype(int)
    for name in ("popularity", "ease"):
        every = values(whole, name, "ndcg", 20)
        assert values(sample, name, "ndcg", 20) == [every[place] for place in places]


def test_novelty_goes_by_the_histories_of_everyone(tables, walks):
    known, _ = held_out(walks)
    ranked = np.array([ranked_by("ease", known, TARGETED[0])])
    counts = np.bincount(np.concatenate(known), minlength=ITEMS)
    evaluation = evaluate(["ease"], **tables, options=EvaluationOptions(users=1))
    assert evaluation.row("ease", "novelty", 5)["mean"] == pytest.approx(novelty(ranked, counts, 5))


def test_the_seed_decides_the_intervals_and_progress_is_told(tables):
    heard: list[tuple[str, int, int]] = []
    first = evaluate(
        ["item-knn"], **tables, progress=lambda *said: heard.append(said), options=EvaluationOptions(seed=1)
    )
    again, other = (evaluate(["item-knn"], **tables, options=EvaluationOptions(seed=seed)) for seed in (1, 2))
    assert heard == [("ranking with item-knn", len(TARGETED), len(TARGETED))]
    pd.testing.assert_frame_equal(first.summary, again.summary)
    assert first.row("item-knn", "ndcg", 10)["mean"] == other.row("item-knn", "ndcg", 10)["mean"]
    assert first.row("item-knn", "ndcg", 10)["low"] != other.row("item-knn", "ndcg", 10)["low"]


# --- a table of targets


def test_targets_of_a_table_follow_the_whole_history(tables, walks, catalogue, targets_of):
    users = [5, 0, 9]  # 0 has a history of two
    targets = [next(i for i in range(ITEMS - 1, -1, -1) if i not in walks[u]) for u in users]
    path = targets_of(*[(f"u{u}", catalogue[t].item_id) for u, t in zip(users, targets, strict=True)])
    evaluation = evaluate(["popularity", "ease"], **tables, test=path)
    order = np.argsort(users)
    for name in ("popularity", "ease"):
        check(evaluation, name, ranks(name, walks, np.array(users)[order], np.array(targets)[order]))
    assert evaluation.about["split"] == path and evaluation.about["users"] == 3


def test_a_user_may_have_several_targets(tables, targets_of):
    path = targets_of(("u1", 101), ("u3", 104), ("u1", 119), ("u1", 110))
    evaluation = evaluate(["popularity"], **tables, test=path)
    assert evaluation.about["users"] == 2 and evaluation.about["targets"] == 4
    assert set(evaluation.per_user["user"]) == {"u1", "u3"}
    twice = evaluate(["popularity"], **tables, test=targets_of(("u1", 101), ("u3", 104), ("u1", 101))).about
    assert twice["targets"] == 2


def test_a_model_that_was_trained_on_the_targets_is_not_evaluated_on_them(tables, make_checkpoint, config, tmp_path):
    save_pretrained(make_checkpoint(1, config.updated({"training.keep_test_out": False})), tmp_path / "all")
    with pytest.raises(DataError, match="trained on the targets of leave-one-out"):
        evaluate([str(tmp_path / "all")], **tables)


def test_a_sample_of_nobody_is_refused(tables):
    with pytest.raises(DataError, match="users is -1, expected 1 or more"):
        evaluate(["popularity"], **tables, options=EvaluationOptions(users=-1))


def test_columns_of_all_tables_may_have_other_names(tables, targets_of, tmp_path):
    for name, renamed in (("items", "item_id"), ("interactions", "item_id")):
        content = Path(tables[name]).read_text().replace(renamed, "what").replace("user_id", "who")
        (tmp_path / f"{name}.csv").write_text(content)
    columns = ColumnsConfig(item_id="what", user_id="who")
    paths = {name: str(tmp_path / f"{name}.csv") for name in tables}
    evaluation = evaluate(
        ["popularity"],
        **paths,
        test=targets_of(("u3", 104), header="who what"),
        config=Config().updated({"data.columns": columns.model_dump()}),
    )
    assert evaluation.about["users"] == 1


def test_numbers_are_the_same_ids_in_every_format(tables, tmp_path):
    interactions = pd.read_csv(tables["interactions"], dtype=str)
    interactions["user_id"] = interactions["user_id"].str.removeprefix("u")
    interactions.to_csv(tmp_path / "interactions.csv", index=False)
    pd.DataFrame({"user_id": [3.0, 7.0], "item_id": [104, 105]}).to_parquet(tmp_path / "targets.parquet")
    paths = {"items": tables["items"], "interactions": str(tmp_path / "interactions.csv")}
    assert evaluate(["popularity"], **paths, test=str(tmp_path / "targets.parquet")).about["users"] == 2


# --- content


@pytest.fixture
def encoded(monkeypatch, features):
    """Stand in for the encoders; returns the configs they were called with."""
    asked: list[Config] = []

    def encode(config, catalogue, histories, progress=None):
        assert not histories and not config.encoders.collaborative_width
        asked.append(config)
        return features

    monkeypatch.setattr(train, "encode", encode)
    return asked


def test_items_are_encoded_once_as_the_config_says_and_only_for_those_who_ask(tables, encoded):
    given = Config.parse({"encoders": {"width": 7}})
    evaluate(["popularity", "tfidf-content"], **tables, config=given)
    assert not encoded
    evaluation = evaluate(
        ["vector-content", "popularity"], **tables, config=given, options=EvaluationOptions(fit_seeds=(0, 1))
    )
    assert [(config.encoders.width, config.data.items) for config in encoded] == [(7, tables["items"])]
    assert 0 < evaluation.row("vector-content", "recall", 10)["mean"] < 1


def test_the_vectors_of_a_checkpoint_are_taken_without_encoding(tables, encoded, make_checkpoint, tmp_path):
    save_pretrained(make_checkpoint(), tmp_path / "model")
    alone = evaluate(["vector-content"], **tables)
    beside = evaluate(["vector-content", str(tmp_path / "model")], **tables)
    assert len(encoded) == 1  # the first time
    assert values(alone, "vector-content", "ndcg", 10) == values(beside, "vector-content", "ndcg", 10)


# --- what is wrong


@pytest.mark.parametrize(
    ("header", "column", "key"),
    [("user item_id", "user_id", "data.columns.user_id"), ("user_id film", "item_id", "data.columns.item_id")],
)
def test_a_missing_column_of_the_targets_is_named(tables, targets_of, header, column, key):
    with pytest.raises(DataError, match=f"targets.csv: no column '{column}'") as error:
        evaluate(["popularity"], **tables, test=targets_of(("u1", "104"), header=header))
    assert error.value.hint is not None and key in error.value.hint


@pytest.mark.parametrize("user", ["u99", "U1", ""])
def test_a_target_of_an_unknown_user_is_named(tables, targets_of, user):
    with pytest.raises(
        DataError, match="targets.csv, line 3: user_id: user .* has no history in the interactions"
    ) as error:
        evaluate(["popularity"], **tables, test=targets_of(("u1", "104"), (user, "105")))
    assert user in error.value.message and error.value.hint == "give their history"


def test_an_unknown_target_names_the_closest_item(tables, targets_of):
    with pytest.raises(DataError, match="unknown item id '1O4'") as error:
        evaluate(["popularity"], **tables, test=targets_of(("u1", "1O4")))
    assert error.value.hint is not None and "104" in error.value.hint


def test_targets_that_are_not_there_are_named(tables, targets_of, tmp_path):
    with pytest.raises(DataError, match="no such file or folder for the targets"):
        evaluate(["popularity"], **tables, test=str(tmp_path / "nowhere.csv"))
    with pytest.raises(DataError, match="targets.csv: the table of targets is empty"):
        evaluate(["popularity"], **tables, test=targets_of())


@pytest.mark.parametrize(("name", "meant"), [("popularty", "popularity"), ("item_knn", "item-knn"), ("eas", "ease")])
def test_an_unknown_name_suggests_a_baseline(tables, name, meant):
    with pytest.raises(DataError, match=f"{name!r} is neither a checkpoint folder nor a baseline") as error:
        evaluate(["popularity", name], **tables)
    assert error.value.hint is not None and error.value.hint.startswith(f"did you mean {meant}")


def test_a_folder_that_is_no_checkpoint_is_named(tables, tmp_path):
    for folder, said in ((tmp_path, "no checkpoint"), (tmp_path / "nowhere", "no such checkpoint folder")):
        with pytest.raises(CheckpointError, match=said) as error:
            evaluate([str(folder)], **tables)
        assert str(folder) in error.value.message


def test_nothing_to_compare_or_nobody_to_compare_on_is_said(tables, catalogue, tmp_path):
    with pytest.raises(DataError, match="no model to evaluate"):
        evaluate([], **tables)
    with pytest.raises(DataError, match="no user has a target"):
        evaluate(["popularity"], **write_tables(tmp_path, catalogue, [[1, 2], [3]]))


# --- other splits, seeds and runs


def test_folds_rank_every_user_with_a_fit_that_has_not_seen_them(tables, walks):
    evaluation = evaluate(["item-knn"], **tables, options=EvaluationOptions(split="folds", folds=4))
    about = evaluation.about
    assert (about["split"], about["users"], about["folds"]) == ("4 folds over users", USERS, 4)
    order = np.random.default_rng(0).permutation(USERS)
    for fold in range(4):
        users = order[fold::4].tolist()
        learn = [walk for user, walk in enumerate(walks) if user not in users]
        baseline = BASELINES["item-knn"]()
        baseline.fit(FitData(learn, ITEMS))
        for user in users:
            known, target = walks[user][:-1], int(walks[user][-1])
            scores = np.asarray(baseline.scores([known]))[0]
            order_of = sorted((i for i in range(ITEMS) if i not in known), key=lambda item: (-scores[item], item))
            rank = order_of.index(target) + 1
            row = evaluation.users.set_index("user").loc[f"u{user}"]
            assert (row["rank item-knn"] == rank) if rank <= 20 else pd.isna(row["rank item-knn"])
            assert row["target_count"] == sum((walk == target).any() for walk in learn)


def test_a_split_by_time_asks_for_what_comes_after_the_moment(tables, walks):
    evaluation = evaluate(
        ["popularity"], **tables, options=EvaluationOptions(split="time")
    )  # the time stamps are places in the history
    moment = int(evaluation.about["moment"])
    asked = [u for u, walk in enumerate(walks) if len(walk) > moment]
    assert evaluation.about["users"] == len(asked)
    check(evaluation, "popularity", ranks_at(walks, moment, asked))


def ranks_at(walks: Sequence[np.ndarray], moment: int, asked: Sequence[int]) -> list[int]:
    known = [walk[:moment] for walk in walks]
    return ranks("popularity", known, asked, [int(walks[user][moment]) for user in asked])


def test_runs_of_one_recipe_are_one_row(tables, make_checkpoint, config, catalogue, tmp_path):
    folders = [str(tmp_path / f"seed{seed}") for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        save_pretrained(make_checkpoint(1, config.updated({"seed": seed})), folder)
    evaluation = evaluate(
        [f"mine={folders[0]},{folders[1]}", "popularity"],
        **tables,
        options=EvaluationOptions(users=5, fit_seeds=(0, 1, 2)),
    )
    assert evaluation.models["model"].tolist() == ["mine", "popularity"]
    assert evaluation.models["runs"].tolist() == [2, 3]
    assert evaluation.row("popularity", "ndcg", 10)["spread"] == 0  # nothing in it is random
    assert {f"rank mine, {folder}" for folder in folders} <= set(evaluation.users.columns)
    assert evaluation.has("content_diversity") and evaluation.about["attribute"] == "genres"


def test_users_and_targets_are_told_by_their_ids(tables, walks, catalogue):
    users = evaluate(["popularity"], **tables).users.set_index("user")
    assert set(users.index) == {f"u{u}" for u in TARGETED}
    for u in TARGETED:
        assert users.loc[f"u{u}", "target"] == catalogue[int(walks[u][-1])].item_id
        assert users.loc[f"u{u}", "history"] == len(walks[u]) - 1


def test_targets_and_a_split_contradict_each_other(tables, targets_of):
    with pytest.raises(DataError, match="targets are given, so there is nothing to split by time"):
        evaluate(["popularity"], **tables, test=targets_of(("u1", "104")), options=EvaluationOptions(split="time"))


# --- defaults and the report


def test_the_tables_of_the_config_are_taken_unless_others_are_given(tables, catalogue, walks, tmp_path):
    config = Config().updated({f"data.{name}": path for name, path in tables.items()})
    by_config = evaluate(["popularity"], config=config)
    pd.testing.assert_frame_equal(by_config.summary, evaluate(["popularity"], **tables).summary)
    (tmp_path / "few").mkdir()
    few = write_tables(tmp_path / "few", catalogue, walks[:7])
    given = evaluate(["popularity"], interactions=few["interactions"], config=config)
    assert given.about["users"] == sum(user in TARGETED for user in range(7)) < by_config.about["users"]


def test_without_a_config_that_of_the_first_checkpoint_is_taken(tables, make_checkpoint, config, tmp_path):
    settings = config.updated({f"data.{name}": path for name, path in tables.items()})
    save_pretrained(make_checkpoint(1, settings), tmp_path / "model")
    evaluation = evaluate(["popularity", str(tmp_path / "model")], options=EvaluationOptions(users=4))
    assert evaluation.about["users"] == 4 and evaluation.about["reference"] == "popularity"


def test_ratings_below_the_minimum_of_the_config_are_dropped_and_counted(tables, tmp_path):
    rated = pd.read_csv(tables["interactions"]).assign(rating=lambda table: 1 + table.index % 5)
    rated.to_csv(tmp_path / "rated.csv", index=False)
    config = Config().updated({"data.minimum_rating": 3.0})
    evaluation = evaluate(["popularity"], tables["items"], str(tmp_path / "rated.csv"), config=config)
    assert evaluation.about["interactions_dropped"] == (rated["rating"] < 3).sum()


def test_a_report_is_written_where_it_is_wanted(tables, tmp_path):
    evaluate(["popularity"], **tables, output=tmp_path / "report", options=EvaluationOptions(users=3))
    assert {path.name for path in (tmp_path / "report").iterdir()} == set(FILES)


def test_what_a_report_needs_is_asked_for_before_anything_is_fitted(tables, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(BASELINES["popularity"]().__class__, "fit", lambda *_: pytest.fail("fitted"))
    with pytest.raises(RecommenderError, match="a report needs the package matplotlib") as caught:
        evaluate(["popularity"], **tables, output=tmp_path / "report")
    assert caught.value.hint == "pip install 'recommender[eval]'"


def test_the_attribute_may_be_named(tables):
    evaluation = evaluate(["popularity"], **tables, options=EvaluationOptions(users=3, attribute="year"))
    assert evaluation.about["attribute"] == "year"
    with pytest.raises(DataError, match="no item has an attribute 'colour'"):
        evaluate(["popularity"], **tables, options=EvaluationOptions(attribute="colour"))
