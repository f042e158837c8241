"""The study over time: every interaction is predicted once, before it is learned, by models that know what they may."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from recommender.cli.command_line import app
from recommender.config import Config
from recommender.errors import DataError
from recommender.studies import prequential as study
from tests.conftest import tiny_recipe, write_csv, write_tables

RANK = {"stage": "rank", "epochs": 1, "row_tokens": 64, "batch_tokens": 128, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, catalogue, histories, llm_folder, text_folder):
    folder = tmp_path_factory.mktemp("recipe")
    cache = tmp_path_factory.getbasetemp() / "encodings"
    training = {"stages": [RANK]}
    raw = tiny_recipe(write_tables(folder, catalogue, histories), llm_folder, text_folder, cache, training) | {
        "update": {"epochs": 1, "least": 2}
    }
    # each user's items one day apart, users shifted, so that no two times are the same
    rows = [(f"u{u}", catalogue[int(i)].item_id, 100 * t + u) for u, h in enumerate(histories) for t, i in enumerate(h)]
    write_csv(folder / "interactions.csv", "user_id item_id timestamp", rows)
    path = folder / "recipe.yaml"
    path.write_text(Config.parse(raw).to_yaml())
    return path


@pytest.fixture(scope="module")
def studied(recipe, tmp_path_factory):
    output = tmp_path_factory.mktemp("study") / "out"
    command = ["study", "prequential", "--config", str(recipe), "--blocks", "2", "--output", str(output), "--quiet"]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    return told.output, output


def a_study(recipe, output, **options):
    return study._Study(
        Config.load(recipe),
        study.PrequentialOptions(**{"blocks": 2} | options),
        output,
        study.Steps(output / "s"),
        None,
    )


def test_all_ways_are_measured_and_told(studied):
    said, output = studied
    figures = json.loads((output / study.FIGURES).read_text())
    assert set(figures["blocks"]) == set(study.WAYS)
    assert "of full training's N@10" in said and "N@10 on the first block" in said
    assert len(figures["seconds"]["update"]) == 2 and len(figures["seconds"]["full"]) == 1
    assert figures["blocks"]["update"][0] == figures["blocks"]["history"][0] == figures["blocks"]["full"][0]
    assert "Does it stay current?" in (output / study.PAGE).read_text()


def test_events_lie_in_their_block_and_know_only_what_was_before(recipe, tmp_path):
    one = a_study(recipe, tmp_path)
    for block, events in enumerate(one.events):
        assert events
        for event in events:
            place = len(event.target.history)
            times, items = one.histories.times[event.user], one.histories.items[event.user]
            assert one.moments[block] < times[place] <= one.moments[block + 1]
            assert items[place] == event.target.item and np.array_equal(items[:place], event.target.history)
            assert event.known_at_base == (times <= one.moments[0]).sum()
    everything = sum(len(events) for events in one.events)
    assert everything == sum(int((times[1:] > one.moments[0]).sum()) for times in one.histories.times)


def test_tables_and_histories_end_with_the_moment(recipe, tmp_path):
    one = a_study(recipe, tmp_path)
    known = one._until(one.moments[1])
    assert max(times[-1] for times in known.times) <= one.moments[1]
    assert one.recipe(1).training.keep_test_out is False
    rows = (tmp_path / "until-1.csv").read_text().splitlines()
    assert len(rows) - 1 == sum(map(len, known.items))


def test_a_perfect_list_has_measures_of_one_and_none_at_all_of_zero():
    users = np.arange(4)
    assert study._measured([1, 1, 1, 1], users, 0)["ndcg"] == {"mean": 1.0, "interval": [1.0, 1.0]}
    assert study._measured([11] * 4, users, 0)["recall"]["mean"] == 0.0


def test_it_goes_on_and_is_not_mixed_with_another(studied, recipe):
    _, output = studied
    config, before = Config.load(recipe), json.loads((output / study.FIGURES).read_text())
    assert study.study_prequential(config, study.PrequentialOptions(blocks=2), output)["all"] == before["all"]
    with pytest.raises(DataError, match="holds a study with other settings"):
        study.study_prequential(config, study.PrequentialOptions(blocks=3), output)
