"""A study of short histories in no order: people name favourites, not sequences.

Of each user's last items before the target a few are shuffled; the target is the item that came next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recommender.baselines import FitData, make_baseline
from recommender.data.histories import Split
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.eval.bootstrap import Bootstrap
from recommender.eval.report_parts import versions
from recommender.files import write_together
from recommender.pages import Picture, Report, Table, report_html
from recommender.pages.drawing import line_chart
from recommender.progress import Progress

#: lengths of the histories, and of the lists
LENGTHS, K = (1, 2, 3, 5), 10
METRICS = "metrics.json"
PAGE = "report.html"
_AT_ONCE = 64
Scores = Callable[[Sequence[np.ndarray]], np.ndarray]


def favourites_study(
    engine: Recommender, split: Split, users: int | None = None, seed: int = 0, progress: Progress | None = None
) -> dict[str, Any]:
    """Return recall at 10 of each length and system, with its interval and the paired difference from item-kNN.

    `split`: the histories that the model learned from, and the targets that it did not. `users`: an even sample. Raises
    DataError if nobody has enough items.
    """
    cases = _cases(split, max(LENGTHS), users, seed)
    knn = make_baseline("item-knn")
    knn.fit(FitData(split.train.items, len(engine.catalogue)))
    systems: dict[str, Scores] = {"item-knn": knn.scores, "model": engine.score_all}
    if engine.listens:
        systems["what listens alone"] = _heard(engine)
    measured: dict[str, Any] = {}
    for length in LENGTHS:
        histories = [known[-length:] for known, _ in cases]
        random = np.random.default_rng([seed, length])
        histories = [random.permutation(history) for history in histories]
        hits = []
        for name, scores in systems.items():
            hits.append(_hits(scores, histories, [target for _, target in cases]))
            if progress:
                progress(f"{length} items, {name}", len(hits), len(systems))
        measured[str(length)] = _told(list(systems), np.stack(hits, 1), seed)
    about = {"users": len(cases), "k": K, "seed": seed, "model": engine.source}
    return {"about": about, "versions": versions(), "recall@10": measured}


def _cases(split: Split, longest: int, users: int | None, seed: int) -> list[tuple[np.ndarray, int]]:
    """Return histories and targets of users who have both."""
    histories = split.history_for("test")
    found = [
        (np.asarray(history), int(target))
        for history, target in zip(histories, split.test, strict=True)
        if target >= 0 and len(history) >= longest and target not in history
    ]
    if not found:
        raise DataError(
            f"no user has {longest} items before the last one, which is what favourites are drawn from",
            "name interactions with longer histories: --interactions",
        )
    if users is None or users >= len(found):
        return found
    chosen = np.random.default_rng(seed).choice(len(found), users, replace=False)
    return [found[int(n)] for n in sorted(chosen)]


def _heard(engine: Recommender) -> Scores:
    reader = engine.reader
    assert reader is not None
    return lambda histories: engine.hear_prompts([reader.silence(history) for history in histories])


def _hits(scores: Scores, histories: Sequence[np.ndarray], targets: Sequence[int]) -> np.ndarray:
    hits = []
    for start in range(0, len(histories), _AT_ONCE):
        part = histories[start : start + _AT_ONCE]
        rows = np.array(scores(part), np.float64)
        for row, history, target in zip(rows, part, targets[start : start + _AT_ONCE], strict=True):
            row[history] = -np.inf
            hits.append(float(target in np.argpartition(-row, K)[:K]))
    return np.array(hits)


def _told(names: Sequence[str], hits: np.ndarray, seed: int) -> dict[str, Any]:
    resampled = Bootstrap(hits[:, :, None], seed)
    means, differences = resampled.means(), resampled.differences(0)
    return {
        name: {
            "recall@10": float(means.mean[row, 0]),
            "interval": [float(means.low[row, 0]), float(means.high[row, 0])],
            "more than item-knn": float(differences.mean[row, 0]),
            "interval of that": [float(differences.low[row, 0]), float(differences.high[row, 0])],
        }
        for row, name in enumerate(names)
    }


def headline(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each system, a column for each length."""
    by_length = measured["recall@10"]
    names = list(next(iter(by_length.values())))
    return [
        {"system": name}
        | {f"{length} items": round(of_systems[name]["recall@10"], 4) for length, of_systems in by_length.items()}
        for name in names
    ]


def write_favourites(folder: Path, measured: dict[str, Any]) -> None:
    """Write metrics.json and report.html into a folder."""
    metrics = json.dumps(measured, indent=2) + "\n"
    write_together(folder, {PAGE: report_html(_report(measured)).encode(), METRICS: metrics.encode()})


def _report(measured: dict[str, Any]) -> Report:
    by_length, about = measured["recall@10"], measured["about"]
    lines = {
        name: (list(map(int, by_length)), [of_systems[name]["recall@10"] for of_systems in by_length.values()])
        for name in next(iter(by_length.values()))
    }
    ends = {name: [of_systems[name]["interval"] for of_systems in by_length.values()] for name in lines}
    bands = {name: ([low for low, _ in pairs], [high for _, high in pairs]) for name, pairs in ends.items()}
    plot = line_chart(lines, "favourites that are known", "recall@10", bands, whole=True)
    table = Table("Recall@10", headline(measured))
    parts = (table, Picture("Recall@10", plot, "recall at 10 by number of favourites"))
    lead = f"{about['users']} users: one to five of their items, in no order, and is a hidden one among the first ten?"
    return Report("Favourites", lead, parts, ("Bands: 95 % interval over users.",), about)
