"""Figures and page of the study of two domains: recall and NDCG at 10 by the size of the target's data, and differences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recommender.eval.bootstrap import Bootstrap, Estimates
from recommender.eval.report_parts import versions
from recommender.files import write_together
from recommender.numerics.gains import single_target_ndcg
from recommender.pages import Picture, Report, Table, report_html
from recommender.pages.drawing import line_chart

FIGURES, PAGE = "domains.json", "report.html"
K = 10
_MEASURES = (f"R@{K}", f"N@{K}")
_NOTES = (
    "Each tested user's last item, ranked among the items of its own domain; the last two items of all users are learned by"
    " nobody.",
    "alone: only the target's users; both: one adapter for both domains; started: from an adapter of the other domain;"
    " popularity: counts of what is learned.",
    "Intervals: bootstrap over users, 95 %; differences are paired.",
)


def figures_of(
    done: Mapping[str, Any], about: Mapping[str, Any], targets: Sequence[str], ways: Sequence[str]
) -> dict[str, Any]:
    """Return for each target, share and way the measures, and the paired difference from the first way.

    done: the study's steps; `TARGET SHARE WAY` holds the ranks from 1, K + 1 below K.
    """
    return {
        "targets": {
            target: {
                share: _measured(done, target, share, ways, about["seed"])
                for share in about["domains"][target]["learned"]
            }
            for target in targets
        }
    }


def _measured(done: Mapping[str, Any], target: str, share: str, ways: Sequence[str], seed: int) -> dict[str, Any]:
    found = [done[f"{target} {share} {way}"] for way in ways]
    ranks = np.array([each["ranks"] for each in found])
    values = np.stack([(ranks <= K).astype(float), single_target_ndcg(ranks, K)], axis=-1).transpose(1, 0, 2)
    resampled = Bootstrap(values, seed)
    means, differences = resampled.means(), resampled.differences(0)
    return {
        way: {
            "measures": _told(means, row),
            "more than alone": _told(differences, row) if row else None,
            "seconds": found[row]["seconds"],
        }
        for row, way in enumerate(ways)
    }


def _told(estimates: Estimates, row: int) -> dict[str, Any]:
    return {
        name: {
            "mean": round(float(estimates.mean[row, column]), 4),
            "interval": [round(float(ends[row, column]), 4) for ends in (estimates.low, estimates.high)],
        }
        for column, name in enumerate(_MEASURES)
    }


def rows_of(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each target, share and way."""
    return [
        {
            "target": target,
            "users learned": f"{figures['about']['domains'][target]['learned'][share]} ({share} %)",
            "way": way,
            **{name: _spoken(value) for name, value in found["measures"].items()},
            f"N@{K} more than alone": _spoken(found["more than alone"][f"N@{K}"]) if found["more than alone"] else "",
            "seconds": round(found["seconds"]) or "",
        }
        for target, shares in figures["targets"].items()
        for share, ways in shares.items()
        for way, found in ways.items()
    ]


def told_of(figures: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each transfer whose interval excludes zero, or one that says that there is none."""
    sentences = []
    for target, shares in figures["targets"].items():
        for share, ways in shares.items():
            for way in ("both", "started"):
                found = ways[way]["more than alone"][f"N@{K}"]
                low, high = found["interval"]
                if low > 0 or high < 0:
                    effect = "helps" if low > 0 else "harms"
                    sentences.append(f"{target}, {share} % of the users: {way} {effect}, N@{K} {_spoken(found)}")
    return sentences or ["no way differs from alone by its paired interval"]


def _spoken(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['mean']:.4f} ({low:.4f} to {high:.4f})"


def write_domains(output: Path, figures: Mapping[str, Any]) -> None:
    """Write the figures as JSON and the page into a folder."""
    told = {**figures, "versions": versions()}
    page = report_html(_report(figures)).encode()
    write_together(output, {PAGE: page, FIGURES: (json.dumps(told, indent=2) + "\n").encode()})


def _report(figures: Mapping[str, Any]) -> Report:
    pictures = [
        Picture(f"{target}: N@{K} by users learned", _plot(figures, target), f"N@{K} of {target}")
        for target in figures["targets"]
    ]
    lead = " ".join(f"{sentence}." for sentence in told_of(figures))
    parts: list[Table | Picture] = [Table("What was learned, and how", rows_of(figures)), *pictures]
    return Report("Two catalogues at once", lead, parts, _NOTES, figures["about"])


def _plot(figures: Mapping[str, Any], target: str) -> bytes:
    learned, shares = figures["about"]["domains"][target]["learned"], figures["targets"][target]
    by_size = sorted(shares, key=lambda share: learned[share])
    xs = [learned[share] for share in by_size]
    found = {way: [shares[share][way]["measures"][f"N@{K}"] for share in by_size] for way in shares[by_size[0]]}
    lines = {way: (xs, [value["mean"] for value in values]) for way, values in found.items()}
    ends = {way: tuple(zip(*(value["interval"] for value in values), strict=True)) for way, values in found.items()}
    bands = {way: (low, high) for way, (low, high) in ends.items()}
    return line_chart(lines, f"users of {target} that are learned", f"N@{K}", bands, whole=True)
