"""The report of an evaluation: files (metrics.json, two parquet tables, report.html), terminal table, model card."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from recommender.eval.evaluation import Evaluation, records
from recommender.eval.page import differs, headline, html, seconds, significant
from recommender.eval.report_parts import json_bytes, parquet_bytes, terminal_table, versions, write_files

# In this order: metrics.json comes last and names the checksums of the others.
FILES = ("per_user.parquet", "users.parquet", "report.html", "metrics.json")
#: slices by how often a target was seen in training, and of targets that lack something
SPARSE_SLICES = ("target never", "target seen", "target without")
_INTERVALS = ("R@10", "N@10")  # the columns with an interval in the terminal, for lack of room


def write_report(evaluation: Evaluation, folder: Path | str) -> Path:
    """Write the files into the folder (made if missing) and return it.

    Everything is rendered before anything is written, so a failure leaves an earlier report as it was. metrics.json is
    replaced last and holds the SHA-256 of the others, so that files of two evaluations cannot be taken for one. Raises
    DataError if the folder cannot be written.
    """
    contents = {
        "per_user.parquet": parquet_bytes(evaluation.per_user),
        "users.parquet": parquet_bytes(evaluation.users),
        "report.html": html(evaluation).encode(),
    }
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    contents["metrics.json"] = json_bytes({**as_json(evaluation), "sha256": checksums})
    return write_files(folder, {name: contents[name] for name in FILES})


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return about, versions, slices, pairs and, for every model, its cost and its metrics.

    Metrics have names such as "ndcg@10"; numbers that are NaN, such as the interval of a coverage, are left out.
    """
    return {
        "about": dict(evaluation.about),
        "versions": versions(),
        "models": {row["model"]: _model(evaluation, row) for row in records(evaluation.models)},
        "slices": _slices(evaluation),
        "pairs": [{**row, "significant": significant(row["low"], row["high"])} for row in records(evaluation.pairs)],
    }


def _model(evaluation: Evaluation, row: Mapping[str, Any]) -> dict[str, Any]:
    runs = evaluation.runs[evaluation.runs["model"] == row["model"]]
    return {
        "seconds": {"fit": _number(row["fit_seconds"]), "score": _number(row["score_seconds"])},
        "memory_mb": _number(row["memory_mb"]),
        "metrics": _metrics(evaluation.summary[evaluation.summary["model"] == row["model"]]),
        "runs": {str(label): _metrics(rows) for label, rows in runs.groupby("run", sort=False)},
    }


def _slices(evaluation: Evaluation) -> dict[str, Any]:
    """Return slice -> numbers of targets and users, whether they are few, and the metrics of every model."""
    return {
        str(name): {
            "targets": int(rows["targets"].iloc[0]),
            "users": int(rows["users"].iloc[0]),
            "few": bool(rows["few"].iloc[0]),
            "models": {str(model): _metrics(cells) for model, cells in rows.groupby("model", sort=False)},
        }
        for name, rows in evaluation.slices.groupby("slice", sort=False)
    }


def _metrics(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return "metric@k" -> the numbers of its row that are not NaN."""
    numbers = ("mean", "low", "high", "difference", "difference_low", "difference_high", "users", "spread")
    return {
        f"{row['metric']}@{row['k']}": {
            name: int(row[name]) if name == "users" else row[name]
            for name in numbers
            if name in row and not math.isnan(row[name])
        }
        for row in records(rows)
    }


def _number(value: float) -> float | None:
    """Return the value, or None for NaN, which JSON does not know."""
    return None if math.isnan(value) else value


def table(evaluation: Evaluation) -> Table:
    """Return the terminal's table: a line for each model, with intervals of R@10 and N@10 and seconds."""
    about = evaluation.about
    title = f"{about['split']}: {about['users']:,} users, {about['items']:,} items"
    result = terminal_table(title, _caption(evaluation), "model", min_width=12)
    columns = headline(evaluation)
    for label in (*columns, "fit s", "score s"):
        # broken by hand to fit into 80 columns, the width of a pipe
        header = label.replace("coverage", "cover-\nage").replace(" s", "\ns")
        result.add_column(header, justify="right", no_wrap=True)
    for row in records(evaluation.models):
        cells = [_cell(evaluation.row(row["model"], *key), label) for label, key in columns.items()]
        result.add_row(row["model"], *cells, seconds(row["fit_seconds"]), seconds(row["score_seconds"]))
    return result


def sparse_rows(evaluation: Evaluation) -> list[dict[str, str]]:
    """Return a row for each slice of sparse, cold and bare targets: its name, how many targets, N@10 of every model."""
    found = evaluation.slices.query("metric == 'ndcg' and k == 10")
    rows = []
    for name, group in found.groupby("slice", sort=False):
        if str(name).startswith(SPARSE_SLICES) and int(group["targets"].iloc[0]):
            scores = {row["model"]: f"{_share(row['mean'], 4)}{'*' * differs(row)}" for _, row in group.iterrows()}
            rows.append(
                {"N@10, target": str(name).removeprefix("target "), "targets": str(group["targets"].iloc[0])} | scores
            )
    return rows


def _caption(evaluation: Evaluation) -> str:
    spread = "; ±: standard deviation over runs" if evaluation.models["runs"].max() > 1 else ""
    reference = evaluation.about["reference"]
    return f"below: 95 % interval over users{spread}; * differs from {reference}; higher is better"


def _cell(row: pd.Series, label: str) -> str:
    """Return the mean, marked if it differs from the reference; R@10 and N@10 with interval and spread."""
    text = f"{_share(row['mean'], 4)}{'*' if differs(row) else ''}"
    if label not in _INTERVALS:
        return text
    lines = [text, f"{_share(row['low'], 3)}-{_share(row['high'], 3)}"]
    return "\n".join([*lines, *([] if math.isnan(row["spread"]) else [f"±{_share(row['spread'], 4)}"])])


def _share(value: float, digits: int) -> str:
    """Return a number below one without its leading zero."""
    return f"{value:.{digits}f}".removeprefix("0")


def for_card(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation for a model card: the protocol in words, R@10 and N@10 of every model."""
    about = evaluation.about
    whole = f"full catalogue of {about['items']:,} items"
    ranked = f"{about['ranked']:,} of {about['items']:,} items ranked" if "only" in about else whole
    protocol = (
        f"{about['split']}, {about['users']:,} users, {ranked},"
        f" seen items {'removed' if about['exclude_seen'] else 'kept'}, 95 % bootstrap interval over users,"
        f" {_runs(evaluation)}."
    )
    rows = [
        {
            "model": row["model"],
            "recall": _with_interval(evaluation.row(row["model"], "recall", 10)),
            "ndcg": _with_interval(evaluation.row(row["model"], "ndcg", 10)),
        }
        for row in records(evaluation.models)
    ]
    return {"protocol": protocol, "rows": rows}


def _with_interval(row: pd.Series) -> str:
    return f"{_share(row['mean'], 3)} ({_share(row['low'], 3)}-{_share(row['high'], 3)})"


def _runs(evaluation: Evaluation) -> str:
    """Return in words how many runs each model has."""
    fewest, most = evaluation.models["runs"].min(), evaluation.models["runs"].max()
    if most == 1:
        return "one training run"
    return f"mean of {most} training runs" if fewest == most else f"mean of {fewest} to {most} training runs"
