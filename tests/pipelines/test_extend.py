"""Items added to a trained model: known ones stay as they were, new ones are ranked by what they are like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recommender.config import Config
from recommender.data.catalogue import Catalogue, Item
from recommender.engine import Recommender
from recommender.errors import CheckpointError, DataError
from recommender.model.checkpoint import from_pretrained, save_pretrained
from recommender.pipelines import train
from recommender.pipelines.extend import extend, load_extended
from tests.conftest import ITEMS, write_tables

NEW = [
    Item(item_id="a", title="The red night", attributes={"genres": ("comedy",), "year": ("1990",)}),
    Item(item_id="b", title="The green war", attributes={"genres": ("drama",), "year": ("1980",)}),
]


KINDS = {"atomic": (1, 0.0), "three levels": (2, 0.0), "met cold_items": (1, 0.3)}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def trained(request, tmp_path_factory, catalogue, histories, llm_folder, text_folder):
    folder = tmp_path_factory.mktemp("trained")
    levels, cold_items = request.param
    stage = {"stage": "rank", "epochs": 2, "batch_tokens": 128, "row_tokens": 64, "learning_rate": 0.01}
    stage |= {"cold_item_dropout": cold_items}
    raw = {
        "data": write_tables(folder, catalogue, histories),
        "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 2},
        "encoders": {"text": str(text_folder), "image": None, "audio": None, "width": 6, "collaborative_width": 4},
        "semantic_ids": {"levels": levels, "codebook_size": 4, "collision_limit": 1},
        "lora": {"r": 4, "lora_alpha": 8},
        "prompt": {"history": 6, "titled": 2, "noun": "films"},
        "training": {"stages": [stage]},
    }
    config = Config.parse(raw).updated({"encoders.cache": str(tmp_path_factory.getbasetemp() / "encodings")})
    train.train(config, folder / "model")
    return folder / "model"


def table(folder, catalogue, new=NEW, first=True) -> str:
    """Write an items table in which the new items come first, so that every known one moves, or last."""
    items = [*new, *catalogue] if first else [*catalogue, *new]
    folder.mkdir(exist_ok=True)
    return write_tables(folder, Catalogue(items), [])["items"]


def scores(model: Recommender, ids: list[str]) -> np.ndarray:
    known = model.catalogue.indices(["100", "105", "112"])
    return model.score([known], model.catalogue.indices(ids).tolist())[0]


def test_known_items_keep_their_order_and_new_ones_are_ranked(trained, catalogue, tmp_path):
    before = Recommender.from_pretrained(trained)
    source = table(tmp_path / "longer", catalogue)
    save_pretrained(load_extended(trained, source), tmp_path / "extended")
    after = Recommender.from_pretrained(tmp_path / "extended")
    ids = list(catalogue.item_ids)
    old, new = scores(before, ids), scores(after, ids)
    # the new items take a share of the chances; what is known of the others does not change among them
    if before.model.ids.levels == 1:
        np.testing.assert_allclose(new - new[0], old - old[0], atol=2e-3)
    else:
        np.testing.assert_allclose(np.corrcoef(new, old)[0, 1], 1, atol=0.05)
    listed = [item.item_id for item in after.recommend(["100", "105"], k=ITEMS, explain=False)]
    assert {"a", "b"} <= set(listed)
    assert len(after.recommend([*ids], k=2, explain=False)) == 2  # all that a user of everything has not seen


def test_new_items_have_the_share_of_the_lists_that_they_are_granted(trained, catalogue, histories, tmp_path):
    if Config.load(trained / "config.yaml").semantic_ids.levels > 1:
        pytest.skip("codes are shared")
    source = table(tmp_path / "longer", catalogue, first=False)
    lists, told = {}, []
    for times in (0.0, 1000.0):
        extended = load_extended(trained, source, times=times)
        model, new = Recommender(extended), set(extended.catalogue.indices(["a", "b"]))
        lists[times] = [[int(i) in new for i in ranking.items] for ranking in model.rank(histories[:30], 5)]
        told.append(extended.metrics["new_items_share"])
    shares = [np.mean(np.array(lists[times])) for times in (0.0, 1000.0)]
    assert 0 <= told[0] < told[1] <= 1
    assert shares[0] < 0.1
    assert shares[1] > 0.3  # of two fifths, which are all that two items can have


def test_without_histories_lists_are_measured_on_single_items(trained, catalogue, tmp_path, caplog):
    config = Config.load(trained / "config.yaml")
    histories = Path(config.data.interactions)
    hidden = histories.rename(histories.with_suffix(".away"))
    source = table(tmp_path / "longer", catalogue)
    try:
        extended = load_extended(trained, source)
    finally:
        hidden.rename(histories)
    atomic = config.semantic_ids.levels == 1  # else nothing is granted, and nothing measured
    assert ("is missing" in caplog.text) is atomic
    assert ("new_items_share" in extended.metrics) is atomic
    if atomic:
        with pytest.raises(DataError, match=r"other\.csv"):
            load_extended(trained, source, interactions=str(tmp_path / "other.csv"))


def test_histories_of_new_items_alone_judge_no_list(trained, catalogue, tmp_path):
    if Config.load(trained / "config.yaml").semantic_ids.levels > 1:
        pytest.skip("nothing is granted")
    source = table(tmp_path / "longer", catalogue)
    (tmp_path / "only-new.csv").write_text("user_id,item_id,position\nu,a,0\nu,b,1\n")
    with pytest.raises(DataError, match=r"only-new\.csv: holds no interaction with a known item"):
        load_extended(trained, source, interactions=str(tmp_path / "only-new.csv"))


def test_a_grant_is_no_negative_number(trained, catalogue, tmp_path):
    with pytest.raises(DataError, match="times is -1"):
        load_extended(trained, table(tmp_path / "longer", catalogue), times=-1)


def test_new_items_have_nobodys_company_where_newcomers_were_met(trained, catalogue, tmp_path):
    extended = load_extended(trained, table(tmp_path / "longer", catalogue)).model
    met = bool(extended.config.training.stages[0].cold_item_dropout)
    assert bool(extended.features.present["collaborative"][0]) is not met


def test_an_item_like_a_known_one_is_read_and_scored_like_it(trained, catalogue, tmp_path):
    if Config.load(trained / "config.yaml").training.stages[0].cold_item_dropout:
        pytest.skip("the known one has its row, too")
    twin = Item(item_id="twin", title=catalogue[0].title, attributes=dict(catalogue[0].attributes))
    extended = load_extended(trained, table(tmp_path / "twin", catalogue, [twin]))
    with torch.no_grad():
        every = extended.model.all_items()[0]
    at = [extended.catalogue.index(name) for name in ("twin", *catalogue.item_ids)]
    distances = (every[at[1:]] - every[at[0]]).norm(dim=1)
    assert int(distances.argmin()) == 0


def test_a_new_item_has_no_history_and_serves_as_one(trained, catalogue, tmp_path):
    model = Recommender(load_extended(trained, table(tmp_path / "longer", catalogue, first=False)))
    assert len(model.recommend(["a"], k=5, explain=False)) == 5


def test_the_table_may_be_the_trained_one_with_lines_added(trained, catalogue, tmp_path):
    extended = load_extended(trained, table(tmp_path / "longer", catalogue, first=False))
    assert extended.catalogue.item_ids == (*catalogue.item_ids, "a", "b")
    np.testing.assert_array_equal(
        extended.model.ids.codes[:ITEMS], Recommender.from_pretrained(trained).model.ids.codes
    )
    assert extended.metrics["extended_by"] == 2
    assert extended.config.data.items == str(tmp_path / "longer" / "items.csv")


def test_wrong_tables_are_named(trained, catalogue, tmp_path):
    with pytest.raises(DataError, match="lacks 1 of the model's items, first '100'"):
        load_extended(trained, table(tmp_path / "shorter", Catalogue(catalogue[1:])))
    with pytest.raises(DataError, match="no item that the model does not know"):
        load_extended(trained, table(tmp_path / "same", catalogue, []))
    renamed = [Item(item_id="100", title="Another", attributes=dict(catalogue[0].attributes)), *catalogue[1:]]
    with pytest.raises(CheckpointError, match="made for another catalogue"):
        load_extended(trained, table(tmp_path / "renamed", Catalogue(renamed)))


def test_what_the_writer_was_trained_on_stays_known(trained, catalogue, tmp_path):
    extended = load_extended(trained, table(tmp_path, catalogue))
    assert "never trained" in str(extended.plain_because)
    extended.prompts["explain"] = "0" * 64
    again = extend(extended, Catalogue([*extended.catalogue, Item(item_id="c", title="The blue war")]), "items.csv")
    assert again.prompts == extended.prompts and not again.writes


def test_new_items_are_given_what_they_lack_as_in_training(trained, catalogue, tmp_path):
    settings = Config.load(trained / "config.yaml").updated({"encoders.impute": "all"})
    checkpoint = from_pretrained(trained)
    checkpoint.config = checkpoint.model.config = settings
    twin = Item(item_id="twin", title=catalogue[0].title, attributes=dict(catalogue[0].attributes))
    extended = extend(checkpoint, Catalogue([twin, *catalogue]), "items.csv")
    features = extended.model.features
    assert features.imputed["collaborative"].tolist() == [True] + [False] * ITEMS
    assert not features.present["collaborative"][0]  # nobody took it
    np.testing.assert_allclose(features.vectors["collaborative"][0], features.vectors["collaborative"][1], atol=2e-3)
    assert extended.model.present_collaborative[0]
    save_pretrained(extended, tmp_path / "again")
    assert from_pretrained(tmp_path / "again", extended.catalogue).model.features.imputed["collaborative"][0]
