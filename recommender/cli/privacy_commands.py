"""What models tell of the people they learned from, and how they forget them: `study privacy`, `study forgetting`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.inputs import chosen_ways, read_recipe
from recommender.cli.options import AsJson, ConfigFile, Quiet, Seed, Settings
from recommender.cli.output import print_json, print_rows, print_text
from recommender.cli.stopping import stoppable


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


def forgetting(
    config: ConfigFile,
    output: Annotated[
        Path, typer.Option(help="folder for the models and the page", callback=early_checks.output_folder)
    ],
    settings: Settings = None,
    forget: Annotated[int, typer.Option(help="how many people are forgotten", min=1)] = 50,
    others: Annotated[int, typer.Option(help="how many are never learned from, to compare with", min=2)] = 100,
    ways: Annotated[
        str, typer.Option(help="ways of training: average, chain, whole, with commas between them")
    ] = "average,chain,whole",
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Forget people, and prove that they are gone.

    In a store, in its files, and in models trained in shards and in one piece: seconds, weights beside a training that never
    had them, membership attacks before and after, and a search of all files. A study that was stopped goes on.
    """
    recipe = read_recipe(config, settings)
    from recommender.progress import progress_bars
    from recommender.studies import forgetting as study

    chosen = chosen_ways(ways, study.WAYS)
    options = study.ForgettingOptions(forget, others, chosen, seed)
    with stoppable(), progress_bars(quiet) as progress:
        figures = study.study_forgetting(recipe, options, output, progress)
        study.write_forgetting(output, figures)
    if as_json:
        print_json(figures)
        return
    traces = figures["traces"]
    print_rows(study.rows_of(figures), f"forgetting: {output / study.PAGE}")
    print_rows(study.attack_rows(figures), "can the forgotten be told from others?")
    print_text(
        f"{len(traces['found'])} of {traces['files']} files have a trace: {', '.join(traces['found']) or 'none'}"
    )
