"""The stage `rank` in groups of users: each interaction once an epoch, any step again, and memory that does not grow."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import count

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from recommender import assets
from recommender.config import StageConfig
from recommender.data.histories import Histories, leave_one_out
from recommender.errors import DataError
from recommender.model.soft_targets import SoftTargets
from recommender.prompting.example import ITEM
from recommender.training import TrainingData, epochs, run_stages, streaming
from recommender.training.loop import STATE
from recommender.training.run_state import trainable
from tests.conftest import ITEMS

STAGE = StageConfig(stage="rank", batch_tokens=256, row_tokens=64, titled_share=0.0)
RECIPE = [{"stage": "rank", "epochs": 2, "batch_tokens": 128, "row_tokens": 64, "learning_rate": 0.01}]


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(streaming, "CHUNK", 8)
    monkeypatch.setattr(assets, "cache_dir", lambda: tmp_path / "cache")


def walks(users: int) -> Histories:
    histories = [(np.arange(4 + u % 5) * (1 + u % 3) + u) % ITEMS for u in range(users)]
    return Histories(tuple(map(str, range(users))), tuple(histories))


def stream_of(builder, histories, users=40, stage=STAGE, **more):
    data = TrainingData(builder, leave_one_out(histories), **more)
    return streaming.EpochStream(data, stage, 0, 0, users, builder.prefix)


def shards(folder, histories, catalogue, files=3):
    folder.mkdir()
    for part in range(files):
        users = range(part, len(histories), files)
        ids = [[int(catalogue[int(i)].item_id) for i in histories.items[user]] for user in users]
        table = pa.table({"user_id": [histories.user_ids[user] for user in users], "item_id": ids})
        pq.write_table(table, folder / f"{part:05d}.parquet")
    return folder


def learned(batches, levels=1) -> Counter:
    """Count what is learned: (items before, the item that follows)."""
    found: Counter = Counter()
    for rows in batches:
        for example in (example for row in rows for example in row):
            items = example.items[example.slots == ITEM].tolist()
            codes = example.labels[(example.labels >= 0)].tolist()
            found.update((tuple(items[: n + len(items) - len(codes) + 1]), code) for n, code in enumerate(codes))
    return found


def test_an_epoch_of_groups_has_every_interaction_once(make_checkpoint):
    builder, histories = make_checkpoint().builder, walks(150)
    stream = stream_of(builder, histories)
    assert stream.groups == 4
    length = stream.count()
    batches = [stream.batch(number) for number in range(length)]
    whole = epochs.examples(stream.data, STAGE, epochs.generator(0, 0, 0))
    assert learned(batches) == learned([[whole]]) and sum(learned(batches).values()) > 300
    following = [stream.batch(length + number) for number in range(len(batches))]
    assert stream.place.epoch == 1 and learned(following) == learned(batches)
    users = [stream.users_of(0, group) for group in range(4)]
    assert sorted(sum(users, [])) == list(range(150)) and users[0] != [*range(40)] != stream.users_of(1, 0)
    assert all(len({e.writes for row in rows for e in row}) == 1 and len(rows) <= 4 for rows in batches)


def test_any_batch_can_be_made_again(make_checkpoint):
    builder = make_checkpoint().builder
    stream, other = (stream_of(builder, walks(100)) for _ in range(2))

    def contents(rows):
        return [(e.items.tolist(), e.labels.tolist()) for row in rows for e in row]

    forward = [contents(stream.batch(number)) for number in range(2 * stream.count())]
    assert contents(stream.batch(0)) == forward[0]
    last = len(forward) - 1
    stream.batch(last)
    other.seek(streaming.Place(**vars(stream.place)))
    made = []
    other.of_group, make = lambda *place: made.append(place) or make(*place), other.of_group
    assert contents(other.batch(last)) == forward[last] and len(made) == 1


def test_a_teachers_answers_are_found_by_the_interactions_of_all(make_checkpoint):
    histories = walks(60)
    train = leave_one_out(histories).train.items
    targets = torch.from_numpy(np.concatenate(train))
    teacher = SoftTargets(targets, targets[:, None], torch.ones(len(targets), 1), 0.5)
    builder = make_checkpoint().builder
    stream = stream_of(builder, histories, teacher=teacher)
    for number in range(stream.count()):
        for example in (example for row in stream.batch(number) for example in row):
            at = example.labels >= 0
            codes = builder.code_tokens[targets[example.interaction_ids[at]].numpy(), 0]
            assert (example.interaction_ids[at] >= 0).all() and np.array_equal(codes, example.labels[at])


def test_memory_does_not_grow_with_the_users(make_checkpoint, catalogue, tmp_path):
    builder = make_checkpoint().builder

    def peak(users):
        folder = shards(tmp_path / f"{users}", walks(users), catalogue)
        histories = Histories.load(str(folder), catalogue)
        stream = stream_of(builder, histories, users=64)
        tracemalloc.start()
        for number in count():
            stream.batch(number)
            if stream.place.epoch:
                break
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(64)  # what is made once
    few, many = peak(160), peak(1600)
    assert many < 1.15 * few


def test_without_anything_to_learn_from_one_line_says_so(make_checkpoint):
    nothing = Histories(("a", "b"), (np.zeros(0, np.int64), np.zeros(0, np.int64)))
    with pytest.raises(DataError, match="no user has an interaction"):
        stream_of(make_checkpoint().builder, nothing).count()


def test_few_users_are_made_as_a_whole_and_texts_always(make_checkpoint, config):
    data = TrainingData(make_checkpoint().builder, leave_one_out(walks(20)))
    prefix = data.builder.prefix
    told = config.updated({"training.stream_users": 16})
    assert streaming.open_stream(data, STAGE, config, 0, prefix) is None
    assert streaming.open_stream(data, StageConfig(stage="align"), told, 0, prefix) is None
    stream = streaming.open_stream(data, STAGE, told, 0, prefix)
    assert stream is not None and stream.groups == 2


def test_shards_are_the_same_histories_as_the_table_of_interactions(catalogue, tmp_path):
    histories = walks(50)
    folder = shards(tmp_path / "shards", histories, catalogue, files=2)
    read = Histories.load(str(folder), catalogue)
    order = {name: user for user, name in enumerate(histories.user_ids)}
    assert sorted(read.user_ids, key=int) == list(histories.user_ids) and read.report.interactions == sum(
        map(len, histories.items)
    )
    ours = leave_one_out(read)
    table = leave_one_out(histories)
    for part in ("validation", "test"):
        for user, name in enumerate(read.user_ids):
            assert np.array_equal(ours.history_for(part)[user], table.history_for(part)[order[name]])
            assert getattr(ours, part)[user] == getattr(table, part)[order[name]]


def test_an_iterable_data_set_is_read_without_being_held(catalogue, tmp_path):
    datasets = pytest.importorskip("datasets")
    histories = walks(30)
    folder = shards(tmp_path / "shards", histories, catalogue, files=2)
    files = sorted(map(str, folder.iterdir()))
    source = datasets.load_dataset(
        "parquet", data_files=files, split="train", streaming=True, cache_dir=str(tmp_path / "hf")
    )
    streamed, read = Histories.load(source, catalogue), Histories.load(str(folder), catalogue)
    assert list(streamed.user_ids) == list(read.user_ids)
    assert all(map(np.array_equal, streamed.items, read.items))


def test_a_stopped_run_goes_on_with_the_same_batches(make_checkpoint, config, catalogue, tmp_path):
    settings = config.updated(
        {"training.stages": RECIPE, "training.stream_users": 16, "training.checkpoint_minutes": 1e-6}
    )
    split = leave_one_out(Histories.load(str(shards(tmp_path / "shards", walks(60), catalogue)), catalogue))

    def run(output, progress=None):
        checkpoint = make_checkpoint(1, settings)
        run_stages(checkpoint.model, TrainingData(checkpoint.builder, split), settings, tmp_path / output, progress)
        return trainable(checkpoint.model)

    def stop(what, done, total):
        if done == 3 * total // 4:
            raise KeyboardInterrupt

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("stopped", stop)
    place = torch.load(tmp_path / "stopped" / STATE, weights_only=True)["position"]["stream"]
    assert place["stage"] == 0 and place["epoch"] >= 1
    resumed = run("stopped")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
