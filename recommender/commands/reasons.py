"""Reasons: train the writing adapter again, measure what a model's justifications are worth."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from recommender.commands.shared import AsJson, Model, Quiet, print_table

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
    from recommender.progress import progress_bars
    from recommender.recipe import teach_writing

    with progress_bars(quiet) as progress:
        result = teach_writing(model, output, examples, progress)
    print_table([asdict(result)], None, as_json)
