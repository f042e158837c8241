"""The report of the study of sizes: a table, and quality against speed with the memory as the area of each dot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from recommender.files import write_together
from recommender.pages import Picture, Report, Table, report_html
from recommender.pages.drawing import COLOURS, INK, new_figure, png

METRICS, PAGE, PLOT = "metrics.json", "report.html", "sizes.png"
#: area of a dot in square points for a megabyte
_AREA = 14.0


def headline(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table."""
    return [
        {
            "model": row["model"],
            "layers": row["layers"],
            "NDCG@10": _with_interval(row["NDCG@10"], row["interval"]),
            "difference": _with_interval(row["difference"], row["interval of that"]),
            "same top 10": f"{row['same top 10']:.1%}",
            "lists a second": f"{row['lists a second']:.1f}",
            "layers, MB": f"{row['layers MB']:.1f}",
            "folder, MB": f"{row['folder MB']:.1f}",
        }
        for row in measured["sizes"]
    ]


def _with_interval(mean: float, ends: Sequence[float]) -> str:
    return f"{mean:.4f} ({ends[0]:.4f} to {ends[1]:.4f})"


def write_sizes(folder: Path, measured: dict[str, Any]) -> None:
    """Write metrics.json, sizes.png and report.html into a folder."""
    about = measured["about"]
    drawn = plot(measured["sizes"])
    lead = f"{about['users']} users, leave-one-out: what fewer layers and fewer bits cost, and what they save."
    notes = (
        "NDCG@10 with its 95 % interval over users; differences are paired, to the first row.",
        "Lists a second: of one core's time, median of rounds. Layers: the matrices of the ranking layers in memory.",
    )
    parts = (
        Table("Sizes", headline(measured)),
        Picture("NDCG@10 by lists a second", drawn, "a dot for each model; its area is the memory of its layers"),
    )
    page = report_html(Report("Sizes", lead, parts, notes, about))
    metrics = json.dumps(measured, indent=2) + "\n"
    write_together(folder, {PAGE: page.encode(), PLOT: drawn, METRICS: metrics.encode()})


def plot(rows: Sequence[dict[str, Any]]) -> bytes:
    """Draw NDCG@10 against lists a second: a colour for each number of layers, a letter for each number of bits."""
    figure = new_figure(7.4, 4.4)
    axes = figure.add_subplot()
    depths = sorted({row["layers"] for row in rows}, reverse=True)
    for depth, colour in zip(depths, COLOURS * len(depths), strict=False):
        of_depth = [row for row in rows if row["layers"] == depth]
        speeds, values = ([row[key] for row in of_depth] for key in ("lists a second", "NDCG@10"))
        error = [[abs(row["interval"][end] - row["NDCG@10"]) for row in of_depth] for end in (0, 1)]
        areas = [_AREA * row["layers MB"] for row in of_depth]
        axes.errorbar(speeds, values, yerr=error, fmt="none", ecolor=colour, alpha=0.45, linewidth=1, capsize=2)
        axes.scatter(speeds, values, s=areas, color=colour, alpha=0.75, linewidths=0)
        axes.scatter([], [], s=60, color=colour, label=f"{depth} layer{'s' * (depth > 1)}")  # of one size in the legend
        for place, row in enumerate(sorted(of_depth, key=lambda row: row["lists a second"])):
            below = place % 2 == 1  # names of neighbours stand apart
            away = 5 + (_AREA * row["layers MB"]) ** 0.5 / 2
            axes.annotate(
                f"{row['bits']} bits, {row['layers MB']:.0f} MB",
                (row["lists a second"], row["NDCG@10"]),
                (0, -away if below else away),
                textcoords="offset points",
                ha="center",
                va="top" if below else "bottom",
                fontsize=8,
                color=INK,
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("lists of ten a second, one core")
    axes.set_ylabel("NDCG@10, 95 % interval")
    axes.margins(x=0.14, y=0.14)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9, loc="best")
    return png(figure)
