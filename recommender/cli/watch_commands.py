"""Watch what people are shown and take: one page, and an exit code when a limit is passed."""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recommender.cli import early_checks
from recommender.cli.inputs import split_pair
from recommender.cli.options import AsJson
from recommender.cli.output import print_facts, print_note
from recommender.cli.store_options import MasterKey, StoreConfig, Where, opened_store
from recommender.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from recommender.store.watching import Window

#: exit code when a limit is passed
PASSED = 3
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([mhd])")
_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
_ITEMS = 20
Limits = dict[str, float]


def watch(
    model: Annotated[
        str | None,
        typer.Option(help="the served model: for coverage, and for drift from what it learned from"),
    ] = None,
    last: Annotated[str, typer.Option(help="how far back: 24h, 30m, 7d")] = "24h",
    output: Annotated[Path | None, typer.Option(help="write the page here", callback=early_checks.output_file)] = None,
    fail_above: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE: exit code 3 above it; may be repeated")
    ] = None,
    fail_below: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE: exit code 3 below it; may be repeated")
    ] = None,
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Tell how lists and takes of the last day differ from before.

    Lists, takes, coverage, and drift of listed and taken items, of history lengths and of scores: population stability
    indices against the seven times as long before, of items also against what the model learned from. Names of limits are
    those of the values.
    """
    seconds = span(last)
    above, below = _limits("--fail-above", fail_above), _limits("--fail-below", fail_below)
    with opened_store(store, master_key, config) as opened:
        from recommender.model.checkpoint import item_ids_of, resolve
        from recommender.model.trained_on import TrainedOn
        from recommender.store.watching import REFERENCE, compared, read_window

        ids = [] if model is None else item_ids_of(model) or []
        learned = TrainedOn.load(resolve(model)) if model is not None else None
        now = time.time()
        window = read_window(opened, now - seconds, now)
        before = read_window(opened, now - seconds * (1 + REFERENCE), now - seconds)
    trained = None if learned is None else learned.item_bins(ids)
    values = compared(window, before, len(window.lengths), len(ids) or None, trained).told()
    passed = _passed(values, above, below)
    if output is not None:
        _write_page(output, values, passed, (window, before), last, now)
    print_facts(values, as_json)
    for told in passed:
        print_note(told)
    if passed:
        raise typer.Exit(PASSED)


def span(text: str) -> float:
    """Return the seconds of a span like 24h. Raises ConfigError."""
    found = _SPAN.fullmatch(text)
    if found is None or float(found[1]) <= 0:
        raise ConfigError(f"--last is {text!r}", "a number and m, h or d: 24h")
    return float(found[1]) * _SECONDS[found[2]]


def _limits(option: str, given: list[str] | None) -> Limits:
    from dataclasses import fields

    from recommender.store.watching import Watched

    names = [one.name for one in fields(Watched)]
    limits: Limits = {}
    for name, value in (split_pair(option, text, "score_drift=0.25") for text in given or []):
        if name not in names:
            raise ConfigError(f"{option}: nothing is called {name!r}", did_you_mean(name, names) or ", ".join(names))
        try:
            limits[name] = float(value)
        except ValueError:
            raise ConfigError(f"{option}: {name}={value} is no number", "for example 0.25") from None
    return limits


def _passed(values: dict[str, Any], above: Limits, below: Limits) -> list[str]:
    """Return a sentence for each limit that is passed; what is not known passes none."""
    known = {name: value for name, value in values.items() if value is not None}
    over = [
        f"{name} is {known[name]:.4g}, above {most:g}" for name, most in above.items() if known.get(name, most) > most
    ]
    under = [
        f"{name} is {known[name]:.4g}, below {least:g}"
        for name, least in below.items()
        if known.get(name, least) < least
    ]
    return over + under


def _write_page(
    path: Path, values: dict[str, Any], passed: list[str], windows: tuple[Window, Window], last: str, now: float
) -> None:
    from recommender.files import write_bytes
    from recommender.pages import Report, Table, report_html

    window, before = windows
    note = "Drift: population stability index against the seven times as long before, or against what the model learned"
    note += " from; 0.1 is looked at, 0.25 acted on."
    parts = [Table("What is watched", [{"value": name, "now": value} for name, value in values.items()], note)]
    for title, counts, earlier in (("listed", window.listed, before.listed), ("taken", window.taken, before.taken)):
        if rows := _most(counts, earlier):
            parts.append(Table(f"Items {title} most", rows))
    when = datetime.fromtimestamp(now, UTC).isoformat(sep=" ", timespec="minutes")
    lead = f"The last {last} until {when}: {'; '.join(passed) if passed else 'no limit is passed'}."
    write_bytes(path, report_html(Report("Lists and takes", lead, parts)).encode())


def _most(counts: Counter[str], earlier: Counter[str]) -> list[dict[str, Any]]:
    total, before = sum(counts.values()), sum(earlier.values())
    return [
        {"item": item, "times": count, "share": count / total, "before": earlier[item] / before if before else None}
        for item, count in counts.most_common(_ITEMS)
    ]
