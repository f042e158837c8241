"""The study of attribution as files: every figure, and a page with the curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from recommender.attribution.towers import NOUNS
from recommender.eval.report_parts import json_bytes, versions, write_files
from recommender.pages import embedded, page_environment
from recommender.pages.drawing import png
from recommender.studies.attribution_curves import ATTRIBUTION, CENTRE, MEASURES, RANDOM, SHARES

_COLOURS = {ATTRIBUTION: "#e66101", RANDOM: "#9aa3af", CENTRE: "#2f6f9f"}


def write_attribution(folder: Path, measured: dict[str, Any]) -> dict[str, Any]:
    """Write metrics.json and report.html into a folder, and return what metrics.json holds."""
    metrics = {**measured, "versions": versions()}
    pictures = embedded(
        {
            NOUNS[medium]: curves_plot(of["curves"])
            for medium, of in measured.get("media", {}).items()
            if medium in NOUNS
        }
    )
    page = page_environment(Path(__file__).parent).get_template("attribution.html.jinja")
    text = page.render(metrics=metrics, pictures=pictures, measures=MEASURES, nouns=NOUNS, orders=tuple(_COLOURS))
    write_files(folder, {"report.html": text.encode(), "metrics.json": json_bytes(metrics)})
    return metrics


def curves_plot(curves: dict[str, Any]) -> bytes:
    """Return a PNG of the mean score while parts are deleted, and while they are inserted, a line for each order."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    shared = None
    for number, title in enumerate(("deletion: lower is better", "insertion: higher is better")):
        axes = shared = figure.add_subplot(1, 2, number + 1, sharey=shared)
        for name, both in curves.items():
            axes.plot(SHARES, both[number], label=name, color=_COLOURS[name], linewidth=1.8, marker="o", markersize=3)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("share of the parts")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("mean score, nats")
    figure.axes[0].legend(frameon=False, fontsize=9)
    return png(figure)


def headline(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that are printed: a measure of a medium, its three orders, and the paired difference from random."""
    rows = []
    for medium, of in measured.get("media", {}).items():
        for measure in MEASURES:
            cells = of["compared"][measure]
            row: dict[str, Any] = {"": f"{medium} {measure}"}
            row |= {name: f"{cells[name]['mean']:.3f}" for name in _COLOURS}
            rows.append(row | {"better than random": interval(cells[f"better than {RANDOM}"])})
    return rows


def said(measured: dict[str, Any]) -> list[str]:
    """Return in words what is no curve: sanity, stability, planted cases, time."""
    lines = []
    for medium, of in measured.get("media", {}).items():
        random, seed = of["rank correlation with a random projector"], of["rank correlation with another seed"]
        lines.append(
            f"{medium}, {of['cases']} cases: maps of a random projector rank alike by {interval(random)}, of another seed by"
            f" {interval(seed)}"
        )
    for medium, of in measured.get("planted", {}).items():
        lines.append(f"{medium}, planted: {of['hits']} of {of['cases']} hit; by chance {of['by chance']:.0%}")
    if times := measured.get("seconds"):
        lines.append(f"a whole report: {times['median']} s, at most {times['longest']} s")
    return lines


def interval(cell: dict[str, float]) -> str:
    """Return an estimate and its interval: 0.123 (0.100 to 0.150)."""
    return f"{cell['mean']:.3f} ({cell['low']:.3f} to {cell['high']:.3f})"
