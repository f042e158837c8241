"""Measure: models and baselines in one table; predictors of ratings in another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.cluster_options import On, RayAddress, RayWorkers, WorkerCpus, WorkerGpus, opened_cluster
from recommender.cli.early_checks import check_tables
from recommender.cli.inputs import config_of, split_list, values_by_name, with_tables
from recommender.cli.options import AsJson, OwnConfig, Quiet, Users
from recommender.cli.output import print_json, print_view


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            help="baselines (NAME or NAME:KEY=VALUE), checkpoint folders, FOLDER+BASELINE to fuse, NAME=FOLDER,FOLDER for"
            " runs of one recipe"
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            help="folder for report.html, metrics.json and the parquet tables", callback=early_checks.output_folder
        ),
    ],
    config: OwnConfig = None,
    items: Annotated[
        str | None,
        typer.Option(help="items table; default: the first checkpoint's", callback=early_checks.items_table),
    ] = None,
    interactions: Annotated[
        str | None,
        typer.Option(
            help="interactions table; default: the first checkpoint's", callback=early_checks.interactions_table
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            help="targets: user_id, item_id; default: held out by --split", callback=early_checks.targets_table
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="what is held out: leave-one-out, time (the last tenth), folds (over users)")
    ] = "leave-one-out",
    folds: Annotated[int, typer.Option(help="number of folds of --split folds")] = 5,
    seeds: Annotated[str, typer.Option(help="fit every baseline once per seed, for example 0,1,2")] = "0",
    attribute: Annotated[
        str | None, typer.Option(help="what diversity and calibration go by; default: genres or the like")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="rank only items that have it, for targets that do; may be repeated"),
    ] = None,
    users: Users = None,
    record: Annotated[bool, typer.Option(help="write the table into the cards of the checkpoints")] = False,
    on: On = "here",
    ray_address: RayAddress = None,
    workers: RayWorkers = None,
    worker_cpus: WorkerCpus = None,
    worker_gpus: WorkerGpus = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare models and baselines in one table.

    The whole catalogue is ranked for every user, or with --only a part of it: --only domain=films.
    """
    from recommender.errors import import_extra
    from recommender.studies.entries import folders_of, parse_entries, parse_seeds

    folders = folders_of(parse_entries(models))
    for folder in folders:  # before what takes seconds to import
        early_checks.present_model(folder)
    recipe = config_of(config, folders)
    check_tables(with_tables(recipe, items, interactions))
    from recommender.studies.splits import check_split

    check_split(split)
    fit_seeds, part = parse_seeds(seeds), values_by_name("--only", only)
    import_extra("matplotlib", "recommender evaluate", "eval")
    from recommender.eval.report import as_json as plain
    from recommender.eval.report import for_card, table
    from recommender.model import checkpoint
    from recommender.progress import progress_bars
    from recommender.studies import comparison

    options = comparison.EvaluationOptions(split, folds, users, fit_seeds=fit_seeds, attribute=attribute, only=part)
    with (
        opened_cluster(on, ray_address, workers, worker_cpus, worker_gpus) as cluster,
        progress_bars(quiet) as progress,
    ):
        options = replace(options, cluster=cluster)
        evaluation = comparison.evaluate(
            models,
            items,
            interactions,
            test=test,
            output=output,
            options=options,
            config=recipe,
            progress=progress,
        )
    for folder in dict.fromkeys(folders) if record else ():
        checkpoint.record(folder, "ranking", for_card(evaluation))
    if as_json:
        print_json(plain(evaluation))
    else:
        print_view(table(evaluation))


def ratings(
    output: Annotated[
        Path,
        typer.Option(
            help="folder for report.html, metrics.json and predictions.parquet", callback=early_checks.output_folder
        ),
    ],
    config: OwnConfig = None,
    items: Annotated[
        str | None, typer.Option(help="items table; default: the config's", callback=early_checks.items_table)
    ] = None,
    interactions: Annotated[
        str | None,
        typer.Option(help="table with ratings; default: the config's", callback=early_checks.interactions_table),
    ] = None,
    features: Annotated[
        str, typer.Option(help="of text, tfidf, image, mfcc, whisper; what no item has is left out")
    ] = "text,image,mfcc",
    likes: Annotated[float, typer.Option(help="a user likes what is rated so or higher")] = 4.0,
    sample: Annotated[int, typer.Option(help="draw whole users until so many ratings; 0: all of them")] = 15_000,
    folds: Annotated[int, typer.Option(help="folds of the stratified cross-validation")] = 5,
    imputation: Annotated[str, typer.Option(help="of missing features: knn, mean or zero")] = "knn",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare predictors of ratings.

    They read text, image, sound and the ratings of other users. Six ways to fuse them, two classifiers and simple floors.
    """
    recipe = with_tables(config_of(config, []), items, interactions)
    check_tables(recipe)
    from recommender.errors import import_extra
    from recommender.progress import progress_bars

    import_extra("matplotlib", "recommender ratings", "eval")
    from recommender.pipelines.train import load_catalogue
    from recommender.studies.ratings import RatingsSettings, rating_study
    from recommender.studies.ratings.rating_report import as_json as plain
    from recommender.studies.ratings.rating_report import table, write_report

    settings = RatingsSettings.parse(
        seed=recipe.seed,
        features=split_list(features),
        likes=likes,
        sample=sample or None,
        folds=folds,
        imputation=imputation,
    )
    with progress_bars(quiet) as progress:
        result = rating_study(load_catalogue(recipe, progress), recipe.data.interactions, recipe, settings, progress)
    write_report(result, output)
    if as_json:
        print_json(plain(result))
    else:
        print_view(table(result))
