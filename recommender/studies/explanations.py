"""How well does it explain? Blind sheets for people on five scales, and what adapting to each person brings, simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recommender.engine import Engine, Recommender
from recommender.errors import DataError
from recommender.eval.report_parts import json_bytes, versions, write_files
from recommender.eval.scales import Explained, sheets
from recommender.justify import justify
from recommender.justify.item_names import display_name
from recommender.pages import Picture, Report, Table, report_html
from recommender.pages.drawing import bar_chart, line_chart
from recommender.progress import Progress
from recommender.studies.adaptation import SYSTEMS, AdaptationSettings, study_adaptation

PLAIN, NONE = "plain", "none"
"""Systems that need no second model: templates on the same evidence, and no explanation at all."""
SHEETS, METRICS, PAGE = "sheets", "metrics.json", "report.html"
_LAST_CHOSEN = 5


def explained_items(
    name: str,
    model: Engine,
    others: Mapping[str, Recommender | None],
    histories: Sequence[np.ndarray],
    k: int,
    progress: Progress | None = None,
) -> list[Explained]:
    """Return the best `k` items of each history with the text of each system, the model's own under `name`.

    `others`: name -> a second model, None for `plain` and `none`. Raises DataError if models know different catalogues.
    """
    for other_name, other in others.items():
        if other is not None and other.catalogue.item_ids != model.catalogue.item_ids:
            raise DataError(f"{other_name} knows other items than {name}", "compare models of one catalogue")
    explained = []
    for number, history in enumerate(histories):
        items = model.rank([history], k)[0].items.tolist()
        own = model.explain(history, items)
        texts = {name: [each.text for each in own]}
        for other_name, other in others.items():
            if other is not None:
                texts[other_name] = [each.text for each in other.explain(history, items)]
            else:
                plain = justify(model.catalogue, [each.evidence for each in own], None, model.checker, model.style)
                texts[other_name] = [each.text if other_name == PLAIN else "" for each in plain]
        chosen = "; ".join(display_name(model.catalogue[item]) for item in history[::-1][:_LAST_CHOSEN].tolist())
        explained += [
            Explained(chosen, display_name(model.catalogue[item]), {system: of[place] for system, of in texts.items()})
            for place, item in enumerate(items)
        ]
        if progress:
            progress("explain", number + 1, len(histories))
    return explained


def write_explanations(
    folder: Path, explained: Sequence[Explained], readers: int, seed: int, adaptation: dict[str, Any] | None
) -> dict[str, Any]:
    """Write the sheets of the readers, metrics.json and report.html into a folder, and return what metrics.json holds."""
    systems = list(explained[0].texts)
    about = {"systems": systems, "items": len(explained), "readers": readers, "seed": seed}
    metrics = {"about": about, "versions": versions(), "adaptation": adaptation}
    page = report_html(_report(metrics)).encode()
    write_files(folder / SHEETS, sheets(explained, systems, readers, seed))
    write_files(folder, {PAGE: page, METRICS: json_bytes(metrics)})
    return metrics


def simulate(
    engine: Engine, histories: Sequence[np.ndarray], seed: int, progress: Progress | None = None
) -> dict[str, Any]:
    """Return what adapting to each person brings; a simulated person for each history."""
    return study_adaptation(engine, histories, AdaptationSettings(seed=seed), progress)


def adaptation_rows(adaptation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each system of the simulation, for a table."""
    rows = []
    for name, measured in adaptation["systems"].items():
        late, more = measured["later half"], measured["later half, more than as configured"]
        rows.append(
            {
                "explained": name,
                "helpful": f"{late['mean']:.3f} ({late['low']:.3f} to {late['high']:.3f})",
                "more": f"{more['mean']:+.3f} ({more['low']:+.3f} to {more['high']:+.3f})",
                "words": round(measured["words"], 1),
                "false": measured["false"],
            }
        )
    return rows


def _report(metrics: Mapping[str, Any]) -> Report:
    about, adaptation = metrics["about"], metrics["adaptation"]
    lead = (
        f"{about['items']} items on blind sheets for {about['readers']} readers, by {', '.join(about['systems'])}. "
        "Give each reader one of the sheets; once they are marked, recommender study scales reads them."
    )
    parts = [] if adaptation is None else _adaptation_parts(adaptation)
    notes = (
        "Helpful: the chance that a simulated person marks a text, in the later half of the rounds. More: than as "
        "configured, paired by person. Brackets and bands: 95 % interval over people.",
        "Simulated people like a length and a subject that nobody told the system. Real people differ from them: that is "
        "what the sheets are for.",
    )
    return Report(
        "Explanations", lead, parts, notes if adaptation else (), metrics["versions"] | {"seed": about["seed"]}
    )


def _adaptation_parts(adaptation: Mapping[str, Any]) -> list[Table | Picture]:
    rounds = list(range(1, adaptation["about"]["rounds"] + 1))
    of = {name: adaptation["systems"][name]["rounds"] for name in SYSTEMS}
    lines = {name: (rounds, [cell["mean"] for cell in cells]) for name, cells in of.items()}
    bands = {name: ([c["low"] for c in cells], [c["high"] for c in cells]) for name, cells in of.items()}
    plot = line_chart(lines, "round of marks", "chance to be helpful", bands, whole=True)
    return [
        Table("What adapting brings, simulated", adaptation_rows(adaptation)),
        Picture("By round", plot, "the chance to be found helpful, round by round, of each system"),
    ]


def scales_report(read: Mapping[str, Any]) -> Report:
    """Return the report on marked sheets, as `eval.scales.read_marks` read them."""
    rows, plots = scale_rows(read), []
    for row in read["scales"]:
        judged = {name: cell for name, cell in row["systems"].items() if cell["mean"] is not None}
        if judged:
            values = {name: cell["mean"] for name, cell in judged.items()}
            low, high = ([cell[end] for cell in judged.values()] for end in ("low", "high"))
            plots.append(Picture(row["scale"].capitalize(), bar_chart(values, "mean mark, 1 to 5", low, high)))
    few = ("Few readers: the intervals are narrower than they should be.",) if read["few"] else ()
    lead = f"{read['readers']} readers marked explanations without knowing whose they were."
    notes = ("Brackets and whiskers: 95 % interval over readers. Of the gap less is better, of all else more.", *few)
    return Report("Explanations, judged by people", lead, [Table("Scales", rows), *plots], notes)


def scale_rows(read: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each scale, a column for each system and for its difference to the first one."""
    first = read["systems"][0]
    return [
        {"scale": row["scale"], "readers": row["readers"]}
        | {name: _interval(cell) for name, cell in row["systems"].items()}
        | {f"{name} less {first}": _interval(cell, "+") for name, cell in row[f"less {first}"].items()}
        for row in read["scales"]
    ]


def _interval(cell: Mapping[str, float | None], sign: str = "") -> str:
    if cell["mean"] is None:
        return "not marked"
    return f"{cell['mean']:{sign}.2f} ({cell['low']:{sign}.2f} to {cell['high']:{sign}.2f})"
