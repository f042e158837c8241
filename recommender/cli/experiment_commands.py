"""Results of experiments on people, and how far such results can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.options import AsJson, Quiet, Seed
from recommender.cli.output import print_json, print_rows


def study(
    output: Annotated[
        Path, typer.Option(help="folder for the figures and the page", callback=early_checks.output_folder)
    ],
    worlds: Annotated[int, typer.Option(help="made-up worlds for each row", min=10)] = 1000,
    people: Annotated[int, typer.Option(help="most people of an A/B test", min=1000)] = 100_000,
    difference: Annotated[
        float, typer.Option(help="how much more the second arm is taken, as a share", min=0.01, max=1)
    ] = 0.05,
    logged: Annotated[int, typer.Option(help="people whose lists an estimate reads", min=10)] = 1000,
    rankers: Annotated[int, typer.Option(help="pairs of rankers that are interleaved", min=1)] = 100,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Test the tests of experiments where the truth is known.

    A/B tests under constant looking with a difference and without, off-policy estimates, interleaving beside A/B.
    """
    from recommender.progress import progress_bars
    from recommender.studies import experiments

    options = experiments.ExperimentStudyOptions(
        worlds, people, difference=difference, logged=logged, rankers=rankers, seed=seed
    )
    with progress_bars(quiet) as progress:
        figures = experiments.study_experiments(options, progress)
    experiments.write_experiments(output, figures)
    if as_json:
        print_json(figures)
        return
    for title, key in (("A/B, looked at after every person", "tests"), ("interleaving and A/B", "interleaving")):
        print_rows(figures[key], title)
    print_rows(figures["estimates"], f"estimates for a policy that never served: {output / experiments.PAGE}")
