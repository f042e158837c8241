"""Study a recipe: its parts, new items, queries in words."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recommender.cli import early_checks, experiment_commands
from recommender.cli.inputs import (
    check_parts_at_hand,
    open_model,
    percents,
    read_recipe,
    sampled_histories,
    split_list,
    whole_numbers,
)
from recommender.cli.judging_commands import explanations, justifications, preference, scales
from recommender.cli.online_commands import blocks, prequential
from recommender.cli.options import AsJson, ConfigFile, Items, Model, Quiet, Seed, Settings, Users
from recommender.cli.output import print_json, print_note, print_rows, print_text, print_view
from recommender.cli.privacy_commands import forgetting, privacy
from recommender.cli.stopping import stoppable
from recommender.errors import DataError
from recommender.strict.yaml_documents import parse_yaml

if TYPE_CHECKING:
    from recommender.config import Config

app = typer.Typer(no_args_is_help=True, help=__doc__)
app.command()(privacy)
app.command()(forgetting)
app.command()(prequential)
app.command()(blocks)
app.command("experiments")(experiment_commands.study)
Output = Annotated[
    Path,
    typer.Option(
        help="folder for the checkpoints and the report; a killed run goes on", callback=early_checks.output_folder
    ),
]
Baselines = Annotated[str, typer.Option(help="baselines beside them, with commas")]
Without = Annotated[str, typer.Option(help="modalities: text, knowledge, image, audio, collaborative")]
Variant = Annotated[
    list[str] | None, typer.Option(help='a change of the recipe: "NAME: KEY=VALUE KEY=VALUE"; may be repeated')
]


def _present(models: list[str]) -> list[str]:
    for model in models:
        early_checks.present_model(model)
    return models


@app.command()
def ablation(
    config: ConfigFile,
    output: Output,
    settings: Settings = None,
    without: Without = "",
    variant: Variant = None,
    seeds: Annotated[str, typer.Option(help="every recipe is trained once per seed")] = "0,1,2",
    users: Users = None,
    baselines: Baselines = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe whole and without each of its parts, and print the paired differences."""
    recipe = read_recipe(config, settings)
    from recommender.progress import progress_bars
    from recommender.studies.ablation import ablation_study
    from recommender.studies.entries import parse_seeds

    recipes = _recipes(recipe, without, variant)
    with progress_bars(quiet) as progress:
        evaluation = ablation_study(recipes, parse_seeds(seeds), output, split_list(baselines), users, progress)
    _report(evaluation, output, as_json)
    if not as_json:
        from recommender.eval.report import sparse_rows

        print_rows(sparse_rows(evaluation), "by how often a target was learned from, and by what it lacks")


