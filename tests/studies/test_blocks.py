"""The study of blocks: what is learned, what is tested, and that no test is learned before it is ranked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from recommender.cli.command_line import app
from recommender.config import Config
from recommender.data.catalogue import Catalogue, Item
from recommender.errors import DataError
from recommender.files import write_text
from recommender.studies import block_report, blocks
from recommender.studies.block_files import Blocks
from tests.conftest import tiny_recipe

RANK = {"stage": "rank", "epochs": 1, "row_tokens": 64, "batch_tokens": 128, "learning_rate": 0.01}
USERS = 6


def block(number):
    """Users 0 to 5 are in block 0; users 3 to 8 in block 1, 6 to 11 in block 2; each has four items, one has two."""
    users = {}
    for user in range(3 * number, 3 * number + USERS):
        first = 3 * number + user
        before = [str(3 * (number - 1) + user + step) for step in range(4)] if number and user < 3 * number + 3 else []
        users[f"u{user}"] = {
            "previous_block": before,
            "current_block": [str(100 + first + step) for step in range(4)],
        }
    users["rare"] = {"previous_block": [], "current_block": ["100", "101"]}
    return users


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blocks")
    paths = [folder / f"block_{number}.json" for number in range(3)]
    for number, path in enumerate(paths):
        write_text(path, json.dumps(block(number)))
    return paths


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, llm_folder, text_folder):
    cache = tmp_path_factory.getbasetemp() / "encodings"
    raw = tiny_recipe({}, llm_folder, text_folder, cache, {"stages": [RANK]})
    raw["encoders"]["text"] = None
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(Config.parse(raw | {"update": {"epochs": 1, "least": 2, "learning_rate": 0.01}}).to_yaml())
    return path


@pytest.fixture(scope="module")
def studied(recipe, files, tmp_path_factory):
    output = tmp_path_factory.mktemp("study") / "out"
    command = ["study", "blocks", "--config", str(recipe), "--output", str(output), "--quiet", *map(str, files)]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    return told.output, output


def a_catalogue(found):
    return Catalogue(Item(item_id=item, title=f"item {item}") for item in found.item_ids)


def test_the_usual_ways_are_measured_and_told(studied):
    said, output = studied
    figures = json.loads((output / block_report.FIGURES).read_text())
    assert tuple(figures["ways"]) == blocks.USUAL
    assert "update less evolving: NDCG@10" in said and "nothing is taken out" in said
    assert len(figures["seconds"]["update"]) == 2 and figures["about"]["tests"] == [USERS, USERS]
    for way in figures["ways"].values():
        means = [one["HR@10"]["mean"] for one in way["all"]["blocks"]]
        assert way["all"]["mean"]["HR@10"]["mean"] == pytest.approx(np.mean(means), abs=1e-4)
        assert way["new"]["mean"]["HR@10"]["mean"] >= way["all"]["mean"]["HR@10"]["mean"]  # no target was had before
    assert "Does it learn block by block?" in (output / block_report.PAGE).read_text()


def test_each_way_has_models_of_its_own_and_evolving_neither_replay_nor_proximal_term(studied):
    _, output = studied
    models = {path.parent.name for path in (output / "models").glob("*/config.yaml")}
    assert models == {"base", *(f"{way}-{number}" for way in ("update", "evolving") for number in (1, 2))}
    steps = json.loads((output / "steps.json").read_text())
    for number in (1, 2):
        assert steps[f"learned update-{number}"]["replayed"] > 0 == steps[f"learned evolving-{number}"]["replayed"]
        assert steps[f"learned update-{number}"]["new"] == 2 * USERS  # four items, of which two are held out
    rows = (output / "items.csv").read_text().splitlines()
    assert rows[0] == "item_id,title" and rows[1] == "100,item 100"


def test_it_goes_on_with_more_ways_and_is_not_mixed_with_other_blocks(studied, recipe, files):
    _, output = studied
    config, before = Config.load(recipe), json.loads((output / block_report.FIGURES).read_text())
    figures = blocks.study_blocks(config, files, output, ("frozen", "full"))
    assert figures["ways"]["frozen"] == before["ways"]["frozen"] and len(figures["seconds"]["full"]) == 2
    with pytest.raises(DataError, match="holds a study with other settings"):
        blocks.study_blocks(config, files[:2], output)


def test_all_but_the_last_two_items_of_a_block_are_learned_and_the_last_one_is_tested(files):
    found = Blocks.load(files)
    catalogue = a_catalogue(found)
    for number in range(3):
        known = found.learned_until(number, catalogue)
        learned = {
            name: (items, times) for name, items, times in zip(known.user_ids, known.items, known.times, strict=True)
        }
        assert "rare" not in learned and len(learned) == USERS + 3 * number
        for test in found.tests(number, catalogue):
            raw = block(number)[test.user]
            everything = [catalogue.index(item) for item in raw["previous_block"] + raw["current_block"]]
            assert test.history.tolist() == everything[:-1] and test.item == everything[-1]
            items, times = learned[test.user]
            assert items.tolist() == everything[:-2]
            now = times > number
            assert now.sum() == 2 and (times <= number + 1).all() and (np.diff(times) > 0).all()
            assert not now[: len(raw["previous_block"])].any()


def test_a_table_holds_everything_until_its_block_and_nothing_later(files, tmp_path):
    found = Blocks.load(files)
    found.write_interactions(1, tmp_path / "table.csv")
    rows = [row.split(",") for row in (tmp_path / "table.csv").read_text().splitlines()[1:]]
    assert {row[0] for row in rows} == {f"u{user}" for user in range(9)} and max(float(row[2]) for row in rows) < 2
    raw = block(1)["u3"]
    assert [row[1] for row in rows if row[0] == "u3"] == raw["previous_block"] + raw["current_block"]


def test_ranks_count_what_somebody_had_unless_it_is_taken_out(files, recipe, tmp_path):
    config, found = Config.load(recipe), Blocks.load(files)
    one = blocks._Study(config, found, blocks.BlockOptions(), tmp_path, blocks.Steps(tmp_path / "steps"), None)
    test = one.tests[1][0]
    one.tests[1] = [test]
    assert one._placed(1, [np.append(test.history, test.item)]) == {"all": [len(test.history) + 1], "new": [1]}
    assert one._placed(1, [test.history]) == {"all": [11], "new": [11]}


def test_intervals_are_paired_and_of_users():
    users = [["a", "b"], ["a", "c"]]
    sample = block_report._Sample(users, 0)
    best, none = [np.array([1, 1])] * 2, [np.array([11, 11])] * 2
    assert sample.measured(best)["NDCG@5"] == {"mean": 1.0, "interval": [1.0, 1.0]}
    assert sample.measured([np.array([6, 6])] * 2)["HR@5"]["mean"] == 0 and sample.measured(none)["HR@10"]["mean"] == 0
    assert sample.differences(best, best)["HR@10"] == {"mean": 0.0, "interval": [0.0, 0.0]}
    mixed = sample.measured([np.array([1, 11]), np.array([1, 11])])["HR@10"]
    assert mixed["mean"] == 0.5 and mixed["interval"] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "expected a JSON object"),
        ("{", "not valid JSON"),
        ('{"a": ["1", "2", "3"]}', "'a' has no list of ids 'previous_block'"),
        ('{"a": {"previous_block": [], "current_block": "123"}}', "'a' has no list of ids 'current_block'"),
        ('{"a": {"previous_block": [], "current_block": [1, 2, null]}}', "'a' has no list of ids 'current_block'"),
        ('{"a": {"previous_block": [], "current_block": [1, 2]}}', "no user has 3 items in current_block"),
    ],
)
def test_files_that_are_no_blocks_are_told_in_a_line(content, said, recipe, files, tmp_path):
    path = tmp_path / "other.json"
    write_text(path, content)
    command = ["study", "blocks", "--config", str(recipe), "--output", str(tmp_path / "out"), str(files[0]), str(path)]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 1 and said in str(told.exception)
    assert not (tmp_path / "out").exists()


def test_one_file_and_unknown_ways_are_refused(recipe, files, tmp_path):
    with pytest.raises(DataError, match="1 files of blocks"):
        Blocks.load(files[:1])
    command = ["study", "blocks", "--config", str(recipe), "--output", str(tmp_path / "out"), *map(str, files)]
    told = CliRunner().invoke(app, [*command, "--ways", "frozen,magic"])
    assert told.exit_code == 1 and "there is no way 'magic'" in str(told.exception)
    told = CliRunner().invoke(app, [*command, "--counts", "magic"])
    assert told.exit_code == 1 and "magic" in str(told.exception)
