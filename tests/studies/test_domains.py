"""The study of two catalogues: who is learned and tested, that lists keep to the target, and what the table says."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from recommender.cli import app
from recommender.config import Config
from recommender.data.catalogue import Catalogue, Item
from recommender.data.histories import Histories
from recommender.data.written_tables import write_csv, write_items
from recommender.errors import ConfigError, DataError
from recommender.studies.domain_report import K, figures_of, rows_of, told_of
from recommender.studies.domains import DomainOptions, domain_study
from tests.conftest import tiny_recipe

FILMS, PRODUCTS, USERS = 14, 12, 10
RANK = {"stage": "rank", "epochs": 1, "row_tokens": 64, "batch_tokens": 128}


def recipe(folder, llm, text, users=USERS, extra=()):
    items = [Item(f"f{n}", f"The red night {n}", attributes={"domain": ("films",)}) for n in range(FILMS)]
    items += [Item(f"p{n}", f"The blue stone {n}", attributes={"domain": ("products",)}) for n in range(PRODUCTS)]
    write_items(folder / "items.jsonl", items)
    rows = [
        (f"{kind}-{user}", f"{kind}{(user + step) % count}", step)
        for kind, count in (("f", FILMS), ("p", PRODUCTS))
        for user in range(users)
        for step in range(5)
    ]
    write_csv(folder / "interactions.csv", ("user_id", "item_id", "position"), [*rows, *extra])
    data = {name: str(folder / file) for name, file in (("items", "items.jsonl"), ("interactions", "interactions.csv"))}
    raw = tiny_recipe(data, llm, text, folder / "encodings", {"stages": [RANK]}, noun="films and products")
    return Config.parse(raw)


@pytest.fixture(scope="module")
def studied(tmp_path_factory, llm_folder, text_folder):
    folder = tmp_path_factory.mktemp("domains")
    config = recipe(folder, llm_folder, text_folder)
    (folder / "recipe.yaml").write_text(config.to_yaml())
    output = folder / "study"
    asked = ["study", "domains", "--config", str(folder / "recipe.yaml"), "--output", str(output), "-q"]
    asked += ["--shares", "30,100", "--users", "6", "--repeats", "2"]
    result = CliRunner().invoke(app, [*asked, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return output, json.loads(result.stdout), asked


def learned(output, name):
    with (output / "tables" / name / "interactions.csv").open(newline="") as file:
        return [row["user_id"] for row in csv.DictReader(file)]


def test_every_way_learns_the_users_that_it_says(studied):
    output, figures, _ = studied
    assert figures["about"]["domains"]["films"] == {
        "items": FILMS,
        "users": USERS,
        "interactions": 5 * USERS,
        "tested": 6,
        "learned": {"30": 3, "100": USERS},
    }
    few, all_of_them = set(learned(output, "films 30")), set(learned(output, "films 100"))
    assert len(few) == 3 and few < all_of_them and len(all_of_them) == USERS
    both = set(learned(output, "both, 30 of films"))
    assert {user for user in both if user.startswith("f")} == few
    assert sum(user.startswith("p") for user in both) == USERS
    assert set(learned(output, "films 30 from products")) == few
    items = Catalogue.load(str(output / "tables" / "films 30" / "items.jsonl"))
    assert len(items) == FILMS


def test_what_begins_from_the_other_domain_names_its_adapter_and_a_small_share_is_read_more_often(studied):
    output, _, _ = studied
    started = Config.load(output / "models" / "films-30-from-products" / "config.yaml")
    assert started.base.adapter == str(output / "models" / "products-100")
    assert started.training.stages[0].epochs == 2
    assert Config.load(output / "models" / "films-100" / "config.yaml").training.stages[0].epochs == 1
    assert Config.load(output / "models" / "both-30-of-films" / "config.yaml").base.adapter is None


def test_one_model_of_all_users_of_both_serves_both_directions(studied):
    names = {path.name for path in (studied[0] / "models").iterdir() if not path.name.endswith(".training")}
    assert len([name for name in names if name.startswith("both")]) == 3
    assert len(names) == 3 + 4 + 4


def test_ranks_are_of_the_target_alone(studied):
    output, figures, _ = studied
    done = json.loads((output / "steps.json").read_text())
    for target in ("films", "products"):
        for share in ("30", "100"):
            for way in ("alone", "both", "started", "popularity"):
                ranks = done[f"{target} {share} {way}"]["ranks"]
                assert len(ranks) == 6 and all(1 <= rank <= K + 1 for rank in ranks)
            # ten of the ten or eight items of the target that a history of four leaves
            assert sum(rank <= K for rank in done[f"{target} {share} both"]["ranks"]) == 6
    assert set(figures["targets"]["films"]["30"]) == {"alone", "both", "started", "popularity"}
    assert (output / "report.html").is_file()


def test_a_study_goes_on_where_it_was_and_refuses_other_settings(studied):
    output, figures, asked = studied
    made = {path: path.stat().st_mtime_ns for path in output.glob("models/*/checkpoint.json")}
    again = CliRunner().invoke(app, [*asked, "--json"], catch_exceptions=False)
    assert json.loads(again.stdout) == figures
    assert {path: path.stat().st_mtime_ns for path in output.glob("models/*/checkpoint.json")} == made
    one = CliRunner().invoke(app, [*asked, "--json", "--target", "products"], catch_exceptions=False)
    assert json.loads(one.stdout)["targets"] == {"products": figures["targets"]["products"]}
    none = CliRunner().invoke(app, [*asked, "--target", "books"])
    assert isinstance(none.exception, DataError) and "films and products" in none.exception.hint
    other = CliRunner().invoke(app, [*asked, "--repeats", "3"])
    assert isinstance(other.exception, DataError) and "other settings" in other.exception.message


def test_differences_are_paired_and_said():
    about = {"seed": 0, "domains": {"films": {"learned": {"5": 2}}}}
    random = np.random.default_rng(0)
    alone = random.integers(5, K + 2, 200)
    ways = {"alone": alone, "both": np.maximum(alone - 3, 1), "started": alone, "popularity": np.full(200, K + 1)}
    done = {f"films 5 {way}": {"ranks": ranks.tolist(), "seconds": 2.0} for way, ranks in ways.items()}
    figures = {"about": about, **figures_of(done, about, ["films"], list(ways))}
    found = figures["targets"]["films"]["5"]
    gains = np.where(ways["both"] <= K, 1 / np.log2(ways["both"] + 1), 0) - np.where(
        alone <= K, 1 / np.log2(alone + 1), 0
    )
    assert found["both"]["more than alone"]["N@10"]["mean"] == pytest.approx(gains.mean(), abs=1e-4)
    assert found["both"]["more than alone"]["N@10"]["interval"][0] > 0
    assert found["started"]["more than alone"]["N@10"]["interval"] == [0, 0]
    assert found["popularity"]["measures"]["R@10"]["mean"] == 0
    assert [row["way"] for row in rows_of(figures)] == list(ways)
    (sentence,) = told_of(figures)
    assert sentence.startswith("films, 5 % of the users: both helps")


@pytest.mark.parametrize(
    ("changes", "options", "error", "said"),
    [
        ({}, {"shares": (0,)}, ConfigError, "percents"),
        ({}, {"attribute": "genre"}, DataError, "no value"),
        ({"base.adapter": "movielens-100k"}, {}, ConfigError, "base.adapter"),
    ],
)
def test_what_cannot_be_studied_is_one_line(tmp_path, llm_folder, text_folder, changes, options, error, said):
    config = recipe(tmp_path, llm_folder, text_folder).updated(changes)
    with pytest.raises(error) as caught:
        domain_study(config, tmp_path / "study", DomainOptions(**options))
    assert said in caught.value.message


def test_users_of_both_domains_are_refused(tmp_path, llm_folder, text_folder):
    config = recipe(tmp_path, llm_folder, text_folder, extra=[("f-0", "p3", 9)])
    with pytest.raises(DataError, match="'f-0' has items of both"):
        domain_study(config, tmp_path / "study")
    assert len(Histories.load(config.data.interactions, Catalogue.load(config.data.items))) == 2 * USERS
