"""From two tables of your own to recommendations.

The tables of this example are cut from MovieLens-100K and have other column names than the package expects, as your own
tables will. It shows how to name your columns, check the tables, train, and recommend.

Run it with `python examples/own_tables.py`. It needs about a minute, and writes into the folder `own_tables`. For a model
that is worth something, give `--steps 300`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from recommender import Config, Recommender, train
from recommender.assets import fetch
from recommender.data.checks import validate

FILMS = 200
USERS = 60


def write_tables(folder: Path) -> None:
    """Write products.csv and orders.csv: what a shop might have."""
    films = pd.read_json(fetch("movielens-100k") / "items.jsonl", lines=True, dtype={"item_id": str}).head(FILMS)
    products = pd.DataFrame(
        {
            "sku": films["item_id"],
            "name": films["title"],
            "year": films["year"],  # every further column is an attribute
            "genres": films["genres"].str.join(","),  # several values, separated by commas
        }
    )
    ratings = pd.read_csv(fetch("movielens-100k") / "interactions.csv", dtype=str)
    ratings = ratings[ratings["item_id"].isin(products["sku"])]
    busiest = ratings["user_id"].value_counts().head(USERS).index
    orders = ratings[ratings["user_id"].isin(busiest)]
    orders = orders.rename(columns={"user_id": "customer", "item_id": "sku", "timestamp": "ordered_at"})
    folder.mkdir(parents=True, exist_ok=True)
    products.to_csv(folder / "products.csv", index=False)
    orders.drop(columns="rating").to_csv(folder / "orders.csv", index=False)


def recipe(folder: Path, steps: int) -> Config:
    """Return the configuration: where the tables are, what their columns are called, and how to train."""
    return Config.parse(
        {
            "data": {
                "items": str(folder / "products.csv"),
                "interactions": str(folder / "orders.csv"),
                "columns": {"item_id": "sku", "title": "name", "user_id": "customer", "timestamp": "ordered_at"},
            },
            "encoders": {"image": None, "audio": None},  # these films have no media
            "base": {"rank_layers": 4},
            "prompt": {"noun": "films", "history": 30, "titled": 0},
            "training": {"stages": [{"stage": "rank", "max_steps": steps, "learning_rate": 5e-4, "batch_tokens": 512}]},
        }
    )


def main(folder: Path, steps: int) -> None:
    """Write the tables, check them, train on them, and recommend."""
    write_tables(folder)
    config = recipe(folder, steps)

    report = validate(config.data.items, config.data.interactions, config.data.columns)
    print(report.render())

    result = train(config, folder / "model")
    print(f"trained: {result.checkpoint}")

    model = Recommender.from_pretrained(result.checkpoint)
    for item in model.recommend(["50", "181"], k=3, filters={"genres": ["Comedy"]}):
        print(item.rank, item.title, "-", item.justification)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("own_tables"), help="where to write")
    parser.add_argument("--steps", type=int, default=20, help="steps of training")
    arguments = parser.parse_args()
    main(arguments.folder, arguments.steps)