@app.command()
def cold(
    config: ConfigFile,
    output: Output,
    settings: Settings = None,
    without: Without = "",
    variant: Variant = None,
    share: Annotated[float, typer.Option(help="share of the items that is left out of all training")] = 0.1,
    seed: Annotated[int, typer.Option(help="which items these are")] = 0,
    seeds: Annotated[str | None, typer.Option(help="train once per seed; default: the recipe's own")] = None,
    baselines: Baselines = "vector-content,tfidf-content,popularity",
    times: Annotated[
        float, typer.Option(help="how often a new item is listed: times as often as a known one", min=0)
    ] = 2.0,
    users: Users = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Leave items out of all training, add them afterwards, and rank the full catalogue for who chose one.

    Prints two tables and writes two reports: in `cold` the targets are new items, in `known` each user's last known one.
    `full` is the recipe, `unlisted` the same model while it lists no new item; other rows are what --without and --variant
    make of the recipe.
    """
    recipe = read_recipe(config, settings)
    from recommender.progress import progress_bars
    from recommender.studies.ablation import FULL
    from recommender.studies.cold_start import ColdStartOptions, cold_start_study
    from recommender.studies.entries import parse_seeds

    recipes = _recipes(recipe, without, variant)
    numbers = parse_seeds(seeds) if seeds else (recipes[FULL].seed,)
    with progress_bars(quiet) as progress:
        options = ColdStartOptions(share, seed, numbers, times, users, split_list(baselines))
        study = cold_start_study(recipes, output, options, progress)
    evaluations = {"cold": study.cold, "known": study.known}
    reports = {name: _written(evaluation, output / f"report-{name}") for name, evaluation in evaluations.items()}
    if as_json:
        print_json(reports)
        return
    for evaluation in evaluations.values():
        _print_table(evaluation)


@app.command()
def domains(
    config: ConfigFile,
    output: Output,
    settings: Settings = None,
    shares: Annotated[str, typer.Option(help="percents of a target's users that are learned")] = "5,20,100",
    most_interactions: Annotated[
        int | None, typer.Option(help="learn an even sample of users with about so many, of each; default: all", min=10)
    ] = None,
    repeats: Annotated[
        int, typer.Option(help="epochs are multiplied by up to so much where a share is small", min=1)
    ] = 5,
    target: Annotated[
        list[str] | None, typer.Option(help="the catalogue that is ranked; may be repeated; default: both in turn")
    ] = None,
    attribute: Annotated[str, typer.Option(help="what says the catalogue of an item")] = "domain",
    users: Users = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure whether two catalogues help each other.

    The tables are those of `recommender join`. Each catalogue in turn is the target: its users alone, one adapter for both,
    and one that began from an adapter of the other, by shares of the target's users. A study that was stopped goes on.
    """
    recipe = read_recipe(config, settings)
    from recommender.progress import progress_bars
    from recommender.studies import domain_report as report
    from recommender.studies.domains import DomainOptions, domain_study

    options = DomainOptions(percents("--shares", shares), most_interactions, users, repeats, attribute, seed)
    with stoppable(), progress_bars(quiet) as progress:
        figures = domain_study(recipe, output, options, target or (), progress)
        report.write_domains(output, figures)
    if as_json:
        print_json(figures)
        return
    print_rows(report.rows_of(figures), f"ranked among the target's items: {output / report.PAGE}")
    for sentence in report.told_of(figures):
        print_text(sentence)


@app.command("queries")
@app.command("wishes", hidden=True)  # its former name
def queries(
    model: Model,
    output: Output,
    items: Items = None,
    interactions: Annotated[
        str | None,
        typer.Option(help="by default those of the checkpoint's recipe", callback=early_checks.interactions_table),
    ] = None,
    attribute: Annotated[str | None, typer.Option(help="what is queried for; default: what tells items apart")] = None,
    users: Users = None,
    seed: Annotated[int, typer.Option(help="which queries and phrasings are drawn")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank for queries put into words that no training has read, with a history and without one.

    Beside the usual table: the share of the first ten that have what was asked for.
    """
    check_parts_at_hand(model, items)
    from recommender.progress import progress_bars
    from recommender.studies.text_queries import query_study

    with progress_bars(quiet) as progress:
        study = query_study(model, items, interactions, attribute, users, seed, progress)
    report = _written(study.evaluation, output)
    if as_json:
        print_json({**report, "met": study.met})
        return
    _print_table(study.evaluation)
    rows = [{"ranked by": name, "of the first 10 have it": round(share, 3)} for name, share in study.met.items()]
    print_rows(rows, "what was asked for")


@app.command()
def power(
    config: ConfigFile,
    settings: Settings = None,
    worlds: Annotated[int, typer.Option(help="how many worlds are drawn for each weight", min=20)] = 200,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say whether the users suffice to tell content from popularity.

    Fits how much likeness to what a user had weighs beside popularity, draws worlds of that weight, and counts in how many
    of them the paired interval finds the best ranking that there is. Needs no training.
    """
    recipe = read_recipe(config, settings)
    from recommender.progress import progress_bars
    from recommender.studies.power import power_study

    with progress_bars(quiet) as progress:
        study = power_study(recipe, worlds, progress)
    if as_json:
        print_json(asdict(study))
        return
    for one in study.modalities:
        worlds_of = {"fitted": one.fitted, "upper end": one.largest, "found in 80 %": one.detectable}
        rows = [
            {
                "weight of likeness": f"{name}: {found.weight:.2f}",
                "popularity, R@10": f"{found.popular:.3f}",
                "best ranking, R@10": f"{found.recall:.3f}",
                "gain, NDCG@10": f"{found.gain:.4f}",
                "found": f"{found.found:.0%}",
                "users needed": "any number" if found.users is None else f"{found.users:,}",
            }
            for name, found in worlds_of.items()
        ]
        fitted = f"{one.weight:.2f} ({one.low:.2f} to {one.high:.2f})"
        print_rows(rows, f"{one.modality}: weight {fitted}, {study.choices} choices; {study.users} users are tested")


@app.command()
def signal(
    config: ConfigFile,
    settings: Settings = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure before any training how much an item's content says of who likes it: a linear probe."""
    recipe = read_recipe(config, settings)
    from recommender.progress import progress_bars
    from recommender.studies.signal_probe import signal_study

    with progress_bars(quiet) as progress:
        study = signal_study(recipe, progress)
    if as_json:
        print_json(asdict(study))
        return
    rows = [
        {
            "predicted from": " + ".join(probe.modalities),
            "explained": f"{probe.explained:.3f} ({probe.low:.3f} to {probe.high:.3f})",
            "farther items": f"{probe.nearer:.3f}",
        }
        for probe in study.results
    ]
    print_rows(rows, f"collaborative vectors of {study.items} items")
    rows = [
        {"adds to all others": modality, "explained": f"{mean:.4f} ({low:.4f} to {high:.4f})"}
        for modality, (mean, low, high) in study.added.items()
    ]
    if rows:
        print_rows(rows, "what only one of them knows")


@app.command()
def conversations(
    model: Model,
    dialogues: Annotated[Path, typer.Option(help="JSON lines with messages, named and targets", dir_okay=False)],
    output: Annotated[Path, typer.Option(help="folder for the figures and the lists")],
    items: Items = None,
    interactions: Annotated[str | None, typer.Option(help="interactions table; default: the config's")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Answer conversations of real people: is what they were recommended next among the first items?

    Every third dialogue is for fitting sums of signals; all systems are measured on the others. Items that were named
    before are never counted.
    """
    from recommender.conversations.cases import read_cases
    from recommender.files import check_output_folder
    from recommender.pipelines.train import split_histories
    from recommender.progress import progress_bars
    from recommender.studies.real_conversations import headline, study_real_conversations, write_evaluation

    check_output_folder(output)
    with progress_bars(quiet) as progress:
        engine = open_model(model, items, progress)
        cases = read_cases(dialogues, engine.catalogue)
        changed = {"data.interactions": interactions} if interactions else {}
        config = engine.config.updated(changed, "--interactions") if changed else engine.config
        histories = split_histories(config, engine.catalogue).train.items
        evaluation = study_real_conversations(model, engine, histories, cases, progress)
    metrics = write_evaluation(output, evaluation, engine.catalogue)
    if as_json:
        print_json(metrics)
    else:
        print_rows(headline(metrics), f"{len(evaluation.cases)} conversations: {output}")


@app.command()
def listening(
    model: Model,
    config: ConfigFile,
    output: Output,
    dialogues: Annotated[Path | None, typer.Option(help="JSON lines of real conversations", dir_okay=False)] = None,
    variants: Annotated[str | None, typer.Option(help="names with commas; 'N layers' is one for any N")] = None,
    epochs: Annotated[float | None, typer.Option(help="for each variant; default: the recipe's", min=0)] = None,
    seed: Seed = 0,
    items: Items = None,
    settings: Settings = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Teach to listen without pretraining, words, item positions or depth, and print what each of them is worth."""
    recipe = read_recipe(config, settings)
    from recommender.progress import progress_bars
    from recommender.studies.listening import VARIANTS, chosen, headline, listening_study

    names = split_list(variants, "--variants")
    try:
        wanted = chosen(names) if names else VARIANTS
    except KeyError as missing:
        known = ", ".join(variant.name for variant in VARIANTS)
        raise DataError(f"--variants: no variant {missing}", f"there are: {known}") from None
    changes = {} if epochs is None else {"epochs": epochs}
    with progress_bars(quiet) as progress:
        told = listening_study(model, recipe, output, dialogues, items, wanted, changes, seed, progress)
    if as_json:
        print_json(told)
    else:
        print_rows(headline(told), f"recall at 10: {output}")


@app.command()
def favourites(
    model: Model,
    output: Annotated[Path, typer.Option(help="folder for the figures", callback=early_checks.output_folder)],
    users: Users = None,
    seed: Seed = 0,
    items: Items = None,
    interactions: Annotated[str | None, typer.Option(help="interactions table; default: the config's")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank for one to five items in no order, as people name favourites, beside item-kNN."""
    from recommender.pipelines.train import split_histories
    from recommender.progress import progress_bars
    from recommender.studies.favourites import favourites_study, headline, write_favourites

    with progress_bars(quiet) as progress:
        engine = open_model(model, items, progress)
        changed = {"data.interactions": interactions} if interactions else {}
        config = engine.config.updated(changed, "--interactions") if changed else engine.config
        measured = favourites_study(engine, split_histories(config, engine.catalogue), users, seed, progress)
    write_favourites(output, measured)
    if as_json:
        print_json(measured)
    else:
        print_rows(headline(measured), f"recall at 10, {measured['about']['users']} users: {output}")


@app.command()
def sizes(
    models: Annotated[
        list[str],
        typer.Argument(help="checkpoints of the same items; all differences are to the first", callback=_present),
    ],
    output: Annotated[Path, typer.Option(help="folder for the figures", callback=early_checks.output_folder)],
    bits: Annotated[str, typer.Option(help="of the ranking matrices, some of 16, 8 and 4, with commas")] = "16,8,4",
    users: Users = None,
    rounds: Annotated[int, typer.Option(help="rounds in which all are timed in turn", min=1)] = 5,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What fewer layers and bits cost, and what they save.

    NDCG@10 beside lists a second on one core and megabytes, in a table and a plot. `recommender shrink` makes checkpoints
    with fewer layers; `--bits` of `recommend` and `serve` chooses what is ranked with.
    """
    numbers = whole_numbers("--bits", bits)
    from recommender.progress import progress_bars
    from recommender.studies.sizes import Sizes, sizes_study
    from recommender.studies.sizes_report import headline, write_sizes

    with progress_bars(quiet) as progress:
        measured = sizes_study(models, Sizes(numbers, users, rounds, seed), progress)
    write_sizes(output, measured)
    if as_json:
        print_json(measured)
    else:
        print_rows(headline(measured), f"{measured['about']['users']} users: {output}")


@app.command()
def attribution(
    model: Model,
    output: Annotated[Path, typer.Option(help="folder for the figures", callback=early_checks.output_folder)],
    cases: Annotated[
        int, typer.Option(help="histories whose first item is explained; 0: planted ones only", min=0)
    ] = 40,
    planted: Annotated[
        int, typer.Option(help="cases with a planted badge or tone, of a model of their own", min=0)
    ] = 0,
    fill: Annotated[str, typer.Option(help="what covers a region: mean or blur")] = "mean",
    seed: Seed = 0,
    items: Items = None,
    interactions: Annotated[str | None, typer.Option(help="interactions table; default: the config's")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Does the map of a picture or sound show what matters?

    Deletion and insertion against random and centre orders, a random projector, other seeds, planted cases.
    """
    from recommender.attribution import MediaOptions
    from recommender.progress import progress_bars
    from recommender.studies.attribution import attribution_study
    from recommender.studies.attribution_report import headline, said, write_attribution
    from recommender.studies.planted_media import planted_study

    options = MediaOptions(fill=fill)  # type: ignore[arg-type]  # which says so itself
    with progress_bars(quiet) as progress:
        engine = open_model(model, items, progress)
        if interactions:
            engine.setup.config = engine.config.updated({"data.interactions": interactions}, "--interactions")
        measured = {}
        if cases:
            measured = attribution_study(engine, sampled_histories(engine, cases), options, seed, progress)
        if planted:
            measured |= {"planted": planted_study(engine.config, output, planted, options, seed, progress)}
    measured = write_attribution(output, measured)
    if as_json:
        print_json(measured)
        return
    print_rows(headline(measured), f"nats, higher is better: {output}")
    for line in said(measured):
        print_note(line)


for judged in (justifications, explanations, scales, preference):
    app.command()(judged)


def _recipes(recipe: Config, without: str, variant: list[str] | None) -> dict[str, Any]:
    from recommender.studies.ablation import variants

    changes = dict(_variant(text) for text in variant or [])
    return variants(recipe, split_list(without), changes)


def _variant(text: str) -> tuple[str, dict[str, Any]]:
    name, colon, changes = text.partition(":")
    pairs = [change.partition("=") for change in changes.split()]
    if not colon or not name.strip() or not pairs or not all(sign for _, sign, _ in pairs):
        raise DataError(f"--variant {text!r}: expected NAME: KEY=VALUE", 'for example "short: prompt.history=20"')
    try:
        return name.strip(), {key: parse_yaml(value) for key, _, value in pairs}
    except ValueError:
        raise DataError(f"--variant {text!r}: holds a value that is not YAML", "put it in quotes") from None


def _report(evaluation: Any, output: Path, as_json: bool) -> None:
    report = _written(evaluation, output)
    if as_json:
        print_json(report)
    else:
        _print_table(evaluation)


def _written(evaluation: Any, folder: Path) -> Any:
    """Write the report of an evaluation into a folder and return it as data."""
    from recommender.eval.report import as_json, write_report

    write_report(evaluation, folder)
    return as_json(evaluation)


def _print_table(evaluation: Any) -> None:
    from recommender.eval.report import table

    print_view(table(evaluation))
