"""Answer a file of requests offline: write requests, run the batch, read the answers.

A batch keeps the order, answers a bad line with an error, and goes on where it was if it is killed and started again.

Run it with `python examples/offline_batch.py`. It needs a quarter of a minute, and writes into the folder `offline_batch`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REQUESTS: tuple[dict[str, Any], ...] = (
    {"custom_id": "a space fan", "history": ["50", "181"], "k": 3, "explain": False},
    {
        "custom_id": "in the mood for a comedy",
        "history": ["50"],
        "k": 3,
        "filters": {"genres": ["Comedy"]},
        "explain": False,
    },
    {"custom_id": "new here", "history": [], "k": 3, "query": "a dark thriller", "explain": False},
    {"custom_id": "a typing error", "history": ["no-such-film"], "k": 3},
)


def write_requests(path: Path) -> None:
    """Write one request a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(request) + "\n" for request in REQUESTS), encoding="utf-8")


def run_batch(source: Path, target: Path) -> None:
    """Run the command `recommender batch`; progress goes to standard error."""
    command = ["batch", "movielens-100k", "--input", str(source), "--output", str(target), "--quiet"]
    subprocess.run([sys.executable, "-m", "recommender", *command], check=True)


def read_answers(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the answers in the order of the requests."""
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def main(folder: Path) -> None:
    """Answer the requests and print what came of each."""
    source, target = folder / "requests.jsonl", folder / "answers.jsonl"
    write_requests(source)
    run_batch(source, target)
    for answer in read_answers(target):
        error = answer.get("error")
        titles = ", ".join(item["title"] for item in answer.get("items", ()))
        print(f"{answer['custom_id']}: {error['message'] if error else titles}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("offline_batch"), help="where to write")
    main(parser.parse_args().folder)
