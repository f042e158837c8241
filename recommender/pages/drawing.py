"""Plots as PNG bytes in the look of all reports; matplotlib's Agg canvas, so no display is needed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from recommender.errors import import_extra

import_extra("matplotlib", "a report with plots", "eval")
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402

GREY, BLUE, INK = "#9aa3af", "#2f6f9f", "#1f2933"
COLOURS = (BLUE, "#b7791f", "#4a8f6b", "#7a6f9f", "#c0524a", GREY)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, sizes in inches, without pyplot's global state."""
    return Figure(figsize=(width, height), layout="constrained")


def png(figure: Figure) -> bytes:
    """Return a figure as PNG, its axes without the lines on top and on the right."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    file = io.BytesIO()
    # print_png belongs to the Agg canvas; 144 dots an inch stay sharp on dense screens
    figure.savefig(file, format="png", dpi=144)
    return file.getvalue()


def bar_chart(values: Mapping[str, float], label: str, low: Sequence[float] = (), high: Sequence[float] = ()) -> bytes:
    """Draw a bar for each name, longest names cut; `low`, `high`: the ends of its interval, if there are any."""
    figure = new_figure(7.2, 0.9 + 0.38 * max(len(values), 1))
    axes = figure.add_subplot()
    means = list(values.values())
    below, above = ([abs(end - mean) for mean, end in zip(means, ends, strict=bool(ends))] for ends in (low, high))
    error = [below, above] if low else None
    axes.barh(range(len(means)), means, xerr=error, color=BLUE, height=0.62, ecolor=INK, capsize=3)
    for at, mean in enumerate(means):
        axes.annotate(f"{mean:.4g}", (high[at] if high else mean, at), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(means)), [name if len(name) <= 48 else f"{name[:47]}…" for name in values])
    axes.invert_yaxis()
    axes.margins(x=0.16)
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    return png(figure)


def line_chart(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x: str,
    y: str,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    whole: bool = False,
) -> bytes:
    """Draw a line for each name of (x values, y values); `bands`: name -> (low, high) around it; `whole`: x are counts."""
    figure = new_figure(7.2, 3.9)
    axes = figure.add_subplot()
    for colour, (name, (xs, ys)) in zip(COLOURS * len(lines), lines.items(), strict=False):
        axes.plot(xs, ys, label=name, color=colour, linewidth=1.8)
        if bands and name in bands:
            axes.fill_between(xs, *bands[name], color=colour, alpha=0.15, linewidth=0)
    if whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    return png(figure)
