"""Plots of reports that tests write by the way: each kind is drawn once; drawing takes longer than a tiny training."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

#: the tests that look at what is drawn
LOOKED_AT = tuple(
    f"tests/{name}"
    for name in "pages/ eval/test_report.py training/test_training_report.py training/test_loop.py".split()
    + ["studies/test_attribution.py", "studies/test_sizes.py"]
)


@pytest.fixture(scope="session", autouse=True)
def each_kind_of_plot_is_drawn_once() -> Iterator[None]:
    """Put a dot in place of a plot that has the axes of an earlier one, but for tests that look at it."""
    dot, drawn, draw = io.BytesIO(), set(), Figure.savefig
    Image.new("RGB", (1, 1)).save(dot, "PNG")

    def savefig(figure: Figure, file: io.BytesIO, **options: Any) -> None:
        axes = tuple((each.get_xlabel(), each.get_ylabel()) for each in figure.axes)
        if axes in drawn and not os.environ.get("PYTEST_CURRENT_TEST", "").startswith(LOOKED_AT):
            file.write(dot.getvalue())
            return
        drawn.add(axes)
        draw(figure, file, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield
