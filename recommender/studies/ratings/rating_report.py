"""A comparison of rating predictors as files (metrics.json, predictions.parquet, report.html) and as a rich table."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from rich import box
from rich.table import Table

from recommender.errors import DataError
from recommender.eval.report import versions
from recommender.files import write_together
from recommender.studies.ratings import rating_plots
from recommender.studies.ratings.experiment import Result
from recommender.studies.ratings.rating_metrics import LOWER_IS_BETTER, METRICS

FILES = ("predictions.parquet", "report.html", "metrics.json")
_INTERVALS = ("AUC", "RMSE")  # those a terminal line has room for
_HEADERS = {"accuracy": "acc", "balanced accuracy": "bal acc"}


def write_report(result: Result, folder: Path | str) -> Path:
    """Write the three files into the folder (made if missing) and return it.

    All is rendered first and written under temporary names, so a failure leaves an earlier report as it was. Raises
    DataError if the folder cannot be written.
    """
    folder = Path(folder)
    parquet = io.BytesIO()
    result.predictions.to_parquet(parquet, index=False)
    text = json.dumps(as_json(result), indent=2, allow_nan=False, ensure_ascii=False)
    contents = dict(zip(FILES, (parquet.getvalue(), html(result).encode(), text.encode() + b"\n"), strict=True))
    try:
        write_together(folder, contents)
    except OSError as error:
        message = f"{folder}: the report cannot be written: {error.strerror}"
        raise DataError(message, "give a folder you may write to") from error
    return folder


def as_json(result: Result) -> dict[str, Any]:
    """Return about, versions, learned weights, and for every method its group, seconds and metrics."""
    found: dict[str, Any] = {}
    for row in result.table.to_dict("records"):
        about = {"group": row["group"], "seconds": row["seconds"], "metrics": {}}
        numbers = ("value", "low", "high", "difference", "difference_low", "difference_high")
        found.setdefault(row["label"], about)["metrics"][row["metric"]] = {name: row[name] for name in numbers}
    about = {"about": dict(result.about), "versions": versions(), "learned_weights": dict(result.weights)}
    return about | {"methods": found}


def table(result: Result) -> Table:
    """Return the terminal's table: one line a method, intervals of AUC and RMSE, seconds."""
    about = result.about
    shown = Table(
        title=f"{about['ratings']['kept']:,} ratings, {about['users']:,} users, {about['items']:,} items;"
        f" {about['settings']['folds']} stratified folds",
        caption=f"below: 95 % interval over users; * better, ! worse than {about['reference']}, paired",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    shown.add_column("method", overflow="fold", min_width=16)
    for name in (*METRICS, "s"):
        shown.add_column(_HEADERS.get(name, name), justify="right", no_wrap=True)
    for _, rows in result.table.groupby("group", sort=False):
        for label, cells in rows.groupby("label", sort=False):
            values = [_cell(row) for row in cells.to_dict("records")]
            shown.add_row(str(label), *values, f"{cells['seconds'].iloc[0]:.1f}")
        shown.add_section()
    return shown


def mark(row: Mapping[Any, Any]) -> str:
    """Return * if a value is better than the reference's, ! if worse, "" if the paired interval holds zero."""
    if row["difference_low"] <= 0 <= row["difference_high"]:
        return ""
    return "*" if (row["difference"] < 0) == (row["metric"] in LOWER_IS_BETTER) else "!"


def html(result: Result) -> str:
    """Return the self-contained page: tables, notes and pictures inside."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
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
    """Return the best value of each metric among methods that had all features."""
    whole = rows[rows["group"] != "imputation"].groupby("metric")["value"]
    return {name: float((whole.min() if name in LOWER_IS_BETTER else whole.max())[name]) for name in METRICS}


def _pictures(result: Result) -> dict[str, str]:
    """Return title -> data URL of each picture."""
    reference = result.about["reference"]
    fusions = result.table.query("group == 'fusion' and metric == 'AUC'")
    best = fusions.sort_values("value", ascending=False)["label"].head(3).tolist()
    likes = result.about["settings"]["likes"]
    drawn = {
        "AUC of liking": rating_plots.intervals(result.table, "AUC", reference),
        "RMSE of the rating": rating_plots.intervals(result.table, "RMSE", reference),
        "Calibration": rating_plots.calibration(result.predictions, [reference, *best], likes),
    }
    if result.weights:
        drawn["Learned weights"] = rating_plots.shares(result.weights)
    return {title: f"data:image/png;base64,{base64.b64encode(png).decode()}" for title, png in drawn.items()}
