"""Teach a model to listen, and tune it to your people."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.inputs import changes_of, open_model, read_config
from recommender.cli.launching import start_all_processes
from recommender.cli.options import AsJson, Items, Model, Quiet, Seed, Settings
from recommender.cli.output import print_rows
from recommender.cli.stopping import stoppable

app = typer.Typer(no_args_is_help=True, help=__doc__)
NewCheckpoint = Annotated[
    Path,
    typer.Option(
        "--output", help="folder for the checkpoint; a killed run goes on", callback=early_checks.checkpoint_folder
    ),
]


@app.command()
def make(
    model: Model,
    output: Annotated[
        Path, typer.Option(help="file of JSON lines to write", callback=early_checks.output_file, dir_okay=False)
    ],
    count: Annotated[int, typer.Option(help="conversations to make", min=1)] = 100,
    outside: Annotated[
        str | None, typer.Option(help="a table of works that people name and the catalogue may lack, e.g. film-facts")
    ] = None,
    seed: Seed = 0,
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make conversations about the items of a model, from its training histories.

    Each line has what was said, how each name and value is meant, and what suits at the end.
    """
    from recommender.pipelines.converse import write_conversations
    from recommender.progress import progress_bars

    with progress_bars(quiet) as progress:
        engine = open_model(model, items, progress)
        written = write_conversations(engine, output, count, outside, seed, progress)
    print_rows([{"conversations": written, "file": str(output)}], None, as_json)


@app.command()
def teach(
    model: Model,
    output: NewCheckpoint,
    config: Annotated[
        Path | None,
        typer.Option(help="a recipe with a stage converse; default: the model's own, or one epoch"),
    ] = None,
    items: Items = None,
    interactions: Annotated[str | None, typer.Option(help="interactions table; default: the config's")] = None,
    start: Annotated[str | None, typer.Option(help="a checkpoint that listens already, to begin from")] = None,
    settings: Settings = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train the stage `converse` of a checkpoint: it learns to listen from conversations that are made for its items.

    Its ranking and its writing stay as they are. A run that was stopped or killed goes on where it was when it is started
    again.
    """
    recipe, changes = None if config is None else read_config(config, None), changes_of(settings)
    if interactions is not None:
        changes["data.interactions"] = interactions
    with stoppable():
        start_all_processes()
    from recommender.pipelines.converse import teach_listening
    from recommender.progress import is_main_process, progress_bars

    with stoppable(), progress_bars(quiet) as progress:
        result = teach_listening(model, output, recipe, changes, items, progress=progress, start=start)
    if is_main_process():
        print_rows([asdict(result)], f"taught: {output}", as_json)


@app.command()
def tune(
    model: Model,
    dialogues: Annotated[
        Path,
        typer.Option(
            help="JSON lines with messages, named and targets", dir_okay=False, callback=early_checks.input_file
        ),
    ],
    output: NewCheckpoint,
    items: Items = None,
    interactions: Annotated[str | None, typer.Option(help="interactions table; default: the config's")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fit how what is heard, plain signals and a prior of the items add up, on every third of your conversations.

    `recommender study conversations` measures on the others.
    """
    from recommender.pipelines.tune_conversations import tune_conversations
    from recommender.progress import progress_bars

    with progress_bars(quiet) as progress:
        tuned = tune_conversations(model, dialogues, output, items, interactions, progress)
    rows = [{"signal": name, "nats a unit": weight} for name, weight in tuned.weights.items()]
    print_rows(rows, f"tuned: {output}", as_json)


@app.command()
def phrases(
    output: Annotated[Path, typer.Option(help="YAML file to write", callback=early_checks.output_file, dir_okay=False)],
    base: Annotated[str, typer.Option(help="the base model that writes")] = "smollm2-135m-instruct",
    encoder: Annotated[str, typer.Option(help="the sentence encoder that judges")] = "all-minilm-l6-v2",
    rounds: Annotated[int, typer.Option(help="how often the base continues each group", min=1)] = 20,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Have the base model write more phrases for made-up conversations, and keep those that say what they should.

    Beside `prompts/conversations/en.yaml`, as `en.written.yaml`, they are used by `teach` and `make`.
    """
    from recommender.config import BaseConfig
    from recommender.pipelines.phrase_writing import write_phrases
    from recommender.progress import progress_bars

    with progress_bars(quiet) as progress:
        written = write_phrases(output, BaseConfig(llm=base), encoder, rounds, seed=seed, progress=progress)
    print_rows([{"group": group, "phrases": count} for group, count in written.items()], f"written: {output}", as_json)
