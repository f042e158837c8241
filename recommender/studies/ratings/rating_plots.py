"""The plots of a comparison of rating predictors, as PNG bytes; they need no display."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recommender.pages.drawing import png

_COLOURS = {"floor": "#9aa3af", "one modality": "#7a6f9f", "fusion": "#2f6f9f", "imputation": "#b7791f"}
_BINS = 10


def intervals(table: pd.DataFrame, metric: str, reference: str) -> bytes:
    """Draw each method's value and interval as a point and a line, and the reference as a dotted line."""
    rows = table[table["metric"] == metric]
    figure = Figure(figsize=(6.4, 1.2 + 0.27 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for height, row in enumerate(rows.to_dict("records")):
        colour = _COLOURS[row["group"]]
        axes.plot([row["low"], row["high"]], [height, height], color=colour, linewidth=2.2, solid_capstyle="round")
        axes.plot(row["value"], height, "o", color=colour, markersize=5)
    axes.axvline(float(rows.loc[rows["label"] == reference, "value"].iloc[0]), color="#1f2933", linewidth=1, ls=":")
    axes.set_yticks(range(len(rows)), rows["label"], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(metric)
    axes.grid(axis="x", alpha=0.3)
    return png(figure)


def calibration(predictions: pd.DataFrame, labels: list[str], likes: float) -> bytes:
    """Draw the share of likes against the mean predicted probability, in ten bins of equal size."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#9aa3af", linewidth=1, ls=":")
    for label in labels:
        rows = predictions[predictions["method"] == label].sort_values("like", kind="stable")
        bins = np.array_split(np.arange(len(rows)), _BINS)
        predicted = [rows["like"].to_numpy()[part].mean() for part in bins]
        liked = [(rows["rating"].to_numpy()[part] >= likes).mean() for part in bins]
        axes.plot(predicted, liked, "o-", markersize=4, linewidth=1.6, label=label)
    axes.set_xlabel("predicted probability that the user likes the item")
    axes.set_ylabel("share of likes")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return png(figure)


def shares(weights: Mapping[str, float]) -> bytes:
    """Draw the mean weight of each modality in the fusion with learned weights."""
    figure = Figure(figsize=(6.4, 0.9 + 0.36 * len(weights)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(weights)), list(weights.values()), color=_COLOURS["fusion"], height=0.6)
    axes.axvline(1 / len(weights), color="#1f2933", linewidth=1, ls=":")
    axes.set_yticks(range(len(weights)), list(weights), fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel("mean weight (dotted: equal weights)")
    return png(figure)
