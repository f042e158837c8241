"""Results of experiments on people, and how far such results can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recommender.cli import early_checks
from recommender.cli.inputs import moment_of
from recommender.cli.options import AsJson, Quiet, Seed
from recommender.cli.output import print_json, print_note, print_rows, print_text
from recommender.cli.store_options import MasterKey, Where, opened_store
from recommender.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from recommender.config import ExperimentConfig

app = typer.Typer(no_args_is_help=True, help="Compare ways of ranking on people: arms, results.")


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
        _print_table(figures[key], title)
    _print_table(figures["estimates"], f"estimates for a policy that never served: {output / experiments.PAGE}")


@app.command("results")
def results_of(
    config: Annotated[
        Path,
        typer.Argument(help="the YAML file that the server has: serving.experiments", callback=early_checks.input_file),
    ],
    experiment: Annotated[str | None, typer.Option(help="one of them by its name; default: all")] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="events that mean taken; default: click, play, finish, like, rate, buy")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="only lists that were shown since: a date, or seconds since 1970, set before one looks"),
    ] = None,
    store: Where = None,
    master_key: MasterKey = None,
    as_json: AsJson = False,
) -> None:
    """Tell what experiments have shown so far.

    For each arm lists, takes and takes a list, and differences from the first arm; intervals hold however often one looks.
    Beside them estimates for each arm from the lists of others. Events count that name the request and an item of its list.
    """
    chosen, start = _chosen(config, experiment), 0.0 if since is None else moment_of(since)
    with opened_store(store, master_key, config) as opened:
        from recommender.experiments.results import results
        from recommender.store.shown_lists import TAKEN, shown_lists

        lists = list(shown_lists(opened, kind or TAKEN, start))
    found = [results(one, lists) for one in chosen]
    if as_json:
        print_json(found)
        return
    if not lists:
        when = "yet" if since is None else f"since {since}"
        print_note(f"no list is kept {when}: servers keep those of people whom requests name")
    for told in found:
        _print_results(told)


def _chosen(config: Path, name: str | None) -> list[ExperimentConfig]:
    from recommender.config import Config

    experiments = Config.load(config).serving.experiments
    if not experiments:
        raise ConfigError(f"{config}: names no experiments", "write them into serving.experiments")
    names = [experiment.name for experiment in experiments]
    if name is not None and name not in names:
        raise ConfigError(
            f"no experiment {name!r} in {config}", did_you_mean(name, names) or f"there are {', '.join(names)}"
        )
    return [experiment for experiment in experiments if name in (None, experiment.name)]


def _print_results(told: dict[str, Any]) -> None:
    name = told["experiment"]
    if told["method"] == "interleave":
        _print_table([told["wins"]], f"{name}: who wins interleaved lists")
        return
    _print_table(told["arms"], f"{name}: arms")
    if told["differences"]:
        _print_table(told["differences"], f"{name}: differences")
    if told["estimates"]:
        _print_table(told["estimates"], f"{name}: estimates from other lists")
    else:
        print_text(f"{name}: no estimates: no list is kept with what another arm would have shown (see shadow)")


def _print_table(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    print_rows([{name: "–" if value is None else value for name, value in row.items()} for row in rows], title)
