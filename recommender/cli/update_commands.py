"""Learn what came since; see what updates did; go back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from recommender.cli.default_command import with_default
from recommender.cli.inputs import changes_of, moment_of
from recommender.cli.options import AsJson, FeedbackFile, Model, Quiet
from recommender.cli.output import print_facts, print_note, print_rows, print_text
from recommender.cli.stopping import stoppable
from recommender.cli.store_options import MasterKey, TellStore
from recommender.errors import RecommenderError

app = typer.Typer(cls=with_default("run"), no_args_is_help=True, help=__doc__)
#: exit code of an update whose version did not go live
NOT_LIVE = 3


@app.command()
def run(
    model: Model,
    since: Annotated[
        str | None,
        typer.Option(help="a date, or seconds since 1970; default: where its training or last update ended"),
    ] = None,
    every: Annotated[
        float | None, typer.Option(help="go on for ever, with so many seconds between two updates", min=1)
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="override the section update: KEY=VALUE, for example epochs=1")
    ] = None,
    store: TellStore = None,
    master_key: MasterKey = None,
    feedback: FeedbackFile = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Let a checkpoint learn what came since.

    From its tables as they are now; a store adds what people disliked, which justifications they called wrong, and who is
    left out. The new version goes live if it is not worse on the latest interactions; otherwise the old one stays, and the
    exit code is 3.
    """
    while True:
        live = False
        try:
            live = _updated(model, since, settings, store, master_key, feedback, as_json, quiet)
        except RecommenderError as error:  # too few new interactions, say: the next time there may be more
            if every is None:
                raise
            print_note(f"no update: {error.message}")
        if every is None:
            break
        since = None if live else since  # the next one goes on where this one ended
        with stoppable():
            time.sleep(every)
    if not live:
        raise typer.Exit(NOT_LIVE)


def _updated(
    model: str,
    since: str | None,
    settings: list[str] | None,
    store: str | None,
    master_key: str | None,
    feedback: Path | None,
    as_json: bool,
    quiet: bool,
) -> bool:
    from recommender.adapters.shipped import resolve
    from recommender.config import Config
    from recommender.pipelines.left_out import NamedStore
    from recommender.pipelines.update import update_checkpoint
    from recommender.progress import progress_bars
    from recommender.store.feedback import FeedbackStore

    moment = None if since is None else moment_of(since)
    config = Config.load(resolve(model) / "config.yaml")
    changes = {f"update.{key}": value for key, value in changes_of(settings).items()}
    named = None if store is None else NamedStore(store, master_key)
    with stoppable(), progress_bars(quiet) as progress:
        result = update_checkpoint(
            model,
            moment,
            progress=progress,
            store=named,
            settings=config.updated(changes, "--set").update,
            feedback=None if feedback is None else FeedbackStore(feedback),
        )
    said = "live" if result.live else "not live, the old version stays"
    print_facts({"version": said, "why": result.why, **result.counts, "seconds": result.seconds}, as_json)
    return result.live


@app.command()
def rollback(model: Model, as_json: AsJson = False) -> None:
    """Put the version before the last update back."""
    from recommender.adapters.shipped import resolve
    from recommender.pipelines.versions import roll_back

    was = roll_back(resolve(model))
    print_facts({"checkpoint": str(model), "version": was.name}, as_json)


@app.command()
def log(model: Model, as_json: AsJson = False) -> None:
    """Show what the updates of a checkpoint did."""
    from recommender.adapters.shipped import resolve
    from recommender.pipelines.versions import read_log

    rows = [
        {"time": row["time"], "live": row["live"], "new": row["counts"]["new"], "before": row["before"]}
        | {"after": row["after"], "seconds": row["seconds"], "why": row["why"]}
        for row in read_log(Path(resolve(model)))
    ]
    if rows or as_json:
        print_rows(rows, f"updates of {model}", as_json)
    else:
        print_text("no update yet")
