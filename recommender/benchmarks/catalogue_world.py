"""A synthetic catalogue of any size: two tables, item vectors that were made elsewhere, and a tiny language model.

Titles are drawn from words of syllables, and a text, a brand, a category and a year stand beside them, as catalogues have
them. Items lie in clusters, and a user stays near some of them; few items have most of the interactions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ITEMS, INTERACTIONS, VECTORS, BASE = "items.parquet", "interactions.parquet", "vectors.npy", "base"
#: interactions of a user, numbers of a vector, and items of a cluster on average
LENGTH, WIDTH, CLUSTER = 20, 256, 100
_LEXICON, _CATEGORIES, _PART = 20_000, 500, 100_000
_SYLLABLES = "ba ce di fo gu la me ni po ru sa te vi zo ka le mi no pu ra".split()
#: width of the tiny base
HIDDEN = 64


def write_world(folder: Path, items: int, users: int, seed: int = 0) -> None:
    """Write both tables (parquet) and the vectors (float32 [items, WIDTH], .npy, ids beside it), and the tiny base."""
    random = np.random.default_rng([seed, items])
    folder.mkdir(parents=True, exist_ok=True)
    words = _lexicon()
    clusters = random.integers(0, max(items // CLUSTER, 1), items)
    _write_items(folder / ITEMS, items, clusters, words, random)
    _write_interactions(folder / INTERACTIONS, items, users, clusters, random)
    _write_vectors(folder / VECTORS, clusters, random)
    from recommender.benchmarks.tiny import write_base  # here: transformers takes seconds to import

    write_base(folder / BASE, [*words.tolist(), *".,:?!()|\"'", *map(str, range(10))], HIDDEN)


def _lexicon() -> np.ndarray:
    """Return the words that titles and texts are of."""
    numbers, size = np.arange(_LEXICON), len(_SYLLABLES)
    syllables = np.array(_SYLLABLES)
    parts = [syllables[numbers // size**place % size] for place in range(4)]
    return parts[0] + parts[1] + parts[2] + parts[3]


def _write_items(path: Path, items: int, clusters: np.ndarray, words: np.ndarray, random: np.random.Generator) -> None:
    schema = pa.schema(
        [(name, pa.string()) for name in ("item_id", "title", "description", "brand", "category", "year")]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, items, _PART):
            of = np.arange(start, min(start + _PART, items))
            drawn = words[random.integers(0, len(words), (len(of), 15))]
            titles = [" ".join(row).title() for row in drawn[:, :3].tolist()]
            texts = [f"A story of {' '.join(row)}." for row in drawn[:, 3:].tolist()]
            brands = [f"{word.title()} {number}" for word, number in zip(drawn[:, 3], clusters[of] // 2, strict=True)]
            columns = (
                [f"i{number}" for number in of],
                titles,
                texts,
                brands,
                [f"{words[number % _CATEGORIES]} goods" for number in clusters[of]],
                [str(year) for year in random.integers(1980, 2026, len(of))],
            )
            writer.write_table(pa.table([pa.array(column, pa.string()) for column in columns], schema=schema))


def _write_interactions(path: Path, items: int, users: int, clusters: np.ndarray, random: np.random.Generator) -> None:
    by_cluster = np.argsort(clusters, kind="stable")
    home = random.integers(0, items, (users, 1))
    near = (home + (random.standard_normal((users, LENGTH)) * CLUSTER).astype(np.int64)) % items
    popular = (items * random.random((users, LENGTH)) ** 3).astype(np.int64)
    chosen = by_cluster[np.where(random.random((users, LENGTH)) < 0.5, near, popular)].ravel()
    table = pa.table(
        {
            "user_id": pa.array([f"u{number}" for number in range(users) for _ in range(LENGTH)]),
            "item_id": pa.array([f"i{number}" for number in chosen.tolist()]),
            "position": pa.array(np.tile(np.arange(LENGTH), users)),
        }
    )
    pq.write_table(table, path)


def _write_vectors(path: Path, clusters: np.ndarray, random: np.random.Generator) -> None:
    centres = random.standard_normal((int(clusters.max()) + 1, WIDTH)).astype(np.float32)
    scales = (
        1 + np.arange(WIDTH, dtype=np.float32)
    ) ** -0.5  # few directions hold most of it, as in real encoders' vectors
    table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(clusters), WIDTH))
    for start in range(0, len(clusters), _PART):
        of = clusters[start : start + _PART]
        drawn = random.standard_normal((len(of), WIDTH), dtype=np.float32)
        table[start : start + len(of)] = (centres[of] + drawn) * scales
    table.flush()
    ids = "".join(f"i{number}\n" for number in range(len(clusters)))
    path.with_name(f"{path.stem}.ids.txt").write_text(ids, encoding="utf-8")
