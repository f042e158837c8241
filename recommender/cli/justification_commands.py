"""Reasons: train the writing adapter again, measure what a model's justifications are worth."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from recommender.cli.shared import AsJson, Items, Model, Quiet, out, print_json, print_table
from recommender.files import write_text

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command()
def train(
    model: Model,
    output: Annotated[Path, typer.Option(help="folder for the checkpoint; a killed run goes on")],
    examples: Annotated[
        int | None, typer.Option(help="sentences to learn from; default as in its config", min=20)
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train the writing adapter of a checkpoint again, e.g. after a change of its prompts; the ranking stays as it is."""
    from recommender.pipelines.train import teach_writing
    from recommender.progress import progress_bars

    with progress_bars(quiet) as progress:
        result = teach_writing(model, output, examples, progress)
    print_table([asdict(result)], None, as_json)


@app.command()
def tune(
    model: Model,
    drafts: Annotated[int, typer.Option(help="drafts that are asked of each line of the language", min=4)] = 12,
    seed: Annotated[int, typer.Option(help="what is drawn")] = 0,
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find out on training histories which wordings a checkpoint writes well, and keep that in it: it is asked for those."""
    from recommender.engine import Recommender
    from recommender.justify.template_selection import SELECTION, selected_templates
    from recommender.model.checkpoint import record
    from recommender.pipelines.train import split_histories
    from recommender.progress import progress_bars
    from recommender.studies.justifications import draft_study

    with progress_bars(quiet) as progress:
        engine = Recommender.from_pretrained(model, items, progress)
        known = split_histories(engine.config, engine.catalogue).train.items
        counts = draft_study(engine, known, drafts, seed, progress)
    record(model, SELECTION, counts)
    kept = selected_templates(counts)
    rows = [
        {"line": line, "drafts": asked, "passed": passed, "used": "yes" if line in kept else "no"}
        for line, (asked, passed) in counts.items()
    ]
    print_table(rows, f"kept in {model}", as_json)


Output = Annotated[Path | None, typer.Option(help="also write the result to this JSON file")]
Seed = Annotated[int, typer.Option(help="what is drawn")]


@app.command()
def evaluate(
    model: Model,
    users: Annotated[int, typer.Option(help="users whose lists are justified", min=1)] = 20,
    k: Annotated[int, typer.Option(help="items a user", min=1)] = 10,
    items: Items = None,
    output: Output = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure justifications: truth by an independent reading, drafts that pass, variety, features, deletion."""
    from recommender.engine import Recommender
    from recommender.pipelines.train import split_histories
    from recommender.progress import progress_bars
    from recommender.studies.justifications import justification_study

    with progress_bars(quiet) as progress:
        engine = Recommender.from_pretrained(model, items, progress)
        known = [history for history in split_histories(engine.config, engine.catalogue).train.items if len(history)]
        told = justification_study(engine, known[:: max(len(known) // users, 1)][:users], k, progress)
    _report(told, output, as_json)


@app.command()
def plant(
    model: Model,
    count: Annotated[int, typer.Option(help="errors to plant", min=1)] = 1000,
    seed: Seed = 0,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Plant errors in true sentences on a checkpoint's catalogue and count how many its checker finds."""
    from recommender.justify import Style
    from recommender.pipelines.train import split_histories
    from recommender.studies.justifications import checker_study

    config, catalogue = _known(model)
    histories = split_histories(config, catalogue).train.items
    style = Style.of(config.prompt, config.justify)
    _report(checker_study(catalogue, histories, style, count, seed), output, as_json)


@app.command()
def dialogues(
    model: Model,
    count: Annotated[int, typer.Option(help="messages to generate", min=1)] = 600,
    seed: Seed = 0,
    items: Items = None,
    output: Output = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say generated messages to a model: how many are read right, and whether every answer meets what was asked for."""
    from recommender.chat import Chat
    from recommender.engine import Recommender
    from recommender.progress import progress_bars
    from recommender.studies.conversations import conversation_study

    with progress_bars(quiet) as progress:
        engine = Recommender.from_pretrained(model, items, progress)
    _report(conversation_study(Chat(engine, engine.config.prompt.noun), count, seed), output, as_json)


def _known(model: str) -> tuple[Any, Any]:
    from recommender.cli.shared import config_of
    from recommender.data.catalogue import Catalogue

    config = config_of(None, [model])
    return config, Catalogue.load(config.data.items, config.data.columns, media=False)


def _report(told: dict[str, Any], output: Path | None, as_json: bool) -> None:
    if output is not None:
        write_text(output, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    if as_json:
        print_json(told)
        return
    for name, value in told.items():
        out.print(f"{name}: {json.dumps(value, ensure_ascii=False)}", markup=False, highlight=False, soft_wrap=True)
