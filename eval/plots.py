"""The pictures of a report, as PNG bytes; matplotlib's Agg canvas, so no display is needed."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from recommender.eval.evaluation import Evaluation
from recommender.pages.drawing import BLUE, GREY, INK, new_figure, png

_LONGEST_LABEL = 28


def bars(evaluation: Evaluation, metric: str, k: int, label: str) -> bytes:
    """Draw a bar with its interval for each model, in the order of the evaluation."""
    rows = evaluation.summary.query("metric == @metric and k == @k")
    means = rows["mean"].to_numpy()
    error = np.stack([means - rows["low"], rows["high"] - means]).clip(min=0)
    names = rows["model"].tolist()
    colours = [GREY if name == evaluation.about["reference"] else BLUE for name in names]
    figure = new_figure(5.2, 1.1 + 0.42 * len(names))
    axes = figure.add_subplot()
    axes.barh(range(len(names)), means, xerr=error, color=colours, height=0.62, ecolor=INK, capsize=3)
    for at, (mean, high) in enumerate(zip(means, rows["high"], strict=True)):
        axes.annotate(f"{mean:.3f}", (high, at), (6, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.invert_yaxis()
    axes.margins(x=0.16)
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    return png(figure)


def recall_curve(evaluation: Evaluation) -> bytes:
    """Draw mean recall at every k, a line for each model."""
    figure = new_figure(7.4, 4.0)
    axes = figure.add_subplot()
    for name, rows in evaluation.curves.groupby("model", sort=False):
        axes.plot(rows["k"], rows["recall"], label=_short(str(name)), linewidth=1.8)
    axes.set_xlabel("k, length of the list")
    axes.set_ylabel("recall@k")
    axes.set_xlim(1, evaluation.curves["k"].max())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return png(figure)


def slices(evaluation: Evaluation, metric: str, k: int, label: str) -> bytes:
    """Draw a row for every slice with some but not all users, and in it a dot with its interval for each model."""
    rows = evaluation.slices.query("metric == @metric and k == @k")
    rows = rows[(rows["users"] > 0) & (rows["users"] < evaluation.about["users"])]
    names, models = rows["slice"].unique().tolist(), evaluation.models["model"].tolist()
    figure = new_figure(9.0, 1.2 + (0.28 + 0.11 * len(models)) * max(len(names), 1))
    axes = figure.add_subplot()
    for place, model in enumerate(models):
        cells = rows[rows["model"] == model]
        heights = np.arange(len(cells)) + 0.7 * ((place + 0.5) / len(models) - 0.5)
        error = np.stack([cells["mean"] - cells["low"], cells["high"] - cells["mean"]]).clip(min=0)
        axes.errorbar(cells["mean"], heights, xerr=error, fmt="o", markersize=4, linewidth=1.2, label=_short(model))
    users = rows.groupby("slice", sort=False)["users"].first()
    axes.set_yticks(range(len(names)), [f"{name}\n{users[name]:,} users" for name in names], fontsize=9)
    for edge in range(1, len(names)):
        axes.axhline(edge - 0.5, color=GREY, linewidth=0.6, alpha=0.6)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=9, loc="outside upper center", ncols=4)
    return png(figure)


def _short(name: str) -> str:
    """Return a label that leaves room for the picture: the end of a long path."""
    return name if len(name) <= _LONGEST_LABEL else f"…{name[1 - _LONGEST_LABEL :]}"
