"""The HTML page of an evaluation, with its tables and pictures inside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recommender.eval import plots
from recommender.eval.evaluation import SLICED, Evaluation, records
from recommender.eval.report_parts import versions
from recommender.eval.slices import FEW
from recommender.pages import embedded, page_environment

_LABELS = {"recall": "R", "ndcg": "N", "mrr": "MRR"}
# metric -> title, whether higher is better, digits
_BEYOND = {
    "coverage": ("coverage@10", True, 4),
    "gini": ("Gini@10", False, 4),
    "novelty": ("novelty@10, bits", True, 2),
    "cold_share": ("share of items without training@10", True, 4),
    "diversity": ("diversity@10", True, 4),
    "content_diversity": ("content diversity@10", True, 4),
    "calibration_kl": ("calibration@10, KL", False, 3),
    "calibration_js": ("calibration@10, JS", False, 4),
}


def headline(evaluation: Evaluation) -> dict[str, tuple[str, int]]:
    """Return the columns of the main table: label -> (metric, k)."""
    longest = evaluation.about["ks"][-1]
    return {
        "R@10": ("recall", 10),
        "N@10": ("ndcg", 10),
        "R@5": ("recall", 5),
        "N@5": ("ndcg", 5),
        f"MRR@{longest}": ("mrr", longest),
        "coverage@10": ("coverage", 10),
    }


def differs(row: Mapping[str, Any] | pd.Series) -> bool:
    """Return whether the paired interval of the difference to the reference excludes zero."""
    return significant(row["difference_low"], row["difference_high"])


def significant(low: float, high: float) -> bool:
    """Return whether an interval excludes zero."""
    return bool(low > 0 or high < 0)


def seconds(value: float) -> str:
    """Return seconds for a table, a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def html(evaluation: Evaluation) -> str:
    """Return the self-contained page: tables, notes and pictures inside."""
    environment = page_environment(Path(__file__).parent)
    environment.filters["seconds"] = seconds
    environment.globals |= {"differs": differs, "isnan": math.isnan}
    columns = headline(evaluation)
    lines = [
        (row, {label: evaluation.row(row["model"], *key) for label, key in columns.items()})
        for row in records(evaluation.models)
    ]
    return environment.get_template("report.html.jinja").render(
        about=evaluation.about,
        versions=versions(),
        lines=lines,
        models=[row["model"] for row, _ in lines],
        best={label: max(cells[label]["mean"] for _, cells in lines) for label in columns},
        several=bool(evaluation.models["runs"].max() > 1),
        pairs=_pairs(evaluation),
        slices={_label(*key): _slices(evaluation, *key) for key in reversed(SLICED)},
        beyond=_beyond(evaluation),
        runs=_runs(evaluation),
        few=FEW,
        pictures=_pictures(evaluation),
    )


def _label(metric: str, k: int) -> str:
    return f"{_LABELS[metric]}@{k}"


def _pairs(evaluation: Evaluation) -> dict[tuple[str, str], dict[str, Any]]:
    """Return (model, other) -> difference of NDCG@10 with its interval, and whether it is significant."""
    rows = records(evaluation.pairs.query("metric == 'ndcg' and k == 10"))
    return {(row["model"], row["other"]): {**row, "significant": significant(row["low"], row["high"])} for row in rows}


def _slices(evaluation: Evaluation, metric: str, k: int) -> list[dict[str, Any]]:
    """Return for each slice its name, number of users, whether they are few, the best mean, and model -> row."""
    rows = evaluation.slices.query("metric == @metric and k == @k")
    return [
        {
            "slice": name,
            "users": int(group["users"].iloc[0]),
            "few": bool(group["few"].iloc[0]),
            "best": group["mean"].max(),
            "cells": {row["model"]: row for row in records(group)},
        }
        for name, group in rows.groupby("slice", sort=False)
    ]


def _beyond(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Return for each metric beyond accuracy: title -> whether higher is better, digits and each model's row."""
    models = evaluation.models["model"].tolist()
    return {
        title: {
            "higher": higher,
            "digits": digits,
            "cells": {model: evaluation.row(model, metric, 10) for model in models},
        }
        for metric, (title, higher, digits) in _BEYOND.items()
        if evaluation.has(metric)
    }


def _runs(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return for each run of models with several: model, run and the means of NDCG@10 and recall@10."""
    several = evaluation.models.query("runs > 1")["model"]
    rows = evaluation.runs[evaluation.runs["model"].isin(several) & (evaluation.runs["k"] == 10)]
    wide = rows.pivot_table(index=["model", "run"], columns="metric", values="mean", sort=False)
    return [] if rows.empty else records(wide[["recall", "ndcg"]].reset_index())


def _pictures(evaluation: Evaluation) -> dict[str, str]:
    """Return title -> data URL of each picture."""
    pictures = {
        "NDCG@10": plots.bars(evaluation, "ndcg", 10, "NDCG@10"),
        "Recall@10": plots.bars(evaluation, "recall", 10, "Recall@10"),
        "Recall by length of the list": plots.recall_curve(evaluation),
        "NDCG@10 by slice": plots.slices(evaluation, "ndcg", 10, "NDCG@10"),
    }
    return embedded(pictures)
