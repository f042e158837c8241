"""Recommend: a ranked list for a history, and answers about it: why this, why not that, what if."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recommender.cli import early_checks
from recommender.cli.inputs import numbers_by_name, open_model, read_request, split_list, step, values_by_name
from recommender.cli.options import (
    AsJson,
    Bits,
    Details,
    Domains,
    FeedbackFile,
    Filters,
    History,
    Items,
    Model,
    Query,
    Quiet,
    Trace,
    User,
    Without,
    WithoutPart,
)
from recommender.cli.output import print_json, print_note, print_plain_note, print_text, print_view
from recommender.cli.store_options import MasterKey, TellStore, register_trace
from recommender.strict.json_documents import read_json_object

if TYPE_CHECKING:
    from recommender.engine import Recommender, Request

_VECTORS = 'write {"50": {"image": [0.1, ...]}}: history item -> modality -> vector'


def recommend(
    model: Model,
    history: History = None,
    k: Annotated[int, typer.Option(min=1, help="length of the list")] = 10,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="IDS", help="item ids never to recommend; a list as --history")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="IDS", help="the only item ids to recommend, a list as --history; default: all"),
    ] = None,
    query: Query = None,
    filters: Filters = None,
    domains: Domains = None,
    without: Without = None,
    boosts: Annotated[
        list[str] | None,
        typer.Option(
            "--boost", "--boosts", metavar="ID=NATS", help="nats that are added to an item's score; may be repeated"
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON file: history item -> modality -> the vector that stands for the item's own in this request",
            callback=early_checks.input_file,
        ),
    ] = None,
    items: Items = None,
    explain: Annotated[bool, typer.Option(help="justify each item")] = True,
    fused: Annotated[
        bool | None, typer.Option(help="rank together with the baselines in the checkpoint; default: its config")
    ] = None,
    bits: Bits = None,
    trace: Trace = None,
    feedback: FeedbackFile = None,
    user: User = None,
    store: TellStore = None,
    master_key: MasterKey = None,
    details: Details = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank items for a history and justify each of them."""
    from recommender.progress import progress_bars

    register_trace(store, master_key, user, trace)
    with progress_bars(quiet) as progress:
        request = read_request(
            progress,
            history=split_list(history, "--history"),
            k=k,
            exclude=split_list(exclude, "--exclude"),
            only=None if only is None else split_list(only, "--only"),
            query=query,
            filters=values_by_name("--filter", filters),
            domains=split_list(domains, "--domains"),
            boosts=numbers_by_name("--boost", boosts),
            vectors={} if vectors is None else read_json_object(vectors, "file of vectors", _VECTORS),
            explain=explain,
            fused=fused,
            without=split_list(without, "--without"),
            trace=trace is not None,
            user=user,
        )
        engine = open_model(model, items, progress, feedback, bits)
        with step(progress, "rank and justify" if explain else "rank"):
            response = engine.answer(request)
    if trace is not None:
        from recommender.engine.trace import trace_of
        from recommender.store.traces import save

        save(trace_of(engine, request, response.items), trace)
    if as_json:
        print_json(response.to_dict())
        return
    for note in response.notes:
        print_note(note)
    from recommender.cli.result_views import ranking_view

    print_view(*ranking_view(response.items, engine.catalogue, details))


def explain(
    model: Model,
    item: Annotated[str | None, typer.Option(metavar="ID", help="why this one? An item id")] = None,
    not_item: Annotated[str | None, typer.Option("--not", metavar="ID", help="why not that one? An item id")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IDS", help="what if these had not been seen? Item ids of the history, a list as --history"
        ),
    ] = None,
    history: History = None,
    k: Annotated[int, typer.Option(min=1, help="length of the list that --not and --without speak of")] = 10,
    query: Query = None,
    filters: Filters = None,
    domains: Domains = None,
    without_part: WithoutPart = None,
    shapley: Annotated[
        int | None, typer.Option(min=0, help="orders drawn for Shapley values; 0: leave one out; default: its config")
    ] = None,
    media: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="folder for a report of what raised the score of --item: regions of its picture, seconds of its sound",
            callback=early_checks.output_folder,
        ),
    ] = None,
    bits: Bits = None,
    trace: Trace = None,
    feedback: FeedbackFile = None,
    user: User = None,
    store: TellStore = None,
    master_key: MasterKey = None,
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Answer why this, why not that, and what if.

    --item: why is it recommended? --not: why is that one not? --without: what if something had not been seen? --media:
    also writes report.json, report.html, picture.png and sound.png.
    """
    from recommender.errors import ConfigError
    from recommender.progress import progress_bars

    removed = split_list(without, "--without")
    if item is None and not_item is None and not removed:
        raise ConfigError("nothing is asked", "give --item, --not or --without")
    if trace is not None and item is None:
        raise ConfigError("--trace keeps how an item is explained", "give --item too")
    if media is not None and item is None:
        raise ConfigError("--media shows what raised the score of an item", "give --item too")
    register_trace(store, master_key, user, trace)
    fields = {"history": split_list(history, "--history"), "k": k, "query": query, "user": user}
    answers: dict[str, Any] = {}
    with progress_bars(quiet) as progress:
        fields |= {
            "without": split_list(without_part, "--without-part"),
            "domains": split_list(domains, "--domains"),
        }
        request = read_request(progress, **fields, filters=values_by_name("--filter", filters))
        engine = open_model(model, items, progress, feedback, bits)
        from recommender.engine.counterfactual_answers import what_if, why_not
        from recommender.engine.item_explanation import explain_item
        from recommender.engine.trace import recorded_answer
        from recommender.store.traces import save

        if shapley is not None:
            engine.setup.config = engine.config.updated({"justify.shapley_samples": shapley}, "--shapley")
        with step(progress, "explain"):
            if item is not None:
                answers["why"] = explain_item(engine, request, item)
            if not_item is not None:
                answers["why_not"] = why_not(engine, request, not_item)
            if removed:
                answers["what_if"] = what_if(engine, request, removed)
            if media is not None and item is not None:
                answers["media"] = _write_media(engine, request, item, media)
            if trace is not None and item is not None:
                save(recorded_answer(engine, request, item), trace)
    if item is not None:
        print_plain_note(engine)
    if as_json:
        print_json(answers)
    else:
        _print_answers(answers)


def _write_media(engine: Recommender, request: Request, item: str, folder: Path) -> dict[str, Any]:
    """Explain an item by its media, write the report into a folder, and return it as data."""
    from recommender.attribution import explain_media
    from recommender.attribution.page import write_report

    return {**write_report(explain_media(engine, request, item), folder), "folder": str(folder)}


def _print_answers(answers: dict[str, Any]) -> None:
    from recommender.cli.result_views import media_view, why_view

    if "why" in answers:
        print_view(*why_view(answers["why"]))
    if "media" in answers:
        print_view(*media_view(answers["media"]))
    for name in ("why_not", "what_if"):
        if name in answers:
            print_text(answers[name]["text"])
