"""How results look in a terminal of 80 columns: made from data; printing is the job of `output`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.columns import Columns
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recommender.cli.output import table_of
from recommender.data.catalogue import Catalogue, Item
from recommender.engine import RankedItem
from recommender.justify.item_names import display_name
from recommender.pipelines.demo import Demo
from recommender.semantic_ids.codes import CodeMeaning

Views = tuple[RenderableType, ...]
HISTORY_SHOWN = 8
"""Films of the user's history that the demo lists."""

_SCORES = (
    "score: log-probability of the film. text, image, audio, collab: how much of the score rests on that signal, which is"
    " the score less the score without it. by: model, if the language model wrote the justification and it was found true;"
    " plain, if its draft failed the check and a plain true sentence stands there."
)


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


def ranking_view(items: Sequence[RankedItem], catalogue: Catalogue, details: bool = False) -> Views:
    """Return ranked items, each with id, year and justification; with `details` also a table of the scores."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right")
    grid.add_column()
    for item in items:
        heading = Text(_name(catalogue[catalogue.index(item.item_id)]), "bold")
        heading.append(f"  id {item.item_id}", "not bold dim")
        grid.add_row(str(item.rank), _with_justification(heading, item))
    if not details:
        return (grid,)
    rows = [
        {
            "": item.rank,
            "id": item.item_id,
            "title": item.title,
            "score": f"{item.score:.2f}",
            "by": item.written_by or "",
        }
        for item in items
    ]
    return grid, Text(), _numbers_right(table_of(rows), ("", "score"))


def why_view(why: Mapping[str, Any]) -> Views:
    """Return why one item is recommended: justification, what it rests on, and how much each part adds to the score."""
    evidence = why["evidence"]
    shared = [{**fact, "items": ", ".join(fact["items"])} for fact in evidence["shared"]]
    passages = [{**passage, "items": ", ".join(passage["items"])} for passage in evidence["passages"]]
    effects = [{"modality": modality, "effect": effect} for modality, effect in why["contributions"].items()]
    if why["query"] is not None:
        effects.append({"modality": "the query in words", "effect": why["query"]})
    tables = (
        (evidence["influences"], f"history items, by how much they raise the score ({why['effects_are']})"),
        (shared, "facts shared with them"),
        (passages, "words that their texts share"),
        (effects, "modalities, by how much they raise the score"),
    )
    lines = (Text(f"{why['justification']}  [{why['written_by']}]"), Text(why["rests_on"]))
    return (*lines, *(table_of(rows, title) for rows, title in tables if rows))


def media_view(media: Mapping[str, Any]) -> Views:
    """Return what a report of media found: each modality's effect, and in words what picture and sound are worth."""
    rows = [
        {"modality": m["name"], "nats": m["effect"], "place without it": m["rank_without"]} for m in media["modalities"]
    ]
    lines = [Text(f"place {media['rank']}; the report is {media['folder']}/report.html")]
    for noun in ("picture", "sound"):
        if (part := media[noun]) is None:
            lines.append(Text(f"{noun}: {media['missing'][noun]}"))
            continue
        doubt = "; its map is unstable" if part["unstable"] else ""
        worth = f"adds {part['effect']:+.2f} nats; without it the item would stand at place {part['rank_without']}"
        lines.append(Text(f"{noun}: {worth}{doubt}"))
    return (table_of(rows, "item and history together, by Shapley values"), *lines) if rows else tuple(lines)


def demo_data(demo: Demo) -> dict[str, Any]:
    """Return all that the demo found as data that JSON can hold."""
    effects = {m: [round(float(e), 4) for e in effect] for m, effect in demo.effects.items()}
    return {
        "history": [{"item_id": item.item_id, "title": item.title} for item in demo.history],
        "items": [asdict(item) for item in demo.items],
        "next": {"item_id": demo.next_item.item_id, "title": demo.next_item.title, "rank": demo.next_rank},
        "effects": effects,
        "conversation": [{"said": said, "reply": reply.to_dict()} for said, reply in demo.conversation],
        "agreement": demo.agreement,
        "notes": list(demo.notes),
        "seconds": dict(demo.seconds),
    }


def demo_view(demo: Demo, details: bool = False) -> Views:
    """Return what the demo found: the user's last films, the recommendations, and with `details` the numbers."""
    shown = demo.history[-HISTORY_SHOWN:]
    introduction = (
        Text(f"This user of MovieLens-100K rated {len(demo.history)} films. The last {len(shown)}:", "bold"),
        Padding(Columns([_name(item) for item in shown], column_first=True, equal=True), (0, 0, 1, 4)),
        Text("Recommended next:", "bold"),
    )
    actual = _name(demo.next_item)
    remarks = [
        f"The film that this user really rated next, unknown to the model: {actual}."
        f" It is number {demo.next_rank} of {demo.ranked:,} films in this ranking.",
        *demo.notes,
    ]
    if not details:
        remarks.append(
            f"It took {sum(demo.seconds.values()):.0f} s. Scores, signals and times: recommender demo --details"
        )
    return (
        *introduction,
        _recommended(demo),
        *_conversation(demo),
        *(Padding(Text(remark), (1, 0, 0, 0)) for remark in remarks),
        *(_demo_details(demo) if details else ()),
    )


def _recommended(demo: Demo) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", width=3)
    grid.add_column()
    for item, film in zip(demo.items, demo.films, strict=True):
        grid.add_row(str(item.rank), _with_justification(Text(_name(film), "bold"), item))
    return grid


def _conversation(demo: Demo) -> Iterator[RenderableType]:
    if demo.conversation:
        yield Padding(Text("Somebody else, who only talks to the model:", "bold"), (1, 0, 0, 0))
    for said, reply in demo.conversation:
        yield Padding(Text.assemble(("> ", "dim"), said), (1, 0, 0, 4))
        yield Padding(Text(reply.text), (0, 0, 0, 4))


def _demo_details(demo: Demo) -> Iterator[RenderableType]:
    rows = []
    for row, item in enumerate(demo.items):
        effects = {name[:6]: f"{effect[row]:+.2f}" for name, effect in demo.effects.items()}
        rows.append({"": item.rank, "film": item.title, "by": item.written_by, "score": f"{item.score:.2f}", **effects})
    yield Text()
    yield _numbers_right(table_of(rows, "Scores"), ("", "score", *(name[:6] for name in demo.effects)))
    yield Text(_SCORES)
    yield Text()
    times = [{"step": name, "seconds": f"{value:.1f}"} for name, value in demo.seconds.items()]
    times.append({"step": "all", "seconds": f"{sum(demo.seconds.values()):.1f}"})
    yield _numbers_right(table_of(times, "Times"), ("seconds",))
    yield Text(
        f"language model: {demo.llm}; cosine of the vectors encoded here with the adapter's: {demo.agreement:.4f}"
    )


def _with_justification(heading: Text, item: RankedItem) -> Text:
    return Text.assemble(heading, "\n", Text(item.justification)) if item.justification else heading


def _name(item: Item) -> str:
    """Return the name of an item as people say it, with its year if one is known."""
    short, years = display_name(item), item.attributes.get("year", ())
    name = item.title if short.endswith("…") else short  # sentences cut long names, a list has room for them
    return f"{name} ({years[0]})" if years and f"({years[0]})" not in name else name


def _numbers_right(table: Table, headers: Sequence[str]) -> Table:
    for column in table.columns:
        if column.header in headers:
            column.justify, column.no_wrap = "right", True
    return table
