"""The study of justifications as files: every figure, every text, a page to read, and a blind sheet of two systems."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from recommender.data.catalogue import Catalogue
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.eval.blind_sheet import Pair, Sheet, blind_sheet, sheet_files
from recommender.eval.report_parts import json_bytes, versions, write_files
from recommender.justify import Justification, justify
from recommender.justify.companions import Companions
from recommender.justify.item_names import display_name
from recommender.pages import page_environment
from recommender.progress import Progress
from recommender.studies.justifications import JustificationStudy, text_measures
from recommender.studies.reading import Readers

PLAIN = "plain"
"""The system that writes no word itself: templates on the same evidence."""
_LAST_CHOSEN = 5


@dataclass(frozen=True)
class Compared:
    """Two systems' justifications of the same items. `measures`: of the second system."""

    measures: dict[str, Any]
    of_users: tuple[tuple[Justification, ...], ...]
    sheet: Sheet


def compare(
    model: Recommender,
    study: JustificationStudy,
    histories: Sequence[np.ndarray],
    names: tuple[str, str],
    other: Recommender | None,
    seed: int,
    most: int | None = None,
    progress: Progress | None = None,
) -> Compared:
    """Have a second system justify what the first one did, and put both on a blind sheet.

    `names` of the two systems; `other`: the second model, or None for plain templates on the first one's evidence. Raises
    DataError if the models know different catalogues.
    """
    if other is not None and [i.item_id for i in other.catalogue] != [i.item_id for i in model.catalogue]:
        raise DataError(f"{names[1]} knows other items than {names[0]}", "compare models of one catalogue, or `plain`")
    of_users: list[tuple[Justification, ...]] = []
    for number, (history, first) in enumerate(zip(histories, study.of_users, strict=True)):
        of_users.append(tuple(_again(model, other, history, first)))
        if progress:
            progress(f"justifications of {names[1]}", number + 1, len(histories))
    catalogue = (other or model).catalogue
    texts = [justification for of_user in of_users for justification in of_user]
    pairs = _pairs(model.catalogue, histories, study.of_users, of_users)
    readers = Readers.of(catalogue, (other or model).setup.companions, model.style.noun)
    measures = text_measures(readers, catalogue, texts)
    return Compared(measures, tuple(of_users), blind_sheet(pairs, names, seed, most))


def _again(
    model: Recommender, other: Recommender | None, history: np.ndarray, first: Sequence[Justification]
) -> list[Justification]:
    if other is not None:
        return other.explain(history, [justification.evidence.item for justification in first])
    evidence = [justification.evidence for justification in first]
    return justify(model.catalogue, evidence, None, model.checker, model.style)


def _pairs(
    catalogue: Catalogue,
    histories: Sequence[np.ndarray],
    firsts: Sequence[Sequence[Justification]],
    seconds: Sequence[Sequence[Justification]],
) -> list[Pair]:
    pairs = []
    for history, of_first, of_second in zip(histories, firsts, seconds, strict=True):
        for one, two in zip(of_first, of_second, strict=True):
            named = [influence.item for influence in (*one.evidence.influences, *two.evidence.influences)]
            shown = list(dict.fromkeys([*named, *history[::-1][:_LAST_CHOSEN].tolist()]))
            chosen = "; ".join(display_name(catalogue[item]) for item in shown)
            pairs.append(Pair(chosen, display_name(catalogue[one.evidence.item]), one.text, two.text))
    return pairs


def write_study(
    folder: Path,
    catalogue: Catalogue,
    about: dict[str, Any],
    systems: Mapping[str, tuple[dict[str, Any], Sequence[Sequence[Justification]]]],
    sheet: Sheet | None,
    companions: Companions | None = None,
) -> dict[str, Any]:
    """Write metrics.json, justifications.jsonl, report.html and the blind sheet, and return what metrics.json holds.

    `systems`: name -> its measures and its justifications of each user. `companions`: what many people had together.
    """
    measured = {name: measures for name, (measures, _) in systems.items()}
    metrics = {"about": about, "versions": _versions(), "systems": measured}
    page = page_environment(Path(__file__).parent).get_template("reading.html.jinja")
    readers = Readers.of(catalogue, companions)
    texts = {name: _lines(catalogue, readers, of_users) for name, (_, of_users) in systems.items()}
    lines = [{"system": name, **line} for name, rows in texts.items() for line in rows]
    contents = {
        "justifications.jsonl": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode(),
        "report.html": page.render(**metrics, texts=texts, sheet=sheet is not None).encode(),
        **(sheet_files(sheet) if sheet else {}),
        "metrics.json": json_bytes(metrics, ensure_ascii=False),
    }
    write_files(folder, contents)
    return metrics


def _versions() -> dict[str, str]:
    try:
        return {**versions(), "harper-py": version("harper-py")}
    except PackageNotFoundError:
        return {**versions(), "harper-py": "not installed"}


def _lines(catalogue: Catalogue, readers: Readers, of_users: Sequence[Sequence[Justification]]) -> list[dict[str, Any]]:
    lines = []
    for user, of_user in enumerate(of_users):
        for one in of_user:
            item, history = one.evidence.item, [influence.item for influence in one.evidence.influences]
            claims, told = readers.claims(one.text, item, history), readers.told(one.text, item, history)
            lines.append(
                {
                    "user": user,
                    "item_id": catalogue[item].item_id,
                    "text": one.text,
                    "written_by": one.source,
                    "true": all(claim.true for claim in claims),
                    "bits": round(told.bits, 3),
                    "names": sorted(told.of),
                    "pattern": readers.patterns.pattern(one.text),
                }
            )
    return lines


def headline(measures: dict[str, Any]) -> dict[str, str]:
    """Return the figures that are printed: what they are called -> their value."""
    telling, patterns, grammar = measures["telling"], measures["patterns"], measures["grammar"]
    faults = grammar.get("per_100_sentences")
    passed = measures["first_draft_pass_rate"]
    return {
        "justifications": str(patterns["texts"]),
        "with a false claim": str(measures["groundedness"]["sentences_with_a_false_claim"]),
        "median bits": f"{telling['bits_median']:.1f}",
        "vacuous": f"{telling['vacuous']:.1%}",
        "name a person, series, theme or passage": f"{telling['of_its_own']:.1%}",
        "patterns": str(patterns["patterns"]),
        "grammar faults per 100": "not measured" if faults is None else f"{faults:.1f}",
        "first drafts that pass": "no drafts" if passed is None else f"{passed:.1%}",
    }
