"""MovieLens-100K: titles, order, and the whole data set where it is at hand."""

from __future__ import annotations

import json

import pytest

from recommender import assets
from recommender.assets import convert_movielens


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Godfather, The", "The Godfather"),
        ("Fish Called Wanda, A", "A Fish Called Wanda"),
        ("Postino, Il", "Postino, Il"),
        ("Blue Angel, The (Blaue Engel, Der)", "The Blue Angel (Blaue Engel, Der)"),
        ("Die xue shuang xiong (Killer, The)", "Die xue shuang xiong (The Killer)"),
        ("I, Worst of All (Yo, la peor de todas)", "I, Worst of All (Yo, la peor de todas)"),
    ],
)
def test_display_title(title, shown):
    assert convert_movielens.display_title(title) == shown


def test_ratings_are_ordered_by_time_and_then_by_the_file(tmp_path):
    (tmp_path / "ml-100k.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "10\tMask, The\t1994\tComedy Sci-Fi\n2\tunkonwn\tunkonwn\tunknown\n"
    )
    (tmp_path / "ml-100k.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t2\t3\t900\n8\t10\t4\t800\n7\t10\t5\t900\n"
    )
    convert_movielens.convert(tmp_path, tmp_path)
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert items == [
        {"item_id": "2", "title": "unknown", "year": "", "genres": []},
        {"item_id": "10", "title": "The Mask", "year": "1994", "genres": ["Comedy", "Sci-Fi"]},
    ]
    assert (tmp_path / "interactions.csv").read_text() == (
        "user_id,item_id,rating,timestamp\n8,10,4,800\n7,2,3,900\n7,10,5,900\n"
    )


@pytest.mark.assets
def test_movielens_is_whole():
    folder = assets.fetch("movielens-100k")
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [item["item_id"] for item in items] == [str(i) for i in range(1, 1683)]
    assert items[126] == {
        "item_id": "127",
        "title": "The Godfather",
        "year": "1972",
        "genres": ["Action", "Crime", "Drama"],
    }
    assert items[266]["title"] == "unknown" and items[266]["genres"] == []
    rows = [line.split(",") for line in (folder / "interactions.csv").read_text().splitlines()]
    assert rows[0] == ["user_id", "item_id", "rating", "timestamp"] and len(rows) == 100_001
    assert len({row[0] for row in rows[1:]}) == 943
    times = [int(row[3]) for row in rows[1:]]
    assert times == sorted(times)
    assert "no redistribution" in json.loads((folder / "asset.json").read_text())["licence"]
