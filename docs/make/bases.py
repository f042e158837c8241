"""Try all bases of tests/bases and write the table of docs/base-models.md.

Run it with `PYTHONPATH=. python docs/make/bases.py`; it needs two minutes of one core. Names of families as arguments: only
these are tried, and nothing is written. The checks are those of the tests, so a cell is what a test asserts.
"""

from __future__ import annotations

import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from recommender.errors import ConfigError
from recommender.inference.weight_cache import WeightCache
from recommender.model import load_llm
from tests.bases import matrix
from tests.bases.families import FAMILIES, Family

PAGE = Path(__file__).parents[1] / "base-models.md"
START, END = "<!-- the matrix, by docs/make/bases.py -->", "<!-- end of the matrix -->"
COLUMNS = ("train", "save, load", "rank", "codes", "write", "chat", "merge", "vLLM folder", "4 bits", "faster layers")


def cells(family: Family, folder: Path) -> list[str]:
    """Return the cells of one family's row."""
    base = folder / "base"
    base.mkdir(parents=True)
    family.make(base)
    if family.refused is not None:
        return [refusal(base)]
    world = matrix.make_world(base)
    checks: list[Callable[[], None]] = [
        lambda: matrix.check_train(world),
        lambda: matrix.check_save(world, folder),
        lambda: matrix.check_rank(world),
        lambda: matrix.check_levels(matrix.make_world(base, 3)),
        lambda: matrix.check_write(world),
        lambda: matrix.check_chat(world),
        lambda: matrix.check_merge(world, folder),
        lambda: matrix.check_export(world, folder),
        lambda: matrix.check_four_bits(base),
    ]
    refused = getattr(WeightCache(world.model).stack(), "refused", None)
    return [*map(tried, checks), "yes" if refused is None else f"no ({shortened(refused)})"]


def shortened(refused: str) -> str:
    """Return why faster layers are refused, as the table has room for it."""
    missing = re.search(r"object has no attribute '(\w+)'", refused)
    if missing:
        return f"no {missing[1]}"
    return "parts of other sizes" if "size of tensor" in refused else re.sub(r"^\w+Error: ", "", refused)


def tried(check: Callable[[], None]) -> str:
    """Run one check; returns its cell."""
    try:
        check()
    except Exception:
        traceback.print_exc()
        return "**fails**"
    return "✓"


def refusal(base: Path) -> str:
    """Return what the one line says by which a base is refused."""
    try:
        load_llm(matrix.settings(base).base)
    except ConfigError as error:
        return "refused: it " + error.message.partition("ForCausalLM")[2].lstrip(", ").removeprefix(
            "which "
        ).removeprefix("that ")
    return "**is not refused**"


def table(names: list[str]) -> str:
    """Return the table of the families with these names, of all if there are none."""
    lines = [f"| family | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    refused = []
    for family in (one for one in FAMILIES if not names or one.name in names):
        with tempfile.TemporaryDirectory() as folder:
            row = cells(family, Path(folder) / "work")
        print(family.name, *row, sep=" | ", file=sys.stderr, flush=True)
        if family.refused is None:
            lines.append(f"| {family.name} | {' | '.join(row)} |")
        else:
            refused.append(f"- {family.name}: {row[0]}.")
    return "\n".join([*lines, "", *refused])


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    made = table(sys.argv[1:])
    if sys.argv[1:]:
        print(made)
    else:
        text = PAGE.read_text(encoding="utf-8")
        before, after = text.split(START)[0], text.split(END)[1]
        PAGE.write_text(f"{before}{START}\n{made}\n{END}{after}", encoding="utf-8")
