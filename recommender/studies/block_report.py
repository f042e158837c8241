"""Figures and page of the study of blocks: HR and NDCG at 5 and 10, of each block and their mean, with intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recommender.files import write_together
from recommender.numerics.gains import single_target_ndcg
from recommender.pages import Picture, Report, Table, report_html
from recommender.pages.drawing import line_chart

FIGURES, PAGE = "blocks.json", "report.html"
K = 10
_CUTS = (5, 10)
_SAMPLES = 2000
LISTED = {"all": "nothing is taken out of the lists, as in the paper", "new": "what a user had is taken out"}
_NOTES = (
    "The protocol of PESO's public code (Yoo et al., ICLR 2026): in each block all but the last two items of a user are"
    " learned, and the last one is ranked among all items, from what its user had before it.",
    "The last item but one of a user decides which weights of a base or full training are kept, and is otherwise unused.",
    "frozen: the model of the first block; update: recommender update, block by block; evolving: that without replay and"
    " proximal term; full: trained anew on all blocks so far; counts: a baseline that is fitted on them.",
    "The mean is that of the blocks, each of the same weight. Intervals: bootstrap over users, 95 %.",
)


def figures_of(
    done: Mapping[str, Any], ways: Sequence[str], users: Sequence[Sequence[str]], seed: int
) -> dict[str, Any]:
    """Return the measures of all ways. `done`: the study's steps, with the ranks of each way and block. `users`: whose they
    are, for each block."""
    ranks = {way: [done[f"{way} {block}"] for block in range(1, len(users) + 1)] for way in ways}
    sample = _Sample(users, seed)
    measured = {
        way: {
            listed: {
                "mean": sample.measured(_of(blocks, listed)),
                "blocks": [sample.measured(_of(blocks, listed), place) for place in range(len(users))],
            }
            for listed in LISTED
        }
        for way, blocks in ranks.items()
    }
    pairs = [("update", other) for other in ("evolving", "frozen", "full") if {"update", other} <= set(ways)]
    differences = {
        f"{one} less {other}": sample.differences(_of(ranks[one], "all"), _of(ranks[other], "all"))
        for one, other in pairs
    }
    seconds = {"base": done["trained base"]["seconds"]} if "trained base" in done else {}
    for way in ways:
        steps = [f"{kind} {way}-{block}" for kind in ("trained", "learned") for block in range(1, len(users) + 1)]
        if spent := [done[step]["seconds"] for step in steps if step in done]:
            seconds[way] = spent
    return {"ways": measured, "differences": differences, "seconds": seconds}


def _of(blocks: Sequence[Mapping[str, Any]], listed: str) -> list[np.ndarray]:
    return [np.array(block[listed], np.int64) for block in blocks]


def _measures(ranks: np.ndarray) -> dict[str, np.ndarray]:
    hits = {f"HR@{cut}": (ranks <= cut).astype(float) for cut in _CUTS}
    return hits | {f"NDCG@{cut}": single_target_ndcg(ranks, cut) for cut in _CUTS}


class _Sample:
    """Bootstrap samples of the users of all blocks, drawn once, so that all ways are measured on the same ones."""

    def __init__(self, users: Sequence[Sequence[str]], seed: int) -> None:
        names = {name: place for place, name in enumerate(dict.fromkeys(name for block in users for name in block))}
        drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), _SAMPLES)
        self._weights = [drawn[:, [names[name] for name in block]].astype(np.float32) for block in users]

    def measured(self, ranks: Sequence[np.ndarray], block: int | None = None) -> dict[str, Any]:
        """Return each measure's mean over the blocks, or that of one, and its interval."""
        each = [_measures(part) for part in ranks]
        return {name: self._told([part[name] for part in each], block) for name in each[0]}

    def differences(self, one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> dict[str, Any]:
        """Return each measure of one way less that of another, paired."""
        pairs = [(_measures(first), _measures(second)) for first, second in zip(one, other, strict=True)]
        return {name: self._told([first[name] - second[name] for first, second in pairs], None) for name in pairs[0][0]}

    def _told(self, values: Sequence[np.ndarray], block: int | None) -> dict[str, Any]:
        chosen = range(len(values)) if block is None else (block,)
        with np.errstate(invalid="ignore"):  # a sample may have nobody of a block, whose mean it then has not
            means = np.array([self._weights[place] @ values[place] / self._weights[place].sum(1) for place in chosen])
        present = np.isfinite(means)
        drawn = np.where(present, means, 0).sum(0)[present.any(0)] / present.sum(0)[present.any(0)]
        ends = np.quantile(drawn, [0.025, 0.975])
        mean = float(np.mean([values[place].mean() for place in chosen]))
        return {"mean": round(mean, 4), "interval": [round(float(end), 4) for end in ends]}


def rows_of(figures: Mapping[str, Any], listed: str = "all") -> list[dict[str, Any]]:
    """Return a row for each way: the means over the blocks, NDCG@10 of each block, and what learning one took."""
    rows = []
    for way, found in figures["ways"].items():
        row: dict[str, Any] = {"way": way}
        row |= {name: _told(value) for name, value in found[listed]["mean"].items()}
        for number, block in enumerate(found[listed]["blocks"], 1):
            row[f"NDCG@10, block {number}"] = f"{block['NDCG@10']['mean']:.4f}"
        seconds = figures["seconds"].get(way)
        row["seconds a block"] = round(float(np.mean(seconds)), 1) if seconds else ""
        rows.append(row)
    return rows


def differences_told(figures: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each paired difference."""
    return [
        f"{name}: NDCG@10 {_told(found['NDCG@10'])}, HR@10 {_told(found['HR@10'])}"
        for name, found in figures["differences"].items()
    ]


def _told(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['mean']:.4f} ({low:.4f} to {high:.4f})"


def _each_block(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"way": way, "block": number, **{name: _told(value) for name, value in block.items()}}
        for way, found in figures["ways"].items()
        for number, block in enumerate(found["all"]["blocks"], 1)
    ]


def write_blocks(output: Path, figures: Mapping[str, Any]) -> None:
    """Write the figures as JSON and the page into a folder."""
    about = figures["about"]
    lead = f"{sum(about['tests'])} tests in {len(about['tests'])} blocks, {about['items']} items."
    lead = " ".join([lead, *(f"{sentence}." for sentence in differences_told(figures))])
    numbers = list(range(1, len(about["tests"]) + 1))
    lines = {
        way: (numbers, [block["NDCG@10"]["mean"] for block in found["all"]["blocks"]])
        for way, found in figures["ways"].items()
    }
    parts: list[Table | Picture] = [
        *(Table(f"Mean of the blocks; {said}", rows_of(figures, listed)) for listed, said in LISTED.items()),
        Table(f"Each block; {LISTED['all']}", _each_block(figures)),
        Picture("NDCG@10 block by block", line_chart(lines, "block", "NDCG@10"), LISTED["all"]),
    ]
    report = Report("Does it learn block by block?", lead, parts, _NOTES, about)
    contents = {FIGURES: (json.dumps(figures, indent=1) + "\n").encode(), PAGE: report_html(report).encode()}
    write_together(output, contents)
