"""Vectors that were made elsewhere: every format gives the same table by item id, and what does not fit is one line."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from recommender.config import Config, EncodersConfig, VectorsConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.encoders import given_vectors as module
from recommender.encoders.features import Features
from recommender.encoders.given_vectors import given_vectors
from recommender.encoders.pipeline import encode_catalogue, fit_reductions, reduce
from recommender.encoders.reduction import Reduction
from recommender.errors import ConfigError, DataError

ITEMS, WIDTH = 9, 5
#: the file's rows are in another order than the table's, one item has none, and one id is no item
IDS = [str(n) for n in (3, 1, 0, 2, 8, 7, 5, 6)] + ["other"]
VECTORS = np.random.default_rng(0).standard_normal((len(IDS), WIDTH)).astype(np.float32)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(Item(str(n), f"item {n}") for n in range(ITEMS))


def npy(folder, ids=IDS, vectors=VECTORS):
    np.save(folder / "v.npy", vectors)
    (folder / "v.ids.txt").write_text("\n".join(ids) + "\n")
    return {"vectors": str(folder / "v.npy")}


def npz(folder, ids=IDS, vectors=VECTORS):
    np.savez(folder / "v.npz", ids=np.array(ids), vectors=vectors)
    return {"vectors": str(folder / "v.npz")}


def packed_npz(folder, ids=IDS, vectors=VECTORS):
    np.savez_compressed(folder / "p.npz", item_id=np.array(ids), embeddings=vectors)
    return {"vectors": str(folder / "p.npz")}


def parquet(folder, ids=IDS, vectors=VECTORS):
    rows = [*vectors.tolist(), None]  # the last item has no vector there
    pq.write_table(pa.table({"sku": [*ids, "4"], "emb": pa.array(rows, pa.list_(pa.float32()))}), folder / "v.parquet")
    return {"vectors": str(folder / "v.parquet"), "item_id": "sku", "column": "emb"}


def parquet_folder(folder, ids=IDS, vectors=VECTORS):
    (folder / "parts").mkdir()
    for part, rows in enumerate((slice(0, 4), slice(4, None))):
        fixed = pa.array(vectors[rows].tolist(), pa.list_(pa.float32(), vectors.shape[1]))
        pq.write_table(pa.table({"item_id": ids[rows], "vector": fixed}), folder / "parts" / f"{part}.parquet")
    return {"vectors": str(folder / "parts")}


def safetensors(folder, ids=IDS, vectors=VECTORS):
    save_file({"vectors": vectors}, folder / "v.safetensors", {"ids": json.dumps(ids)})
    return {"vectors": str(folder / "v.safetensors")}


FORMATS = [npy, npz, packed_npz, parquet, parquet_folder, safetensors]


def table_of(catalogue, raw) -> np.ndarray:
    return given_vectors(VectorsConfig(**raw), "image", catalogue)[np.arange(len(catalogue))]


@pytest.mark.parametrize("write", FORMATS)
def test_rows_are_found_by_item_id_in_every_format(catalogue, tmp_path, write):
    found = given_vectors(VectorsConfig(**write(tmp_path)), "image", catalogue)
    assert found.shape == (ITEMS, WIDTH) and found.present.tolist() == [n != 4 for n in range(ITEMS)]
    expected = np.zeros((ITEMS, WIDTH), np.float32)
    for name, vector in zip(IDS[:-1], VECTORS, strict=False):
        expected[int(name)] = vector
    assert np.array_equal(found[np.arange(ITEMS)], expected)
    assert np.array_equal(np.concatenate([rows for _, rows in found.blocks()]), expected[found.present])
    assert found.digest == given_vectors(VectorsConfig(**npy(tmp_path)), "image", catalogue).digest


def test_short_floats_and_numbers_as_ids_are_read(catalogue, tmp_path):
    exact = VECTORS.astype(np.float16).astype(np.float32)
    assert np.array_equal(
        table_of(catalogue, npy(tmp_path, vectors=exact.astype(np.float16))),
        table_of(catalogue, npz(tmp_path, vectors=exact)),
    )
    rows = torch.from_numpy(VECTORS[:8]).bfloat16()
    save_torch({"emb": rows, "ids": torch.tensor([int(n) for n in IDS[:8]])}, tmp_path / "b.safetensors")
    found = table_of(catalogue, {"vectors": str(tmp_path / "b.safetensors")})
    assert np.array_equal(found[[int(n) for n in IDS[:8]]], rows.float().numpy())


def test_given_vectors_become_features_beside_encoded_ones(catalogue, text_folder, tmp_path):
    raw = {"text": str(text_folder), "image": npz(tmp_path), "audio": None, "cache": str(tmp_path / "cache")}
    config = EncodersConfig(**raw, collaborative=npy(tmp_path), collaborative_width=2)
    encoded = encode_catalogue(catalogue, config)
    assert list(encoded.vectors) == ["text", "image", "collaborative"]
    features = reduce(encoded, fit_reductions(encoded, 3, 2))
    assert features.vectors["image"].shape == (ITEMS, 3) and features.vectors["collaborative"].shape == (ITEMS, 2)
    assert not features.present["image"][4] and features.present["text"].all()
    present = [n for n in range(ITEMS) if n != 4]
    rows = table_of(catalogue, npz(tmp_path))[present]
    direct = Reduction.fit(rows, 3).apply(rows)
    np.testing.assert_allclose(features.vectors["image"][present], direct, atol=2e-3)
    features.save(tmp_path / "features.safetensors")
    kept = Features.load(tmp_path / "features.safetensors").reductions["image"].encoder
    assert kept.startswith(f"vectors-1 {WIDTH} ") and encoded.sources["image"].startswith(kept.split()[2])
    assert Config.parse({"encoders": raw}).encoders.named("image") is None


def test_a_fit_in_blocks_is_the_fit_of_the_whole(monkeypatch):
    rows = np.random.default_rng(1).standard_normal((400, 7)).astype(np.float32) @ np.diag(np.arange(1, 8.0)) + 3
    rows = rows.astype(np.float32)
    whole = Reduction.fit(rows, 4, "one")
    parts = Reduction.fit_in_blocks(lambda: (rows[start : start + 64] for start in range(0, 400, 64)), 4, "one")
    np.testing.assert_allclose(parts.apply(rows), whole.apply(rows), atol=5e-3)
    np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-5)


def test_a_large_file_is_never_in_memory_as_a_whole(tmp_path, monkeypatch):
    """A table of 16 MB of half floats, reduced in blocks: a fraction of it lies in memory at a time."""
    items, width = 8_000, 1024
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((items, width)).astype(np.float16))
    (tmp_path / "v.ids.txt").write_text("\n".join(map(str, range(items))))
    catalogue = Catalogue(Item(str(n), "a") for n in range(items))
    config = EncodersConfig(text=None, audio=None, image=VectorsConfig(vectors=str(tmp_path / "v.npy")))
    monkeypatch.setattr(module, "BLOCK", 256)
    file = module.open_vectors(config.image)
    tracemalloc.start()
    given = module.matched(file, "image", catalogue)
    assert sum(len(rows) for _, rows in given.blocks()) == items
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < items * width * 2 / 4  # ids and a block of 256 in float32, not the table


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ids": [*IDS[:-1], "3"]}, "item '3' has two vectors, in rows 1 and 9"),
        ({"ids": [f"sku{name}" for name in IDS]}, "vector of none of the 9 items, first '0'; its first id is 'sku3'"),
        ({"vectors": np.where(np.eye(len(IDS), WIDTH) > 0, np.nan, VECTORS)}, "the vector of item '0' holds a value"),
        ({"vectors": VECTORS[:4]}, "4 rows and 9 ids"),
        ({"vectors": VECTORS[0]}, "expected numbers, items x width"),
    ],
)
def test_vectors_that_do_not_fit_are_one_clear_line(catalogue, tmp_path, change, said):
    with pytest.raises(DataError) as error:
        table_of(catalogue, npz(tmp_path, **change))
    assert said in error.value.message and "\n" not in error.value.message and error.value.hint


def test_files_that_are_missing_or_of_another_form_are_named(catalogue, tmp_path):
    np.save(tmp_path / "alone.npy", VECTORS)
    (tmp_path / "v.csv").write_text("a,b\n")
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 20)
    uneven = pa.table({"item_id": ["0", "1"], "vector": [[1.0, 2.0], [1.0]]})
    pq.write_table(uneven, tmp_path / "uneven.parquet")
    expected = {
        "none.npy": "there is no such file",
        "alone.npy": "alone.ids.txt",
        "v.csv": "no file of vectors that is known",
        "cut.safetensors": "cut off",
        "uneven.parquet": "the vector of '1' has 1 numbers, the first one 2",
    }
    for name, said in expected.items():
        with pytest.raises(DataError, match=said) as error:
            table_of(catalogue, {"vectors": str(tmp_path / name)})
        assert "\n" not in error.value.message and error.value.hint


def test_another_width_than_at_training_is_refused(catalogue, tmp_path):
    config = EncodersConfig(text=None, audio=None, image=VectorsConfig(**npz(tmp_path)))
    reductions = fit_reductions(encode_catalogue(catalogue, config), 3)
    wider = np.concatenate([VECTORS, VECTORS], axis=1)
    raw = encode_catalogue(
        catalogue, config.model_copy(update={"image": VectorsConfig(**npy(tmp_path, vectors=wider))})
    )
    with pytest.raises(ConfigError, match=r"image: the vectors have 10 numbers, and those of training had 5"):
        reduce(raw, reductions)


@pytest.mark.parametrize(
    ("encoders", "said"),
    [
        ({"image": {"vectors": "x.npy", "colum": "v"}}, "unknown key 'encoders.image.colum'"),
        ({"image": {}}, "encoders.image.vectors: field required"),
        ({"image": 5}, "encoders.image: input should be a valid string"),
        ({"collaborative": {"vectors": "x.npy"}, "collaborative_width": 0}, "collaborative_width is 0"),
    ],
)
def test_what_is_wrong_with_the_section_is_said_once(encoders, said):
    with pytest.raises(ConfigError) as error:
        Config.parse({"encoders": encoders})
    assert said in error.value.message and ";" not in error.value.message.replace("; set it", "")
