"""The plot of a training run: loss and validation over the steps of each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from recommender.files import replacing


def plot_log(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the training log as a PNG, one panel a stage."""
    stages = list(dict.fromkeys((row["number"], row["stage"]) for row in rows)) or [(0, "no steps")]
    figure, axes = plt.subplots(1, len(stages), figsize=(5 * len(stages), 3.4), squeeze=False)
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
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)
