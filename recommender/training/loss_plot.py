"""The picture of a training run: loss and validation over the steps of each stage."""

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
        mine = [row for row in rows if row["number"] == number]
        axis.plot([r["step"] for r in mine if r["loss"] != ""], [r["loss"] for r in mine if r["loss"] != ""], lw=1)
        axis.set(title=stage, xlabel="step", ylabel="training loss (nats a label)")
        checked = [row for row in mine if row["validation"] != ""]
        if checked:
            twin = axis.twinx()
            twin.plot([r["step"] for r in checked], [r["validation"] for r in checked], "o-", color="tab:orange", ms=3)
            twin.set_ylabel("validation NDCG@10" if stage == "rank" else "negative held-out loss", color="tab:orange")
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)
