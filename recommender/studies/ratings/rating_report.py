"""The report of a comparison of rating predictors: metrics.json, predictions.parquet, report.html, terminal table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from recommender.eval.report_parts import (
    json_bytes,
    parquet_bytes,
    terminal_table,
    versions,
    write_files,
)
from recommender.pages import embedded, page_environment
from recommender.studies.ratings import rating_plots
from recommender.studies.ratings.experiment import RatingResult
from recommender.studies.ratings.rating_metrics import LOWER_IS_BETTER, METRICS

FILES = ("predictions.parquet", "report.html", "metrics.json")
_INTERVALS = ("AUC", "RMSE")  # the columns with an interval in the terminal, for lack of room
_HEADERS = {"accuracy": "acc", "balanced accuracy": "bal acc"}


def write_report(result: RatingResult, folder: Path | str) -> Path:
    """Write the three files into the folder (made if missing) and return it.

    Everything is rendered before anything is written, so a failure leaves an earlier report as it was. Raises DataError
    if the folder cannot be written.
    """
    contents = (
        parquet_bytes(result.predictions),
        html(result).encode(),
        json_bytes(as_json(result), ensure_ascii=False),
    )
    return write_files(folder, dict(zip(FILES, contents, strict=True)))


def as_json(result: RatingResult) -> dict[str, Any]:
    """Return about, versions, learned weights, and for every method its group, seconds and metrics."""
    numbers = ("value", "low", "high", "difference", "difference_low", "difference_high")
    methods: dict[str, Any] = {}
    for row in result.table.to_dict("records"):
        method = methods.setdefault(row["label"], {"group": row["group"], "seconds": row["seconds"], "metrics": {}})
        method["metrics"][row["metric"]] = {name: row[name] for name in numbers}
    about = {"about": dict(result.about), "versions": versions(), "learned_weights": dict(result.weights)}
    return about | {"methods": methods}


def table(result: RatingResult) -> Table:
    """Return the terminal's table: a line for each method, with intervals of AUC and RMSE and seconds."""
    about = result.about
    counts = f"{about['ratings']['kept']:,} ratings, {about['users']:,} users, {about['items']:,} items"
    shown = terminal_table(
        f"{counts}; {about['settings']['folds']} stratified folds",
        f"below: 95 % interval over users; * better, ! worse than {about['reference']}, paired",
        "method",
        min_width=16,
    )
    for name in (*METRICS, "s"):
        shown.add_column(_HEADERS.get(name, name), justify="right", no_wrap=True)
    for _, rows in result.table.groupby("group", sort=False):
        for label, cells in rows.groupby("label", sort=False):
            values = [_cell(row) for row in cells.to_dict("records")]
            shown.add_row(str(label), *values, f"{cells['seconds'].iloc[0]:.1f}")
        shown.add_section()
    return shown


def mark(row: Mapping[Any, Any]) -> str:
    """Return * if a value is better than the reference's, ! if worse, "" if the paired interval contains zero."""
    if row["difference_low"] <= 0 <= row["difference_high"]:
        return ""
    return "*" if (row["difference"] < 0) == (row["metric"] in LOWER_IS_BETTER) else "!"


def html(result: RatingResult) -> str:
    """Return the self-contained page: tables, notes and pictures inside."""
    environment = page_environment(Path(__file__).parent)
    groups = {
        str(group): {
            str(label): {"seconds": float(cells["seconds"].iloc[0]), "cells": cells.to_dict("records")}
            for label, cells in rows.groupby("label", sort=False)
        }
        for group, rows in result.table.groupby("group", sort=False)
    }
    return environment.get_template("rating_report.html.jinja").render(
        about=result.about,
        versions=versions(),
        metrics=METRICS,
        lower=LOWER_IS_BETTER,
        groups=groups,
        best=_best(result.table),
        mark=mark,
        pictures=_pictures(result),
    )


def _cell(row: Mapping[Any, Any]) -> str:
    text = f"{row['value']:.3f}{mark(row)}"
    return f"{text}\n{row['low']:.3f}-{row['high']:.3f}" if row["metric"] in _INTERVALS else text


def _best(rows: pd.DataFrame) -> dict[str, float]:
    """Return the best value of each metric among methods with all features."""
    values = rows[rows["group"] != "imputation"].groupby("metric")["value"]
    return {name: float((values.min() if name in LOWER_IS_BETTER else values.max())[name]) for name in METRICS}


def _pictures(result: RatingResult) -> dict[str, str]:
    """Return title -> data URL of each picture."""
    reference = result.about["reference"]
    fusions = result.table.query("group == 'fusion' and metric == 'AUC'")
    best = fusions.sort_values("value", ascending=False)["label"].head(3).tolist()
    likes = result.about["settings"]["likes"]
    pictures = {
        "AUC of liking": rating_plots.intervals(result.table, "AUC", reference),
        "RMSE of the rating": rating_plots.intervals(result.table, "RMSE", reference),
        "Calibration": rating_plots.calibration(result.predictions, [reference, *best], likes),
    }
    if result.weights:
        pictures["Learned weights"] = rating_plots.shares(result.weights)
    return embedded(pictures)
