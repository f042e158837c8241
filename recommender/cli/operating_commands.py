"""Operate: keep feedback, replay traces, describe the installation."""

from __future__ import annotations

import platform
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from recommender.cli import early_checks
from recommender.cli.inputs import catalogue_of, config_of, open_model, values_by_name
from recommender.cli.options import AsJson, Items, Model, Quiet
from recommender.cli.output import print_json, print_rows, print_text


def feedback(
    model: Model,
    opinion: Annotated[str, typer.Argument(help='helpful, wrong, or "not for me"')],
    item: Annotated[str, typer.Option(help="the item id that it is about")],
    file: Annotated[
        Path,
        typer.Option(
            "--file",
            help="where feedback is kept: lines of JSON are added to it",
            callback=early_checks.kept_feedback,
        ),
    ],
    user: Annotated[str | None, typer.Option(help="who gives it")] = None,
    fact: Annotated[list[str] | None, typer.Option(help="NAME=VALUE that is wrong or was helpful")] = None,
    sentence: Annotated[str | None, typer.Option(help="the justification as it was shown: its facts are meant")] = None,
    as_json: AsJson = False,
) -> None:
    """Keep a user's feedback in a file.

    Facts that are `wrong` are no longer told to anybody; what is `not for me` is no longer shown to that user.
    """
    from recommender.errors import ConfigError, did_you_mean
    from recommender.store.opinions import OPINIONS, read_feedback

    known_opinion = next((known for known in OPINIONS if known == opinion), None)
    if known_opinion is None:
        hint = did_you_mean(opinion, OPINIONS) or f"say {', '.join(OPINIONS)}"
        raise ConfigError(f"unknown opinion {opinion!r}", hint)
    facts = tuple((name, value) for name, values in values_by_name("--fact", fact).items() for value in values)
    given = read_feedback(item_id=item, opinion=known_opinion, user=user, facts=facts, sentence=sentence)
    early_checks.check_tables(config_of(None, [model]), interactions=False)
    from recommender.engine.feedback_policy import FeedbackPolicy
    from recommender.justify import ClaimChecker, Style

    config, catalogue = catalogue_of(model)
    policy = FeedbackPolicy(ClaimChecker(catalogue, Style.of(config.prompt, config.justify).phrases))
    policy.keep_in(file)
    stored = policy.take(given, config.prompt.noun)
    if as_json:
        print_json(stored.model_dump(mode="json"))
    else:
        about = "; ".join(f"{name}={value}" for name, value in stored.facts)
        print_text(f"kept in {file}: {stored.opinion}, item {stored.item_id}{f' ({about})' if about else ''}")


def replay(
    file: Annotated[
        Path,
        typer.Argument(help="a decision trace, from --trace of recommend or explain", callback=early_checks.input_file),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="a checkpoint folder; default: the one that the trace names",
            callback=early_checks.present_model,
            is_eager=True,
        ),
    ] = None,
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Answer the request of a decision trace again and compare.

    What differs is listed, and the exit code is 1 if anything does.
    """
    from recommender.progress import progress_bars
    from recommender.store.traces import bits_of, load

    trace = load(file)
    source = model or trace["model"]["source"]
    early_checks.present_model(source)
    with progress_bars(quiet) as progress:
        engine = open_model(source, items, progress, bits=bits_of(trace))
        from recommender.engine.trace import replay as replayed

        differences = replayed(engine, trace)
    if as_json:
        print_json({"same": not differences, "differences": [asdict(difference) for difference in differences]})
    elif differences:
        rows = [{"where": d.where, "then": _short(d.then), "now": _short(d.now)} for d in differences]
        print_rows(rows, f"{len(differences)} differences")
    else:
        print_text(f"the same: {len(trace['items'])} items, with candidates, evidence, justifications and checks")
    raise typer.Exit(1 if differences else 0)


def env(as_json: AsJson = False) -> None:
    """Print versions, hardware and cached assets, for bug reports."""
    import torch

    from recommender import assets
    from recommender.model import resolve_dtype
    from recommender.model.checkpoint import package_versions

    facts: dict[str, Any] = {"python": platform.python_version(), "system": platform.platform()}
    facts |= package_versions()
    facts |= {
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.is_available(),
        "dtype": str(resolve_dtype("auto")),
    }
    facts["cache"] = str(assets.cache_dir())
    facts |= {f"asset {a.name}": "cached" if a.cached else f"not fetched ({a.megabytes} MB)" for a in assets.describe()}
    if as_json:
        print_json(facts)
    else:
        print_rows([{"": name, "value": str(value)} for name, value in facts.items()])


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
