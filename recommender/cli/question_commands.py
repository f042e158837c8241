"""Questions about answers: why this, why not that one, what if something had not been seen; and traces, replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from recommender.cli.shared import (
    AsJson,
    FeedbackFile,
    History,
    Items,
    Model,
    Query,
    Quiet,
    Trace,
    User,
    config_of,
    out,
    pairs_of,
    print_json,
    print_table,
    split_ids,
)


def explain(
    model: Model,
    item: Annotated[str | None, typer.Option(help="why this one? An item id")] = None,
    not_item: Annotated[str | None, typer.Option("--not", help="why not that one? An item id")] = None,
    without: Annotated[str, typer.Option(help="what if these had not been seen? Item ids of the history")] = "",
    history: History = "",
    k: Annotated[int, typer.Option(min=1, help="length of the list that --not and --without speak of")] = 10,
    query: Query = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="NAME=VALUE that must hold; may be repeated")
    ] = None,
    shapley: Annotated[
        int | None, typer.Option(min=0, help="orders drawn for Shapley values; 0: leave one out; default: its config")
    ] = None,
    trace: Trace = None,
    feedback: FeedbackFile = None,
    user: User = None,
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Answer questions back: why this (--item), why not that (--not), what if something had not been seen (--without)."""
    from recommender.engine import Recommender, request
    from recommender.engine.counterfactual_answers import what_if, why_not
    from recommender.engine.trace import recorded_answer, save
    from recommender.errors import ConfigError
    from recommender.progress import progress_bars

    if item is None and not_item is None and not without:
        raise ConfigError("nothing is asked", "give --item, --not or --without")
    if trace is not None and item is None:
        raise ConfigError("--trace keeps how an item is explained", "give --item too")
    asked = request(history=split_ids(history), k=k, query=query, filters=pairs_of("--filter", filters), user=user)
    with progress_bars(quiet) as progress:
        engine = Recommender.from_pretrained(model, items, progress)
    if feedback is not None:
        engine.feedback_policy.keep_in(feedback)
    if shapley is not None:
        engine.setup.config = engine.config.updated({"justify.shapley_samples": shapley}, "--shapley")
    told: dict[str, Any] = {}
    if item is not None:
        told["why"] = engine.why(asked.history, item, query, user)
    if not_item is not None:
        told["why_not"] = why_not(engine, asked, not_item)
    if without:
        told["what_if"] = what_if(engine, asked, split_ids(without))
    if trace is not None and item is not None:
        save(recorded_answer(engine, asked, item), trace)
    if as_json:
        print_json(told)
    else:
        _show(told)


def _show(told: dict[str, Any]) -> None:
    if why := told.get("why"):
        out.print(Text(f"{why['justification']}  [{why['written_by']}]"), soft_wrap=True)
        out.print(Text(why["rests_on"]), soft_wrap=True)
        print_table(why["evidence"]["influences"], "history items, by how much they raise the score", False)
        shared = [{**fact, "items": ", ".join(fact["items"])} for fact in why["evidence"]["shared"]]
        print_table(shared, "facts shared with them", False)
        if passages := [{**one, "items": ", ".join(one["items"])} for one in why["evidence"]["passages"]]:
            print_table(passages, "words that their texts share", False)
        effects = [{"modality": m, "effect": e} for m, e in why["contributions"].items()]
        if why["query"] is not None:
            effects.append({"modality": "the query in words", "effect": why["query"]})
        print_table(effects, "modalities, by how much they raise the score", False)
    for name in ("why_not", "what_if"):
        if name in told:
            out.print(Text(told[name]["text"]), soft_wrap=True)


def replay(
    file: Annotated[Path, typer.Argument(help="a decision trace, from --trace of recommend or explain")],
    model: Annotated[
        str | None, typer.Option(help="a checkpoint folder; default: the one that the trace names")
    ] = None,
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Answer a trace's request again: the same must come out, or what differs is listed. Exit code 1 if something does."""
    from dataclasses import asdict

    from recommender.engine import Recommender
    from recommender.engine.trace import load
    from recommender.engine.trace import replay as replayed
    from recommender.progress import progress_bars

    kept = load(file)
    with progress_bars(quiet) as progress:
        found = replayed(Recommender.from_pretrained(model or kept["model"]["source"], items, progress), kept)
    if as_json:
        print_json({"same": not found, "differences": [asdict(one) for one in found]})
    elif found:
        rows = [{"where": d.where, "then": _short(d.then), "now": _short(d.now)} for d in found]
        print_table(rows, f"{len(found)} differences", False)
    else:
        out.print(f"the same: {len(kept['items'])} items, with candidates, evidence, sentences and checks")
    raise typer.Exit(1 if found else 0)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def feedback(
    model: Model,
    opinion: Annotated[str, typer.Argument(help='helpful, wrong, or "not for me"')],
    item: Annotated[str, typer.Option(help="the item id that it is about")],
    file: Annotated[Path, typer.Option("--file", help="where feedback is kept: lines of JSON are added to it")],
    user: Annotated[str | None, typer.Option(help="who says so")] = None,
    fact: Annotated[list[str] | None, typer.Option(help="NAME=VALUE that is wrong or was helpful")] = None,
    sentence: Annotated[str | None, typer.Option(help="the reason as it was shown: its facts are meant")] = None,
    as_json: AsJson = False,
) -> None:
    """Keep what somebody said: `wrong` facts are told to nobody again, what is `not for me` is not shown to them again."""
    from recommender.data.catalogue import Catalogue
    from recommender.engine.feedback_policy import FeedbackPolicy
    from recommender.errors import ConfigError, did_you_mean
    from recommender.justify import ClaimChecker, Style
    from recommender.store.feedback import OPINIONS, read_feedback

    chosen = next((known for known in OPINIONS if known == opinion), None)
    if chosen is None:
        hint = did_you_mean(opinion, OPINIONS) or f"say {', '.join(OPINIONS)}"
        raise ConfigError(f"unknown opinion {opinion!r}", hint)
    config = config_of(None, [model])
    catalogue = Catalogue.load(config.data.items, config.data.columns, media=False)
    feedback_policy = FeedbackPolicy(ClaimChecker(catalogue, Style.of(config.prompt, config.justify).phrases))
    feedback_policy.keep_in(file)
    facts = tuple((name, value) for name, values in pairs_of("--fact", fact).items() for value in values)
    said = read_feedback(item_id=item, opinion=chosen, user=user, facts=facts, sentence=sentence)
    kept = feedback_policy.take(said, config.prompt.noun)
    if as_json:
        print_json(kept.model_dump(mode="json"))
    else:
        about = "; ".join(f"{name}={value}" for name, value in kept.facts)
        out.print(Text(f"kept in {file}: {kept.opinion}, item {kept.item_id}{f' ({about})' if about else ''}"))


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(explain)
    app.command()(replay)
    app.command()(feedback)
