"""A model trained on given vectors: it takes the vectors of new items from a file again, made by the same model."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.engine import Recommender
from recommender.errors import ConfigError, DataError
from recommender.model.checkpoint import from_pretrained, save_pretrained
from recommender.pipelines import train
from recommender.pipelines.extend import load_extended
from tests.conftest import ITEMS, write_tables
from tests.pipelines.test_extend import NEW

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.standard_normal((ITEMS + len(NEW), 12)).astype(np.float32)
TASTE = RANDOM.standard_normal((ITEMS, 6)).astype(np.float32)


def write(path, ids, vectors):
    np.savez(path, ids=np.array(ids), vectors=vectors)
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, catalogue, histories, llm_folder):
    folder = tmp_path_factory.mktemp("given")
    ids = catalogue.item_ids
    raw = {
        "data": write_tables(folder, catalogue, histories),
        "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 2},
        "encoders": {
            "text": None,
            "audio": None,
            "image": {"vectors": write(folder / "image.npz", ids, IMAGE[:ITEMS])},
            "collaborative": {"vectors": write(folder / "taste.npz", ids, TASTE)},
            "width": 6,
            "collaborative_width": 4,
        },
        "lora": {"r": 4, "lora_alpha": 8},
        "prompt": {"history": 6, "titled": 2, "noun": "films"},
        "training": {"stages": [{"stage": "rank", "epochs": 1, "batch_tokens": 128, "row_tokens": 64}]},
    }
    train.train(Config.parse(raw), folder / "model")
    return folder


def longer(folder, catalogue) -> str:
    folder.mkdir()
    return write_tables(folder, Catalogue([*NEW, *catalogue]), [])["items"]


def test_it_trains_saves_and_ranks_without_any_encoder(trained):
    checkpoint = from_pretrained(trained / "model")
    features = checkpoint.model.features
    assert {m: v.shape for m, v in features.vectors.items()} == {"image": (ITEMS, 6), "collaborative": (ITEMS, 4)}
    assert features.reductions["image"].encoder.startswith("vectors-1 12 ")
    assert "image vectors of a file" in (trained / "model" / "README.md").read_text()
    assert len(Recommender(checkpoint).recommend(["100", "105"], k=5)) == 5


def test_new_items_take_their_vectors_from_a_file(trained, catalogue, tmp_path):
    items = longer(tmp_path / "longer", catalogue)
    every = [*catalogue.item_ids, *(item.item_id for item in NEW)]
    file = write(tmp_path / "new.npz", every, IMAGE)
    extended = load_extended(trained / "model", items, vectors={"image": file})
    features, known = extended.model.features, from_pretrained(trained / "model").model.features
    assert features.present["image"].all() and features.vectors["collaborative"].all(axis=1).all()
    np.testing.assert_array_equal(features.vectors["image"][2:], known.vectors["image"])
    assert extended.config.encoders.given["image"].vectors == file
    save_pretrained(extended, tmp_path / "extended")
    listed = Recommender.from_pretrained(tmp_path / "extended").recommend(["100"], k=ITEMS + 1, explain=False)
    assert {"a", "b"} <= {item.item_id for item in listed}


def test_files_that_do_not_fit_are_refused_in_one_line(trained, catalogue, tmp_path):
    items = longer(tmp_path / "longer", catalogue)
    with pytest.raises(DataError, match="vector of none of the 2 items, first 'a'") as error:
        load_extended(trained / "model", items)
    assert "--vectors image=FILE" in error.value.hint
    every = [*catalogue.item_ids, *(item.item_id for item in NEW)]
    other = write(tmp_path / "other.npz", every, IMAGE[::-1].copy())
    with pytest.raises(DataError, match="are not those of training"):
        load_extended(trained / "model", items, vectors={"image": other})
    wide = write(tmp_path / "wide.npz", ["a", "b"], np.ones((2, 13), np.float32))
    with pytest.raises(ConfigError, match="have 13 numbers, and those of training had 12"):
        load_extended(trained / "model", items, vectors={"image": wide})
    with pytest.raises(ConfigError, match="not trained on given vectors of audio"):
        load_extended(trained / "model", items, vectors={"audio": wide})
