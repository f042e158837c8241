"""What listens, and how it was tuned, is still there when items are added, and when a model is updated."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from recommender.chat import Chat
from recommender.cli.command_line import app
from recommender.config import Config
from recommender.conversations.tuned import TUNED
from recommender.data.catalogue import Item
from recommender.engine import Recommender
from recommender.errors import CheckpointError
from recommender.model.checkpoint import from_pretrained, save_pretrained
from recommender.pipelines import train
from recommender.pipelines.add_items import add_items
from recommender.pipelines.converse import teach_listening
from recommender.pipelines.tune_conversations import tune_conversations
from recommender.pipelines.update import update_checkpoint
from tests.conftest import TEACHING, tiny_recipe, write_tables
from tests.pipelines.test_update import FAST, RANK, come_back, world

__all__ = ["world"]  # a fixture
NEW = [
    Item("new", "The red war", attributes={"genres": ("comedy",), "year": ("1990",)}),
    Item("newer", "The blue war", attributes={"genres": ("drama",), "year": ("1980",)}),
]
ASKED = [("user", "I liked The red story . a comedy ?")]


@pytest.fixture(scope="module")
def base(tmp_path_factory, catalogue, histories, llm_folder, text_folder):
    """A recipe and its checkpoint, which has learned to listen and was tuned."""
    folder, work = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("work")
    cache = tmp_path_factory.getbasetemp() / "encodings"
    training = {"stages": [RANK], "keep_test_out": False}
    raw = tiny_recipe(write_tables(folder, catalogue, histories), llm_folder, text_folder, cache, training, history=8)
    raw["encoders"]["collaborative_width"] = 4
    train.train(Config.parse(raw), work / "model")
    teach_listening(work / "model", work / "taught", Config.parse(TEACHING))
    lines = []
    for n in range(30):
        item = catalogue[n % 20]
        said = [{"role": "user", "content": f"{item.attributes['genres'][0]} please"}]
        lines.append({"messages": said, "named": [], "targets": [item.item_id]})
    (work / "dialogues.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tune_conversations(work / "taught", work / "dialogues.jsonl", folder / "model")
    return folder


def heard(engine):
    """Return what an engine hears of items that were known before, log-probabilities without what all have alike."""
    known = [str(100 + n) for n in range(20)]
    scores = engine.hear_prompts([engine.converse(ASKED).prompt])[0][engine.catalogue.indices(known)]
    return scores - scores.mean()


def test_added_items_are_heard_of_and_known_ones_as_before(world, catalogue):
    before = Recommender.from_pretrained(world)
    assert before.listens and before.setup.tuned is not None
    add_items(world, NEW)
    after = Recommender.from_pretrained(world)
    assert after.listens and len(after.catalogue) == 22
    assert np.corrcoef(heard(before), heard(after))[0, 1] > 0.99
    scores = after.hear_prompts([after.converse(ASKED).prompt])[0]
    assert np.isfinite(scores).all() and scores.min() < scores[after.catalogue.index("new")] < 0
    reply = Chat.of(after).reply([{"role": "user", "content": "I liked The red story"}], k=22, explain=False)
    assert {"new", "newer"} <= {item.item_id for item in reply.items}


def test_tuned_weights_know_the_new_items(world, catalogue):
    before = Recommender.from_pretrained(world).setup.tuned
    add_items(world, NEW)
    engine = Recommender.from_pretrained(world)
    after = engine.setup.tuned
    assert after.weights == before.weights
    places = engine.catalogue.indices(catalogue.item_ids)
    np.testing.assert_array_equal(after.prior[places], before.prior)
    np.testing.assert_array_equal(after.taste.popularity[places], before.taste.popularity)
    new = np.setdiff1d(np.arange(22), places)
    assert (after.prior[new] >= before.prior.min()).all() and (after.prior[new] <= before.prior.max()).all()
    for n in range(20):
        rows = before.taste.company.rows([n])[0], after.taste.company.rows([int(places[n])])[0]
        np.testing.assert_array_equal(rows[1][places], rows[0])
    assert not after.taste.company.rows(new.tolist()).any()


def test_an_update_keeps_both_with_and_without_new_items(world, catalogue, histories):
    come_back(world, catalogue, histories)
    tuned = load_file(world / TUNED)
    loose = FAST.model_copy(update={"epochs": 1.0, "margin": 1.0})
    assert update_checkpoint(world, 500, settings=loose).live
    same = load_file(world / TUNED)
    assert all(np.array_equal(same[name], tuned[name]) for name in tuned)
    assert Recommender.from_pretrained(world).listens
    table = world.parent / "items.csv"
    table.write_text(table.read_text() + "new,The red war,comedy,1990\n")
    assert update_checkpoint(world, 500, settings=loose).new_items == 1
    engine = Recommender.from_pretrained(world)
    assert engine.listens and len(engine.setup.tuned.prior) == 21


def test_the_command_extend_keeps_both(world, tmp_path):
    table = tmp_path / "more.csv"
    header, *rows = (world.parent / "items.csv").read_text().splitlines()
    table.write_text("\n".join([header, "new,The red war,comedy,1990", *rows]) + "\n")
    out = tmp_path / "extended"
    done = CliRunner().invoke(app, ["extend", str(world), "--items", str(table), "--output", str(out), "--quiet"])
    assert done.exit_code == 0, done.output
    engine, before = Recommender.from_pretrained(out), Recommender.from_pretrained(world)
    assert engine.catalogue[0].item_id == "new" and np.corrcoef(heard(before), heard(engine))[0, 1] > 0.99
    np.testing.assert_array_equal(engine.setup.tuned.prior[1:], before.setup.tuned.prior)


def test_a_listener_of_other_content_is_one_line(world, tmp_path):
    checkpoint = from_pretrained(world)
    checkpoint.config = checkpoint.config.updated({"encoders.text": None})
    shutil.rmtree(world)
    save_pretrained(checkpoint, world)
    with pytest.raises(CheckpointError, match="teach the model again"):
        add_items(world, NEW)
    assert Recommender.from_pretrained(world).listens
