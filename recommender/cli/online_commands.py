"""Studies of a model that learns while it serves: `study prequential`, `study blocks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.inputs import chosen_ways, read_recipe
from recommender.cli.options import AsJson, ConfigFile, Quiet, Seed, Settings
from recommender.cli.output import print_json, print_rows, print_text
from recommender.cli.stopping import stoppable


def prequential(
    config: ConfigFile,
    output: Annotated[
        Path, typer.Option(help="folder for the models and the page", callback=early_checks.output_folder)
    ],
    settings: Settings = None,
    base: Annotated[
        float, typer.Option(help="share of the interactions, the earliest, that is learned first", min=0.05, max=0.95)
    ] = 0.6,
    blocks: Annotated[int, typer.Option(help="equal parts of the rest", min=2)] = 4,
    events: Annotated[int, typer.Option(help="at most so many predicted interactions a block", min=1)] = 1000,
    ways: Annotated[
        str, typer.Option(help="frozen, history, counts, update, full, with commas between them")
    ] = "frozen,history,counts,update,full",
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Predict each interaction before it is learned.

    By time: a base, then blocks, each predicted before a model learns it, by a frozen model, one with histories as they are,
    with counts that follow, with updates, and trained anew. A study that was stopped goes on.
    """
    recipe = read_recipe(config, settings)
    from recommender.progress import progress_bars
    from recommender.studies import prequential as study

    chosen = chosen_ways(ways, study.WAYS)
    options = study.PrequentialOptions(base, blocks, events, chosen, seed=seed)
    with stoppable(), progress_bars(quiet) as progress:
        figures = study.study_prequential(recipe, options, output, progress)
        study.write_prequential(output, figures)
    if as_json:
        print_json(figures)
        return
    print_rows(study.rows_of(figures), f"predicted before it is learned: {output / study.PAGE}")
    for sentence in study.told_of(figures):
        print_text(sentence)


def blocks(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="BLOCK...", help="JSON files, oldest first; the first one is the base", dir_okay=False),
    ],
    config: ConfigFile,
    output: Annotated[
        Path, typer.Option(help="folder for the models and the page", callback=early_checks.output_folder)
    ],
    settings: Settings = None,
    ways: Annotated[
        str, typer.Option(help="frozen, update, evolving, full, counts, with commas between them")
    ] = "frozen,update,evolving,counts",
    counts: Annotated[str, typer.Option(help="the baseline of the way counts")] = "sequential-item-knn",
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Learn block after block, tested as in PESO (ICLR 2026).

    Each file holds what users have in a block of time and had before: {"USER": {"previous_block": [IDS], "current_block":
    [IDS]}}. All but the last two items of a block are learned, from the model of the block before; the last one is ranked
    among all items, those that the user had included. A study that was stopped goes on.
    """
    recipe = read_recipe(config, settings)
    from recommender.baselines import make_baseline
    from recommender.progress import progress_bars
    from recommender.studies import block_report as report
    from recommender.studies import blocks as study

    chosen = chosen_ways(ways, study.WAYS)
    make_baseline(counts)  # which says if there is none of the name
    with stoppable(), progress_bars(quiet) as progress:
        figures = study.study_blocks(recipe, files, output, chosen, counts, seed, progress)
        report.write_blocks(output, figures)
    if as_json:
        print_json(figures)
        return
    print_rows(report.rows_of(figures), f"mean of the blocks, {report.LISTED['all']}: {output / report.PAGE}")
    for sentence in report.differences_told(figures):
        print_text(sentence)
