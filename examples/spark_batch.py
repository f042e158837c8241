"""Rank for the users of a parquet table with Spark: a task opens the model once, and ranks all rows of its partition.

Spark retries a task whose machine dies, and writes the answers of a task once. Every machine needs this package and the
checkpoint. `recommender batch --on ray` does the same without Spark; see docs/offline-batches.md.

Run it with `python examples/spark_batch.py`. It needs pyspark, a Java of version 17 or later, and half a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

USERS = [{"user_id": f"u{number}", "history": [str(50 + number % 7), "181"]} for number in range(64)]
SCHEMA = "user_id string, items string"


def rank_partition(frames: Iterator[pd.DataFrame], model: str, k: int) -> Iterator[pd.DataFrame]:
    """Yield user_id and the list as JSON for each row of `user_id` and `history`. What is wrong with a row is its answer."""
    from recommender.engine import Recommender, make_request
    from recommender.errors import RecommenderError

    engine = Recommender.from_pretrained(model)
    for frame in frames:
        requests = [make_request(history=[*map(str, history)], k=k, explain=False) for history in frame["history"]]
        answers = engine.answer_many(requests)
        items = [
            {"error": str(answer)}
            if isinstance(answer, RecommenderError)
            else [{"item_id": item.item_id, "title": item.title, "score": item.score} for item in answer.items]
            for answer in answers
        ]
        yield pd.DataFrame({"user_id": frame["user_id"], "items": [*map(json.dumps, items)]})


def main(folder: Path, model: str = "movielens-100k", k: int = 3, partitions: int = 2) -> None:
    """Write the users, rank for them, and print the first answers."""
    from pyspark.sql import SparkSession

    # else tasks run by the first `python3` of the path, which may be another installation
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(USERS).to_parquet(folder / "users.parquet")
    session = (
        SparkSession.builder.master(f"local[{partitions}]")
        .appName("recommender")
        .config("spark.ui.enabled", "false")
        # rows that are ranked together, as in a batch
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "16")
        # one thread each: as many tasks as processors
        .config("spark.executorEnv.OMP_NUM_THREADS", "1")
        .getOrCreate()
    )
    try:
        users = session.read.parquet(str(folder / "users.parquet")).repartition(partitions)
        answers = users.mapInPandas(lambda frames: rank_partition(frames, model, k), SCHEMA)
        answers.write.mode("overwrite").parquet(str(folder / "answers"))
    finally:
        session.stop()
    written = pd.read_parquet(folder / "answers")
    print(f"{len(written)} users of {len(USERS)} have a list")
    for user, items in sorted(zip(written["user_id"], written["items"], strict=True))[:3]:
        print(f"{user}: {', '.join(item['title'] for item in json.loads(items))}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("spark_batch"), help="where to write")
    main(parser.parse_args().folder)
