"""What models tell of the people they learned from: `study privacy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.options import AsJson, Quiet, Seed
from recommender.cli.output import print_json, print_rows


def privacy(
    models: Annotated[
        list[str], typer.Argument(help="checkpoints, or NAME=FOLDER; all of them learned from the same people")
    ],
    output: Annotated[
        Path, typer.Option(help="folder for the figures and the page", callback=early_checks.output_folder)
    ],
    reference: Annotated[
        str, typer.Option(help="a checkpoint that learned from none of them; base: the recipe before training")
    ] = "base",
    others: Annotated[
        str | None,
        typer.Option(
            help="interactions of people no model learned from; default: those data.users left out",
            callback=early_checks.interactions_table,
        ),
    ] = None,
    pairs: Annotated[int | None, typer.Option(help="at most so many people of each kind", min=1)] = None,
    canary_texts: Annotated[
        int, typer.Option(help="texts to train a writer on, canaries among them; 0: none", min=0)
    ] = 0,
    record: Annotated[
        bool, typer.Option(help="also rank, and write what privacy cost into the cards of private checkpoints")
    ] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Attack models: who was learned from?

    Membership inference by loss and by lists, beside a reference; the area under the curve and the true positives at 1 %
    false ones, with intervals over people. With --canary-texts, secrets are planted in the writing and looked for.
    """
    from recommender.progress import progress_bars
    from recommender.studies import privacy as study
    from recommender.studies.entries import parse_entries

    entries = parse_entries(models)
    study.check_entries(entries)
    options = study.PrivacyOptions(reference, others, pairs, canary_texts=canary_texts, seed=seed)
    with progress_bars(quiet) as progress:
        found = study.study_privacy(entries, options, output / "canaries.training", progress)
        if record:
            study.add_cost(found, entries, progress)
    study.write_privacy(output, found)
    if as_json:
        print_json(found.figures)
        return
    print_rows(study.rows_of(found.figures), f"who was learned from: {output / study.PAGE}")
    for title, key in (("canaries in the writing", "canaries"), ("what privacy costs", "cost")):
        if key in found.figures:
            print_rows(found.figures[key], title)
