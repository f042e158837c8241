"""Measure justifications, and train their writer again."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from recommender.cli import early_checks
from recommender.cli.inputs import catalogue_of, open_model, sampled_histories
from recommender.cli.launching import start_all_processes
from recommender.cli.options import AsJson, Items, Model, Quiet, Seed
from recommender.cli.output import print_facts, print_plain_note, print_rows
from recommender.cli.stopping import stoppable
from recommender.files import write_text
from recommender.strict.json_documents import json_text

app = typer.Typer(no_args_is_help=True, help=__doc__)
JsonFile = Annotated[
    Path | None,
    typer.Option("--output", help="also write the result to this JSON file", callback=early_checks.output_file),
]


@app.command()
def train(
    model: Model,
    output: Annotated[
        Path,
        typer.Option(help="folder for the checkpoint; a killed run goes on", callback=early_checks.checkpoint_folder),
    ],
    examples: Annotated[
        int | None, typer.Option(help="justifications to learn from; default as in its config", min=20)
    ] = None,
    facts: Annotated[
        str | None,
        typer.Option(help="a table that says more of the items, joined by title and year: a file, or film-facts"),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="a checkpoint whose writing adapter it begins with", callback=early_checks.present_model),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train the writing adapter of a checkpoint again; the ranking stays as it is.

    For example after a change of its prompts, or with a table that says more of the items.
    """
    with stoppable():
        start_all_processes()
    from recommender.pipelines.train import teach_writing
    from recommender.progress import is_main_process, progress_bars

    with progress_bars(quiet) as progress:
        result = teach_writing(model, output, examples, progress, facts, start)
    if is_main_process():
        print_rows([asdict(result)], None, as_json)


@app.command()
def tune(
    model: Model,
    drafts: Annotated[int, typer.Option(help="drafts to write from each template", min=4)] = 12,
    seed: Seed = 0,
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the templates that a checkpoint writes well, on training histories, and keep them in it."""
    from recommender.justify.template_selection import selected_templates
    from recommender.model.checkpoint import TEMPLATE_SELECTION, record
    from recommender.pipelines.train import split_histories
    from recommender.progress import progress_bars
    from recommender.studies.justifications import draft_study

    with progress_bars(quiet) as progress:
        engine = open_model(model, items, progress)
        histories = split_histories(engine.config, engine.catalogue).train.items
        counts = draft_study(engine, histories, drafts, seed, progress)
    record(model, TEMPLATE_SELECTION, counts)
    selected = selected_templates(counts)
    rows = [
        {"template": line, "drafts": written, "passed": passed, "used": "yes" if line in selected else "no"}
        for line, (written, passed) in counts.items()
    ]
    print_rows(rows, f"kept in {model}", as_json)


@app.command()
def companions(
    model: Model,
    output: Annotated[
        Path | None, typer.Option(help="folder for a copy of the checkpoint; default: kept in it")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count which items many people had together, and keep the counts in a checkpoint.

    A justification may then say that many who watched one also watched the other. Training does this by itself. What is
    counted is what the checkpoint was trained on; nothing but counts of five people and more is kept.
    """
    from recommender.pipelines.companions import add_companions

    counted = add_companions(model, output)
    pairs, items = int((counted.others >= 0).sum()), int((counted.others >= 0).any(1).sum())
    facts = {"pairs": pairs, "items": items, "of_items": len(counted), "liked": counted.liked}
    print_facts(facts | {"kept_in": str(output or model)}, as_json)


@app.command()
def labels(
    model: Model,
    output: Annotated[
        Path | None, typer.Option(help="folder for a copy of the checkpoint; default: kept in it")
    ] = None,
    items: Items = None,
    check: Annotated[
        int, typer.Option(help="pictures to read a second time, by code of its own; sure ones first", min=0)
    ] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Name what the items' pictures show, by the frozen tower that read them, and keep that in a checkpoint.

    A justification may then say so where the picture moved the score. Training does this by itself. Only labels that the
    tower is sure of are said, and stand-in pictures have none.
    """
    from recommender.encoders.labels import said_of_labels
    from recommender.pipelines.media_labels import add_media_labels
    from recommender.progress import progress_bars
    from recommender.studies.label_check import check_labels

    with progress_bars(quiet) as progress:
        named = add_media_labels(model, output, items, progress)
        facts: dict[str, Any] = {"labels": said_of_labels(named)}
        if check:
            read = check_labels(output or model, check, items, progress)
            facts |= {"read_again": read.checked, "same": read.same, "unlike": list(read.unlike)}
    print_facts(facts | {"kept_in": str(output or model)}, as_json)


@app.command()
def evaluate(
    model: Model,
    users: Annotated[int, typer.Option(help="users whose lists are justified", min=1)] = 20,
    k: Annotated[int, typer.Option(help="items a user", min=1)] = 10,
    items: Items = None,
    output: JsonFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure justifications: truth, drafts that pass the check, variety, features, deletion.

    Truth is judged by an independent reading of each sentence.
    """
    from recommender.progress import progress_bars
    from recommender.studies.justifications import justification_study

    with progress_bars(quiet) as progress:
        engine = open_model(model, items, progress)
        print_plain_note(engine)
        measured = justification_study(engine, sampled_histories(engine, users), k, progress)
    _report(measured, output, as_json)


@app.command()
def plant(
    model: Model,
    count: Annotated[int, typer.Option(help="errors to plant", min=1)] = 1000,
    seed: Seed = 0,
    output: JsonFile = None,
    as_json: AsJson = False,
) -> None:
    """Plant errors in true justifications and count how many the checker finds."""
    from recommender.justify import Style
    from recommender.pipelines.train import companions_in, split_histories
    from recommender.studies.justifications import checker_study

    config, catalogue = catalogue_of(model)
    histories = split_histories(config, catalogue).train
    companions = companions_in(histories, catalogue)
    style = replace(Style.of(config.prompt, config.justify), liked=companions.liked)
    _report(checker_study(catalogue, histories.items, style, count, seed, companions), output, as_json)


@app.command("dialogues")
def generated_dialogues(
    model: Model,
    count: Annotated[int, typer.Option(help="messages to generate", min=1)] = 600,
    dialogues: Annotated[
        int, typer.Option(help="dialogues of one or two messages to generate beside them", min=0)
    ] = 200,
    seed: Seed = 0,
    items: Items = None,
    output: JsonFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Send generated chat messages to a model and count how many are understood.

    Every answer is compared with what was asked for.
    """
    from recommender.chat import Chat
    from recommender.progress import progress_bars
    from recommender.studies.conversations import conversation_study, dialogue_study

    with progress_bars(quiet) as progress:
        engine = open_model(model, items, progress)
    chat = Chat.of(engine)
    told: dict[str, Any] = dict(conversation_study(chat, count, seed))
    if dialogues:
        told["dialogues"] = dialogue_study(chat, dialogues, seed)
    _report(told, output, as_json)


def _report(measured: dict[str, Any], output: Path | None, as_json: bool) -> None:
    if output is not None:
        write_text(output, json_text(measured, indent=1) + "\n")
    print_facts(measured, as_json)
