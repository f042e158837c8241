"""What a training run leaves to look at: the plot of its losses, and a page with the plot and a table of its stages."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recommender.errors import RecommenderError, import_extra
from recommender.files import write_bytes
from recommender.pages import Picture, Report, Table, report_html

logger = logging.getLogger(__name__)
PLOT, PAGE = "loss.png", "report.html"
_VALIDATION = {"rank": "NDCG@10", "explain": "negative held-out loss"}
_NOTES = (
    "Losses are in nats a label, of single steps, so they jump; validation is measured on what training never sees.",
    "Of each stage the weights of its best validation are kept. The stage that ranks is validated by NDCG@10 over the whole "
    "catalogue, the others by the negative loss on held-out data; higher is better.",
)

Rows = Sequence[Mapping[str, Any]]


def write_training_report(rows: Rows, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
    """Write the training log as a picture and as a page into a folder.

    Without matplotlib the page has no picture, and one line says so. `settings`: what stands at the foot of the page.
    """
    plot = _plot(rows)
    if plot is not None:
        write_bytes(folder / PLOT, plot)
    stages = [_stage_row(rows, number, stage) for number, stage in _stages(rows)]
    pictures = [] if plot is None else [Picture("Loss and validation", plot, "a panel for each stage, over its steps")]
    lead = f"{len(stages)} stages, {sum(row['steps'] for row in stages):,} steps."
    report = Report("Training", lead, [*pictures, Table("Stages", stages)], _NOTES, settings)
    write_bytes(folder / PAGE, report_html(report).encode())


def _stages(rows: Rows) -> list[tuple[int, str]]:
    return list(dict.fromkeys((row["number"], row["stage"]) for row in rows))


def _of_stage(rows: Rows, number: int, value: str) -> list[tuple[int, float]]:
    """Return (step, value) of each step of a stage at which there was one."""
    return [(row["step"], row[value]) for row in rows if row["number"] == number and row[value] != ""]


def _stage_row(rows: Rows, number: int, stage: str) -> dict[str, Any]:
    losses, validated = _of_stage(rows, number, "loss"), _of_stage(rows, number, "validation")
    best = max(validated, key=lambda pair: pair[1], default=(None, None))
    return {
        "stage": stage,
        "steps": max((row["step"] for row in rows if row["number"] == number), default=0),
        "first loss": losses[0][1] if losses else None,
        "last loss": losses[-1][1] if losses else None,
        "validated by": _VALIDATION.get(stage, "negative held-out loss"),
        "best validation": best[1],
        "at step": best[0],
    }


def _plot(rows: Rows) -> bytes | None:
    """Return the training log as a PNG, one panel a stage; None without matplotlib."""
    try:
        figure_module = import_extra("matplotlib.figure", f"the plot {PLOT}", "eval")
    except RecommenderError as error:
        logger.warning("%s, so it is left out: %s", error.message, error.hint)
        return None
    stages = _stages(rows) or [(0, "no steps")]
    figure = figure_module.Figure(figsize=(5 * len(stages), 3.4), layout="tight")
    axes = figure.subplots(1, len(stages), squeeze=False)
    for axis, (number, stage) in zip(axes[0], stages, strict=True):
        axis.plot(*_columns(_of_stage(rows, number, "loss")), lw=1)
        axis.set(title=stage, xlabel="step", ylabel="training loss (nats a label)")
        if validated := _of_stage(rows, number, "validation"):
            twin = axis.twinx()
            twin.plot(*_columns(validated), "o-", color="tab:orange", ms=3)
            twin.set_ylabel(f"validation {_VALIDATION.get(stage, 'negative held-out loss')}", color="tab:orange")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def _columns(pairs: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in pairs], [value for _, value in pairs]
