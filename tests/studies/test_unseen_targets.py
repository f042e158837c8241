"""Targets that a checkpoint was trained on are found by content, whatever tables, limits and splits are called."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from recommender.data.catalogue import Catalogue
from recommender.errors import DataError
from recommender.model.checkpoint import save_pretrained
from recommender.model.trained_on import TrainedOn
from recommender.pipelines.train import load_histories, split_of
from recommender.studies.comparison import EvaluationOptions, evaluate
from tests.conftest import ITEMS, write_csv, write_tables

USERS = 12


def table(path: Path, histories, name="u{}") -> str:
    """Write interactions with ratings: 5 for the first seven of each user, 4 for later ones."""
    rows = [
        (name.format(u), 100 + i, t, 5 if t < 7 else 4)
        for u, items in enumerate(histories)
        for t, i in enumerate(items)
    ]
    write_csv(path, "user_id item_id timestamp rating", rows)
    return str(path)


@pytest.fixture
def world(make_checkpoint, catalogue, config, tmp_path):
    """Write tables and a checkpoint that says it was trained on them; returns its folder and the histories."""
    random = np.random.default_rng(0)
    histories = [random.permutation(ITEMS)[:10].tolist() for _ in range(USERS)]

    def make(sketch=True, histories=histories, **changes):
        tables = write_tables(tmp_path, catalogue, [])
        tables["interactions"] = table(tmp_path / "interactions.csv", histories)
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        settings = config.updated({f"data.{name}": path for name, path in tables.items()} | changes)
        checkpoint = make_checkpoint(1, settings)
        checkpoint.catalogue = Catalogue.load(tables["items"])
        read = load_histories(settings, checkpoint.catalogue)
        learned = split_of(settings, read).train.items
        checkpoint.trained_on = TrainedOn.of(read, learned, checkpoint.catalogue) if sketch else None
        save_pretrained(checkpoint, tmp_path / "model")
        return str(tmp_path / "model"), histories

    return make


def loosened(folder):
    from recommender.config import Config

    return Config.load(Path(folder) / "config.yaml")


def test_what_was_kept_out_is_evaluated(world, caplog):
    folder, _ = world()
    assert len(evaluate([folder]).per_user) and not caplog.text


COURSE = [[(u + 3 * step) % ITEMS for step in range(8)] for u in range(18)]
"""Everybody takes the parts of a course in their order: what one has next, another one had."""


def test_the_parts_of_a_course_in_their_order_are_no_leak(world, tmp_path):
    folder, histories = world(histories=COURSE)
    assert len(evaluate([folder]).per_user)
    table(tmp_path / "interactions.csv", histories[1:])  # the table has changed since
    evaluate([folder])


def test_another_minimum_rating_is_refused_and_the_target_named(world):
    folder, histories = world()
    config = loosened(folder).updated({"data.minimum_rating": 5})
    with pytest.raises(DataError, match=r"trained on 12 of the 12 targets; first user 'u0' and item '\d+'") as error:
        evaluate([folder], config=config)
    assert f"item '{100 + histories[0][6]}'" in error.value.message and "leave-one-out" in error.value.hint


def test_a_lower_rating_limit_than_the_trainings_leaks_nothing(world, caplog):
    """The last of all ratings is no more learned than the last of the high ones."""
    folder, _ = world(data__minimum_rating=5)
    evaluate([folder], config=loosened(folder).updated({"data.minimum_rating": 4}))
    assert not caplog.text


def test_a_shorter_table_is_refused(world, tmp_path):
    folder, histories = world()
    shorter = table(tmp_path / "shorter.csv", [items[:-3] for items in histories])
    with pytest.raises(DataError, match="trained on 12 of the 12 targets"):
        evaluate([folder], interactions=shorter)


def test_one_leaked_target_among_many_is_found(world, tmp_path):
    folder, histories = world()
    one = table(tmp_path / "one.csv", [histories[0][:-4], *histories[1:]])
    with pytest.raises(DataError, match="trained on 1 of the 12 targets; first user 'u0'"):
        evaluate([folder], interactions=one)


def test_what_stopped_the_training_is_noted(world, tmp_path, caplog):
    folder, histories = world()
    evaluate([folder], interactions=table(tmp_path / "shorter.csv", [items[:-1] for items in histories]))
    assert "12 of the 12 targets decided when its training stopped" in caplog.text


def test_a_table_of_targets_is_refused_where_they_were_learned(world, tmp_path):
    folder, histories = world()
    shorter = table(tmp_path / "shorter.csv", [items[:5] for items in histories])
    write_csv(tmp_path / "seen.csv", "user_id item_id", [("u3", 100 + histories[3][6])])
    write_csv(tmp_path / "unseen.csv", "user_id item_id", [("u3", 100 + histories[3][-1])])
    with pytest.raises(DataError, match="trained on 1 of the 1 targets; first user 'u3'"):
        evaluate([folder], interactions=shorter, test=str(tmp_path / "seen.csv"))
    evaluate([folder], interactions=shorter, test=str(tmp_path / "unseen.csv"))


def test_users_under_other_names_are_known_by_what_they_did(world, tmp_path):
    folder, histories = world()
    evaluate([folder], interactions=table(tmp_path / "renamed.csv", histories, "person {}"))
    shorter = table(tmp_path / "shorter.csv", [items[:-3] for items in histories], "person {}")
    with pytest.raises(DataError, match="trained on 12 of the 12 targets; first user 'person 0'"):
        evaluate([folder], interactions=shorter)


OTHERS = {
    "swapped": lambda items, user: f"u{user ^ 1}",
    "rotated": lambda items, user: f"u{(user + 1) % USERS}",
    "other": lambda items, user: f"x{user}",
}
CUTS = {"end": slice(0, -3), "both": slice(1, -3), "five": slice(0, 5), "four": slice(2, 6)}


def renamed(path: Path, histories, name) -> str:
    rows = [(name(items, u), 100 + i, t) for u, items in enumerate(histories) for t, i in enumerate(items)]
    write_csv(path, "user_id item_id timestamp", rows)
    return str(path)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", OTHERS)
def test_whatever_the_users_are_called_what_was_learned_is_refused(world, tmp_path, name, cut):
    folder, histories = world()
    shorter = renamed(tmp_path / "shorter.csv", [items[CUTS[cut]] for items in histories], OTHERS[name])
    with pytest.raises(DataError, match=r"trained on \d+ of the \d+ targets"):
        evaluate([folder], interactions=shorter)


@pytest.mark.parametrize("name", OTHERS)
def test_targets_of_a_table_of_renamed_users_are_refused(world, tmp_path, name):
    folder, histories = world()
    shorter = renamed(tmp_path / "shorter.csv", [items[:6] for items in histories], OTHERS[name])
    rows = [(OTHERS[name](items, user), 100 + items[6]) for user, items in enumerate(histories)]
    write_csv(tmp_path / "test.csv", "user_id item_id", rows)
    with pytest.raises(DataError, match=r"trained on \d+ of the \d+ targets"):
        evaluate([folder], interactions=shorter, test=str(tmp_path / "test.csv"))


def swapped(items, place):
    return [*items[:place], items[place + 1], items[place], *items[place + 2 :]]


ORDERS = {
    "two before the target": lambda items: swapped(items, len(items) - 3),
    "the target and the one before": lambda items: swapped(items, len(items) - 2),
    "several": lambda items: swapped(swapped(items, len(items) - 2), len(items) - 4),
    "backwards": lambda items: [*items[:-5], *items[-5:][::-1]],
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("order", ORDERS)
def test_renamed_users_of_a_table_in_slightly_another_order_are_refused(world, tmp_path, order, name):
    folder, histories = world()
    other = renamed(tmp_path / "other.csv", [ORDERS[order](items[:-3]) for items in histories], OTHERS[name])
    with pytest.raises(DataError, match=r"trained on \d+ of the \d+ targets"):
        evaluate([folder], interactions=other)


def test_other_people_are_no_leak_in_whatever_order(world, tmp_path):
    folder, _ = world()
    random = np.random.default_rng(1)
    others = [random.permutation(ITEMS)[:8].tolist() for _ in range(USERS)]
    assert len(evaluate([folder], interactions=renamed(tmp_path / "o.csv", others, OTHERS["other"])).per_user)


def test_one_target_that_follows_the_same_items_is_noted(world, tmp_path, caplog):
    folder, histories = world()
    evaluate([folder], interactions=table(tmp_path / "one.csv", [histories[0][:-3]], "x{}"))
    assert "1 of the 1 targets follow the same items" in caplog.text


def test_renamed_users_are_known_without_the_table(world, tmp_path):
    folder, histories = world()
    (tmp_path / "interactions.csv").unlink()
    shorter = table(tmp_path / "shorter.csv", [items[:-3] for items in histories], "x{}")
    with pytest.raises(DataError, match=r"trained on about \d+ of the 12 targets"):
        evaluate([folder], interactions=shorter)
    few = table(tmp_path / "few.csv", [items[:-3] for items in histories[:6]])
    with pytest.raises(DataError, match=r"trained on about \d of the 6 targets"):
        evaluate([folder], interactions=few)


def test_what_the_adapter_of_the_beginning_learned_is_known(world, make_checkpoint, tmp_path, caplog):
    """The first training kept nothing out, the one that went on from it did."""
    folder, histories = world(training__keep_test_out=False)
    later = Path(folder).rename(tmp_path / "first")
    first = TrainedOn.load(later)
    settings = loosened(later).updated({"training.keep_test_out": True, "base.adapter": str(later)})
    checkpoint = make_checkpoint(1, settings)
    checkpoint.catalogue = Catalogue.load(settings.data.items)
    read = load_histories(settings, checkpoint.catalogue)
    learned = split_of(settings, read).train.items
    checkpoint.trained_on = TrainedOn.of(read, learned, checkpoint.catalogue, first)
    save_pretrained(checkpoint, tmp_path / "model")
    with pytest.raises(DataError, match="first: was trained on 12 of the 12 targets"):
        evaluate([folder])
    shutil.rmtree(later)
    with pytest.raises(DataError, match="began from: was trained on about"):
        evaluate([folder])


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "changed"])
def test_without_the_table_the_checkpoint_itself_knows(world, tmp_path, gone, caplog):
    folder, histories = world()
    shorter = table(tmp_path / "shorter.csv", [items[:-3] for items in histories])
    whole = table(tmp_path / "whole.csv", histories)
    (tmp_path / "interactions.csv").unlink()
    if not gone:
        table(tmp_path / "interactions.csv", [items[:-3] for items in histories])  # the same name, other content
    with pytest.raises(DataError, match=r"trained on about \d+ of the 12 targets"):
        evaluate([folder], interactions=shorter)
    evaluate([folder], interactions=whole)
    assert "not at hand any more" in caplog.text


def test_of_an_older_checkpoint_a_note_says_what_is_not_known(world, tmp_path, caplog):
    folder, histories = world(sketch=False)
    evaluate([folder])
    assert "holds no digest of its interactions" in caplog.text and "by the name of its table only" in caplog.text
    (tmp_path / "interactions.csv").unlink()
    evaluate([folder], interactions=table(tmp_path / "other.csv", histories))
    assert "is known not" in caplog.text


def test_one_that_was_trained_on_all_takes_later_targets(world, tmp_path):
    folder, histories = world(training__keep_test_out=False)
    whole = str(tmp_path / "interactions.csv")
    write_csv(tmp_path / "later.csv", "user_id item_id", [("u0", 100 + min(set(range(ITEMS)) - set(histories[0])))])
    evaluate([folder], interactions=whole, test=str(tmp_path / "later.csv"))
    shorter = table(tmp_path / "shorter.csv", [items[:-1] for items in histories])
    write_csv(tmp_path / "last.csv", "user_id item_id", [("u0", 100 + histories[0][-1])])
    with pytest.raises(DataError, match="trained on 1 of the 1"):
        evaluate([folder], interactions=shorter, test=str(tmp_path / "last.csv"))


def test_baselines_alone_learn_from_what_is_given(world, tmp_path):
    _, histories = world()
    shorter = table(tmp_path / "shorter.csv", [items[:-3] for items in histories])
    items = str(tmp_path / "items.csv")
    assert len(evaluate(["popularity"], items, shorter, options=EvaluationOptions(users=5)).per_user)
