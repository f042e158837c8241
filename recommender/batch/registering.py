"""Tells a store which people the answers of a batch are about, so that forgetting somebody takes their lines out."""

from __future__ import annotations

from pathlib import Path

from recommender.batch.request_files import read_requests
from recommender.data.paths import parts_of
from recommender.files import is_folder
from recommender.store.holdings import Holdings


def register_answers(holdings: Holdings, source: Path, output: Path) -> int:
    """Register the answers of each request that names a person, before they are written; return how many people.

    Raises DataError that names a request of somebody who was forgotten.
    """
    pairs = [(part, output / part.name) for part in parts_of(source)] if is_folder(source) else [(source, output)]
    people: set[str] = set()
    for part, answers in pairs:
        lines: dict[str, list[str]] = {}
        for line in read_requests(part):
            if line.request is not None and line.request.user is not None and line.custom_id is not None:
                lines.setdefault(line.request.user, []).append(line.custom_id)
        holdings.add_batch(answers, lines)
        people |= set(lines)
    return len(people)
