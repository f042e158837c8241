"""An evaluation as files (metrics.json, per_user.parquet, report.html) and as a table for the terminal."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from rich import box
from rich.table import Table

from recommender.errors import DataError
from recommender.eval import plots
from recommender.eval.protocol import Evaluation

# In this order: metrics.json comes last and names the checksums of the others.
FILES = ("per_user.parquet", "report.html", "metrics.json")
_PACKAGES = ("recommender", "numpy", "scipy", "pandas")
_INTERVALS = ("R@10", "N@10")  # those a terminal line has room for


def write_report(evaluation: Evaluation, folder: Path | str) -> Path:
    """Write the three files into the folder (made if missing) and return it.

    Everything is rendered first and written under temporary names, so a failure leaves an earlier report
    as it was. metrics.json is replaced last and holds the SHA-256 of the others, which tells files of one
    evaluation from a mixture. Raises DataError if the folder cannot be written.
    """
    folder = Path(folder)
    contents = _contents(evaluation)
    temporary = {name: folder / f".{name}.{os.getpid()}.tmp" for name in FILES}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            temporary[name].write_bytes(contents[name])
        for name in FILES:
            os.replace(temporary[name], folder / name)
    except OSError as error:
        raise DataError(
            f"{folder}: the report cannot be written: {error.strerror}", hint="give a folder you may write to"
        ) from error
    finally:
        _remove(temporary.values())
    return folder


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            continue  # it was never written: its folder is no folder


def _contents(evaluation: Evaluation) -> dict[str, bytes]:
    """Return the bytes of every file by name."""
    parquet = io.BytesIO()
    evaluation.per_user.to_parquet(parquet, index=False)
    contents = {"per_user.parquet": parquet.getvalue(), "report.html": html(evaluation).encode()}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    text = json.dumps({**as_json(evaluation), "sha256": sums}, indent=2, allow_nan=False)
    return {**contents, "metrics.json": text.encode() + b"\n"}


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return about, versions and, for every model, its seconds and metrics by names such as "ndcg@10"."""
    return {
        "about": dict(evaluation.about),
        "versions": versions(),
        "models": {
            row["model"]: {
                "seconds": {"fit": _number(row["fit_seconds"]), "score": _number(row["score_seconds"])},
                "metrics": _metrics(evaluation, row["model"]),
            }
            for row in evaluation.models.to_dict("records")
        },
    }


def _metrics(evaluation: Evaluation, model: str) -> dict[str, dict[str, float]]:
    """Return one model's summary; what was not measured (the interval of a coverage) is left out."""
    rows = evaluation.summary[evaluation.summary["model"] == model].drop(columns="model")
    return {
        f"{row.pop('metric')}@{row.pop('k')}": {str(key): value for key, value in row.items() if not math.isnan(value)}
        for row in rows.to_dict("records")
    }


def _number(value: float) -> float | None:
    """Return the value, or None for NaN, which JSON does not know."""
    return None if math.isnan(value) else value


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def headline(evaluation: Evaluation) -> dict[str, tuple[str, int]]:
    """Return the columns that the tables show: label -> (metric, k)."""
    longest = evaluation.about["ks"][-1]
    return {
        "R@10": ("recall", 10),
        "N@10": ("ndcg", 10),
        "R@5": ("recall", 5),
        "N@5": ("ndcg", 5),
        f"MRR@{longest}": ("mrr", longest),
        "coverage@10": ("coverage", 10),
    }


def table(evaluation: Evaluation) -> Table:
    """Return the terminal's table: one line a model, intervals of R@10 and N@10, seconds."""
    about = evaluation.about
    result = Table(
        title=f"{about['split']}: {about['users']:,} users, {about['items']:,} items",
        caption=f"below: 95 % interval over users; * differs from {about['reference']}; higher is better",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    result.add_column("model", overflow="fold", min_width=12)
    columns = headline(evaluation)
    for label in (*columns, "fit s", "score s"):
        # broken by hand to fit into 80 columns, the width of a pipe
        header = label.replace("coverage", "cover-\nage").replace(" s", "\ns")
        result.add_column(header, justify="right", no_wrap=True)
    for row in evaluation.models.to_dict("records"):
        cells = [_cell(evaluation.row(row["model"], *key), label) for label, key in columns.items()]
        result.add_row(row["model"], *cells, _seconds(row["fit_seconds"]), _seconds(row["score_seconds"]))
    return result


def _cell(row: pd.Series, label: str) -> str:
    """Return the mean, marked if it differs from the reference, with its interval where there is room."""
    text = f"{_share(row['mean'], 4)}{'*' if differs(row) else ''}"
    return f"{text}\n{_share(row['low'], 3)}-{_share(row['high'], 3)}" if label in _INTERVALS else text


def _share(value: float, digits: int) -> str:
    """Return a share of one without its leading zero, as tables of the field print it."""
    return f"{value:.{digits}f}".removeprefix("0")


def for_card(evaluation: Evaluation) -> dict[str, Any]:
    """Return what a model card tells of an evaluation: the protocol in words, R@10 and N@10 of every model."""
    about = evaluation.about
    protocol = (
        f"{about['split']}, {about['users']:,} users, full catalogue of {about['items']:,} items,"
        f" seen items {'removed' if about['exclude_seen'] else 'kept'}, 95 % bootstrap interval over users,"
        " one training run."
    )
    rows = [
        {
            "model": row["model"],
            "recall": _with_interval(evaluation.row(row["model"], "recall", 10)),
            "ndcg": _with_interval(evaluation.row(row["model"], "ndcg", 10)),
        }
        for row in evaluation.models.to_dict("records")
    ]
    return {"protocol": protocol, "rows": rows}


def _with_interval(row: pd.Series) -> str:
    return f"{_share(row['mean'], 3)} ({_share(row['low'], 3)}-{_share(row['high'], 3)})"


def differs(row: Mapping[str, Any] | pd.Series) -> bool:
    """Return whether the paired interval of the difference to the reference leaves out zero."""
    return bool(row["difference_low"] > 0 or row["difference_high"] < 0)


def _seconds(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def html(evaluation: Evaluation) -> str:
    """Return the self-contained page: tables, notes and pictures inside."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["seconds"] = _seconds
    columns = headline(evaluation)
    lines = [
        (row, {label: evaluation.row(row["model"], *key) for label, key in columns.items()})
        for row in evaluation.models.to_dict("records")
    ]
    best = {label: max(cells[label]["mean"] for _, cells in lines) for label in columns}
    return environment.get_template("report.html.jinja").render(
        about=evaluation.about,
        versions=versions(),
        lines=lines,
        best=best,
        differs=differs,
        extra=[_extra(evaluation, row["model"]) for row, _ in lines],
        pictures=_pictures(evaluation),
    )


def _extra(evaluation: Evaluation, model: str) -> dict[str, Any]:
    """Return what describes the lists of one model rather than their accuracy."""
    names = ("coverage", "gini", "novelty")
    return {"model": model, **{name: evaluation.row(model, name, 10)["mean"] for name in names}}


def _pictures(evaluation: Evaluation) -> dict[str, str]:
    """Return title -> data URL of each picture."""
    drawn = {
        "NDCG@10": plots.bars(evaluation, "ndcg", 10, "NDCG@10"),
        "Recall@10": plots.bars(evaluation, "recall", 10, "Recall@10"),
        "Recall by length of the list": plots.recall_curve(evaluation),
    }
    return {title: f"data:image/png;base64,{base64.b64encode(png).decode()}" for title, png in drawn.items()}
