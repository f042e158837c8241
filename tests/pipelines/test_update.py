"""Updates: what came since is learned, what was known is kept, and a worse version never goes live."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from recommender.cli.command_line import app
from recommender.config import Config, UpdateConfig
from recommender.data.histories import Histories
from recommender.engine import Recommender
from recommender.errors import ConfigError, DataError
from recommender.model.checkpoint import from_pretrained
from recommender.model.manifest import write_manifest
from recommender.pipelines import train, update
from recommender.pipelines.fuse import fuse_checkpoint
from recommender.pipelines.left_out import NamedStore
from recommender.pipelines.update_block import Refusal, make_block
from recommender.pipelines.versions import kept_versions, read_log, roll_back
from recommender.store.events import Event
from recommender.store.master_keys import new_master_key
from recommender.store.store import Store
from recommender.training.own_softmax import own_softmax
from tests.conftest import tiny_recipe, write_csv, write_tables

RANK = {"stage": "rank", "epochs": 12, "row_tokens": 64, "batch_tokens": 256, "learning_rate": 0.01, "patience": 20}
FAST = UpdateConfig(
    epochs=12, learning_rate=0.01, rows_learning_rate=0.05, projector_learning_rate=0.01, least=4, window=0.3, context=3
)


@pytest.fixture(scope="module")
def base(tmp_path_factory, catalogue, histories, llm_folder, text_folder):
    """A recipe and its checkpoint, trained on the first times; users come back at 1000."""
    folder = tmp_path_factory.mktemp("base")
    cache = tmp_path_factory.getbasetemp() / "encodings"
    training = {"stages": [RANK], "keep_test_out": False}
    raw = tiny_recipe(write_tables(folder, catalogue, histories), llm_folder, text_folder, cache, training, history=8)
    train.train(Config.parse(raw), folder / "model")
    return folder


@pytest.fixture
def world(base, tmp_path, catalogue, histories):
    """A copy of the checkpoint over tables of its own, in which everybody now takes one item after another one."""
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    model = tmp_path / "model"
    config = Config.load(model / "config.yaml")
    moved = {f"data.{name}": str(tmp_path / f"{name}.csv") for name in ("items", "interactions")}
    (model / "config.yaml").write_text(config.updated(moved).to_yaml())
    manifest = json.loads((model / "checkpoint.json").read_text())
    write_manifest(model, {name: value for name, value in manifest.items() if name != "files"})
    return model


def come_back(model, catalogue, histories, items=(3, 7), start=1000):
    """Write that everybody took these items, which is news."""
    table = model.parent / "interactions.csv"
    with table.open() as file:
        header, *rows = csv.reader(file)
    for user in range(len(histories)):
        rows += [(f"u{user}", catalogue[item].item_id, start + user + 100 * n) for n, item in enumerate(items)]
    write_csv(table, " ".join(header), rows)


def test_what_came_since_is_learned_and_lives_in_the_place_of_the_old_version(world, catalogue, histories):
    come_back(world, catalogue, histories)
    result = update.update_checkpoint(world, 500, settings=FAST)
    assert result.live and result.after > result.before
    assert result.counts["new"] == round(0.7 * 2 * len(histories), -1) or result.counts["new"] > 10
    assert len(kept_versions(world)) == 1
    assert from_pretrained(world).metrics["until"] == result.until
    told = read_log(world)[-1]
    assert told["live"] and told["until"] == result.until and told["before"] == result.before
    assert Recommender.from_pretrained(world).recommend(history=[catalogue[3].item_id], k=3)


def test_a_worse_version_stays_away_and_the_log_says_why(world, catalogue, histories, monkeypatch):
    come_back(world, catalogue, histories)
    before = (world / "checkpoint.json").read_bytes()
    monkeypatch.setattr(update, "judge", lambda checkpoint, targets, progress: next(judged))
    judged = iter([np.full(9, 0.5), np.full(9, 0.4)])
    result = update.update_checkpoint(world, 500, settings=FAST)
    assert not result.live and result.why.startswith("worse: NDCG@10 0.4000 after, 0.5000 before")
    assert (world / "checkpoint.json").read_bytes() == before and not kept_versions(world)
    assert read_log(world)[-1]["live"] is False


def test_the_next_update_goes_on_where_the_last_one_ended(world, catalogue, histories):
    come_back(world, catalogue, histories)
    first = update.update_checkpoint(world, 500, settings=FAST)
    come_back(world, catalogue, histories, (5, 9), 3000)
    second = update.update_checkpoint(world, settings=FAST)
    assert second.since == first.until and second.until > first.until
    assert len(kept_versions(world)) == 2
    for _ in range(2):
        update.update_checkpoint(world, 500, settings=FAST.model_copy(update={"keep": 2, "margin": 1.0}))
    assert len(kept_versions(world)) == 2


def test_a_rollback_puts_the_same_bytes_back(world, catalogue, histories):
    old = {path.name: path.read_bytes() for path in world.iterdir()}
    come_back(world, catalogue, histories)
    update.update_checkpoint(world, 500, settings=FAST)
    assert (world / "adapter.safetensors").read_bytes() != old["adapter.safetensors"]
    roll_back(world)
    assert {path.name: path.read_bytes() for path in world.iterdir()} == old
    with pytest.raises(DataError, match="has no earlier version"):
        roll_back(world)


def test_new_items_get_rows_and_are_learned(world, catalogue, histories):
    items = world.parent / "items.csv"
    with items.open() as file:
        header, *rows = csv.reader(file)
    write_csv(items, " ".join(header), [*rows, ("new-1", "A new film", "Drama", "1999")])
    come_back(world, catalogue, histories, (3,))
    table = world.parent / "interactions.csv"
    with table.open("a", newline="") as file:
        csv.writer(file).writerows([(f"u{user}", "new-1", 1200 + user) for user in range(len(histories))])
    result = update.update_checkpoint(world, 500, settings=FAST)
    assert result.live and result.new_items == 1
    assert "new-1" in [i.item_id for i in Recommender.from_pretrained(world).recommend([catalogue[3].item_id], k=5)]


def test_what_is_refused_is_listed_less(world, catalogue, histories):
    come_back(world, catalogue, histories)
    live = from_pretrained(world)
    counts = {one: sum(one in history for history in histories) for one in range(len(catalogue)) if one not in (3, 7)}
    item = min(counts, key=lambda one: abs(counts[one] - len(histories) / 2))
    people = [n for n in range(len(histories)) if item not in histories[n]]
    loaded = train.load_histories(live.config, live.catalogue)
    gentle = {"window": 0.1, "epochs": 4, "learning_rate": 1e-3, "rows_learning_rate": 5e-3}
    settings = FAST.model_copy(update=gentle | {"projector_learning_rate": 1e-3})
    block = make_block(loaded, 500, settings, 9, refusals=[Refusal(f"u{n}", item, 1000.0 + n) for n in people])
    assert block.counts["refused"] > 3
    other = from_pretrained(world)
    update.learn(live, block, settings, world.parent / "work", "start")
    update.learn(other, make_block(loaded, 500, settings, 9), settings, world.parent / "work2", "start")
    asked = [loaded.items[n][-3:-2] for n in people]
    scores = [Recommender(one).score(asked, candidates=[item]).mean() for one in (live, other)]
    assert scores[0] < scores[1] - 0.1


def test_a_store_says_what_was_refused(world, catalogue, histories, tmp_path):
    come_back(world, catalogue, histories)
    new_master_key(tmp_path / "keys", "first")
    store = Store.open(tmp_path / "store.db", tmp_path / "keys")
    item = catalogue[11].item_id
    taker = next(n for n in range(len(histories)) if 11 not in histories[n])
    store.events.add([Event(id="e1", user=f"u{taker}", item=item, kind="hide", time=1050)])
    store.let_go()
    named = NamedStore(str(tmp_path / "store.db"), str(tmp_path / "keys"))
    assert update.update_checkpoint(world, 500, settings=FAST, store=named).counts["refused"] == 1


def test_the_proximal_term_keeps_the_model_close_to_itself(world, catalogue, histories):
    come_back(world, catalogue, histories)
    distances = []
    for weight in (0.0, 20.0):
        live = from_pretrained(world)
        loaded = train.load_histories(live.config, live.catalogue)
        old = Recommender.from_pretrained(world).score([np.array([1, 2])], candidates=range(len(catalogue)))
        settings = FAST.model_copy(update={"proximal": weight})
        update.learn(live, make_block(loaded, 500, settings, 9), settings, world.parent / f"w{weight}", "start")
        new = Recommender(live).score([np.array([1, 2])], candidates=range(len(catalogue)))
        distances.append(float((np.exp(old) * (old - new)).sum()))
    assert distances[1] < distances[0] / 2


def test_own_softmax_is_what_the_model_scores(world, catalogue, histories):
    checkpoint = from_pretrained(world)
    history = np.array([1, 2, 3])
    learned = np.array([False, False, True])
    found = own_softmax(checkpoint.model, checkpoint.builder, [history], learned, 0.5)
    scores = Recommender(checkpoint).score([history[:2]], candidates=range(len(catalogue)))[0]
    probabilities = torch.from_numpy(np.exp(scores)).float()
    order = found.items[2].long()
    torch.testing.assert_close(found.probabilities[2].float(), probabilities[order], atol=2e-3, rtol=2e-2)
    assert not found.probabilities[:2].any()
    refused = own_softmax(checkpoint.model, checkpoint.builder, [history], learned, 0.5, {2: int(order[0])})
    assert refused.weight[2] == 1 and refused.weight[0] == 0.5
    assert float(refused.probabilities[2][refused.items[2] == order[0]].sum()) == 0


def test_fused_baselines_are_counted_anew_with_their_weights(world, catalogue, histories):
    config = Config.load(world / "config.yaml").updated({"training.keep_test_out": True})
    train.train(config, world)
    fuse_checkpoint(str(world), ["popularity"], world)
    before = Recommender.from_pretrained(world).fusion
    come_back(world, catalogue, histories)
    update.update_checkpoint(world, 500, settings=FAST.model_copy(update={"margin": 1.0}))
    after = Recommender.from_pretrained(world).fusion
    assert after.weights == before.weights
    counts = [fusion.baselines["popularity"].scores([np.array([0])])[0] for fusion in (before, after)]
    assert counts[1][3] > counts[0][3]


def test_blocks_hold_what_is_new_once_and_window_targets_behind_it():
    items = (np.arange(10), np.arange(5, 12), np.array([1]))
    times = (np.arange(10.0), np.array([0.0, 1, 2, 20, 21, 22, 23]), np.array([30.0]))
    histories = Histories(("a", "b", "c"), items, times)
    config = UpdateConfig(least=2, window=0.2, context=2, replay=0.5)
    block = make_block(histories, 4.5, config, 6)
    parts = _parts(block)
    assert [history.tolist() for history, _ in parts[:3]] == [[3, 4, 5, 6, 7, 8], [7, 8, 9], [6, 7, 8, 9, 10]]
    assert [history[learned].tolist() for history, learned in parts[:3]] == [[5, 6, 7, 8], [9], [8, 9, 10]]
    assert block.until == 22.0 and block.counts | {"replayed": 0} == {"new": 8, "users": 2, "replayed": 0, "refused": 0}
    assert [(target.item, len(target.history)) for target in block.targets] == [(11, 6)]
    assert 0 < block.counts["replayed"] <= 4
    whole = make_block(histories, 4.5, config, 6, until=30.0)
    assert whole.targets == () and whole.counts["new"] == 10


def _parts(block):
    ends = np.cumsum([len(history) for history in block.histories])
    return [(h, block.learned[end - len(h) : end]) for h, end in zip(block.histories, ends, strict=True)]


def test_too_little_news_unknown_beginnings_and_tables_without_times_are_one_line(world, catalogue, histories):
    with pytest.raises(DataError, match="0 interactions came since 500, and an update waits for 4"):
        update.update_checkpoint(world, 500, settings=FAST)
    with pytest.raises(DataError, match="an update goes by time"):
        make_block(Histories(("a",), (np.arange(3),)), 0, FAST, 5)
    checkpoint = from_pretrained(world)
    checkpoint.metrics.pop("until")
    with pytest.raises(ConfigError, match="does not say up to when it learned"):
        update._since(world, checkpoint, None)


def test_the_commands(world, catalogue, histories):
    come_back(world, catalogue, histories)
    quick = [part for key in ("epochs=1", "least=4", "window=0.3", "margin=1") for part in ("--set", key)]
    told = CliRunner().invoke(app, ["update", str(world), "--since", "500", *quick, "--quiet"])
    assert told.exit_code == 0 and "live" in told.output, told.output
    shown = CliRunner().invoke(app, ["update", "log", str(world), "--json"])
    assert json.loads(shown.output)[0]["live"] is True
    assert CliRunner().invoke(app, ["update", "rollback", str(world)]).exit_code == 0
    assert not kept_versions(world)
