"""The plot of a training run: loss and validation over the steps of each stage."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recommender.errors import RecommenderError, import_extra
from recommender.files import replacing

logger = logging.getLogger(__name__)


def plot_log(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the training log as a PNG, one panel a stage. Without matplotlib nothing is drawn, and one line says so."""
    try:
        figure_module = import_extra("matplotlib.figure", f"the plot {path.name}", "eval")
    except RecommenderError as error:
        logger.warning("%s, so it is left out: %s", error.message, error.hint)
        return
    stages = list(dict.fromkeys((row["number"], row["stage"]) for row in rows)) or [(0, "no steps")]
    figure = figure_module.Figure(figsize=(5 * len(stages), 3.4), layout="tight")
    axes = figure.subplots(1, len(stages), squeeze=False)
    for axis, (number, stage) in zip(axes[0], stages, strict=True):
        stage_rows = [row for row in rows if row["number"] == number]
        losses = [row for row in stage_rows if row["loss"] != ""]
        axis.plot([row["step"] for row in losses], [row["loss"] for row in losses], lw=1)
        axis.set(title=stage, xlabel="step", ylabel="training loss (nats a label)")
        validated = [row for row in stage_rows if row["validation"] != ""]
        if validated:
            twin = axis.twinx()
            steps, values = ([row[key] for row in validated] for key in ("step", "validation"))
            twin.plot(steps, values, "o-", color="tab:orange", ms=3)
            twin.set_ylabel("validation NDCG@10" if stage == "rank" else "negative held-out loss", color="tab:orange")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
