"""How results look in a terminal: tables of rich, made from data; printing is the command line's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from recommender.data.catalogue import Item
from recommender.engine import RankedItem
from recommender.pipelines.demo import Demo
from recommender.semantic_ids import CodeMeaning

SHOWN = 8


def plain_table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> Table:
    """Return rows of like keys as a table."""
    table = Table(*(rows[0] if rows else ()), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(Text(f"{v:.4g}" if isinstance(v, float) else str(v)) for v in row.values()))
    return table


def meaning_rows(meanings: Sequence[CodeMeaning]) -> list[dict[str, Any]]:
    """Return what codes mean, as rows: how many items, the traits they share, the titles that show them best."""
    return [
        {
            "code": meaning.code,
            "items": meaning.items,
            "more often than others": ", ".join(f"{t.value} ({t.items}, x{t.lift:.1f})" for t in meaning.traits),
            "such as": "; ".join(meaning.titles[:3]),
        }
        for meaning in meanings
    ]


def ranking_table(items: Sequence[RankedItem]) -> Table:
    """Return ranked items with their reasons."""
    table = Table("", "id", "title", "score", show_lines=any(item.justification for item in items))
    explained = any(item.justification for item in items)
    if explained:
        table.add_column("why (who wrote it)", ratio=1)
    for item in items:
        why = [Text(f"{item.justification} ({item.written_by})")] if explained else []
        table.add_row(str(item.rank), Text(item.item_id), Text(item.title), f"{item.score:.2f}", *why)
    return table


def demo_data(demo: Demo) -> dict[str, Any]:
    """Return all that the demo shows as data that JSON can hold."""
    effects = {m: [round(float(e), 4) for e in effect] for m, effect in demo.effects.items()}
    return {
        "history": [{"item_id": item.item_id, "title": item.title} for item in demo.history],
        "items": [asdict(item) for item in demo.items],
        "effects": effects,
        "agreement": demo.agreement,
        "seconds": dict(demo.seconds),
    }


def demo_view(demo: Demo) -> RenderableType:
    """Return all that the demo shows: the user's last films, the recommendations, what they rest on, the times."""
    standins = (
        "MovieLens has no pictures and no sound: the title cards and spoken titles are stand-ins made from titles, years"
        f" and genres. Language model: {demo.llm}. Cosine of the vectors encoded here with the adapter's:"
        f" {demo.agreement:.4f}, so {'those encoded here' if demo.fresh else 'the ones of the adapter'} were used."
    )
    return Group(_history(demo.history), _recommended(demo), Text(_LEGEND), Text(standins), _times(demo.seconds))


_LEGEND = (
    "score: log-probability. text, image, audio, collab: how much of it rests on that signal (the score less the score"
    " without it). (model): written by the language model and found true; (plain): its draft failed the check, so a plain"
    " true sentence stands there."
)


def _history(history: Sequence[Item]) -> Table:
    shown = history[-SHOWN:]
    table = Table(
        "film",
        "year",
        "genres",
        title=f"The last {len(shown)} of the {len(history)} films that this user rated",
        title_justify="left",
    )
    for item in shown:
        facts = [", ".join(item.attributes.get(name, ())) for name in ("year", "genres")]
        table.add_row(*map(Text, (item.title, *facts)))
    return table


def _recommended(demo: Demo) -> Table:
    table = Table("", "film", title="Recommended", title_justify="left", show_lines=True)
    table.add_column("why (who wrote it)", ratio=1)
    for name in ("score", *demo.effects):
        table.add_column(name[:6], justify="right", no_wrap=True)
    for row, item in enumerate(demo.items):
        why = Text(f"{item.justification} ({item.written_by})")
        numbers = [f"{effect[row]:+.2f}" for effect in demo.effects.values()]
        table.add_row(str(item.rank), Text(item.title), why, f"{item.score:.2f}", *numbers)
    return table


def _times(seconds: Mapping[str, float]) -> Table:
    table = Table(title="Seconds", title_justify="left", show_header=False)
    table.add_column("step")
    table.add_column("s", justify="right")
    for name, value in seconds.items():
        table.add_row(name, f"{value:.1f}")
    table.add_row("all", f"{sum(seconds.values()):.1f}")
    return table
