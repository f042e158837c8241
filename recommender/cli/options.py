"""Options that several commands have, and the groups that `recommender --help` lists the commands in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from recommender.adapters.shipped import check_present
from recommender.errors import RecommenderError
from recommender.files import check_output, status

Panel = Literal["Try it", "Your data", "Train", "Recommend", "Serve", "Measure", "Operate"]
PANELS: tuple[Panel, ...] = ("Try it", "Your data", "Train", "Recommend", "Serve", "Measure", "Operate")
"""The groups of commands, in the order of a first week with the program."""


def present_model(model: str | None) -> str | None:
    """Return the name of a model, or refuse it before what loads a model is imported: that alone takes seconds."""
    if model is not None:
        check_present(model)
    return model


def output_file(path: Path | None) -> Path | None:
    """Return the path of a result, or refuse it before the work: minutes later there would be nowhere to put it."""
    if path is not None:
        check_output(path)
    return path


def output_folder(path: Path) -> Path:
    """Return the folder of a report, as `output_file`."""
    found = status(path)
    if found is not None and not path.is_dir():
        raise RecommenderError(f"{path}: is no folder", "name a folder for the output")
    check_output(path if found is None else path / "report")
    return path


AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress bars")]
Details = Annotated[bool, typer.Option("--details", help="show scores and other numbers too")]
ConfigFile = Annotated[Path, typer.Option("--config", help="a YAML file: see adapters/*.yaml")]
OwnConfig = Annotated[Path | None, typer.Option("--config", help="a YAML file: its data and encoders are used")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="override a key of the config: KEY=VALUE")]
Model = Annotated[
    str,
    typer.Argument(help="a checkpoint folder, or a shipped one by name: movielens-100k", callback=present_model),
]
Items = Annotated[str | None, typer.Option(help="items table, if it is not where the checkpoint's config says")]
Checkpoint = Annotated[Path, typer.Option("--output", help="the checkpoint folder to write")]
Users = Annotated[int | None, typer.Option(help="evaluate an even sample of this many users", min=1)]
Seed = Annotated[int, typer.Option(help="seed of everything that is drawn at random")]
FeedbackFile = Annotated[
    Path | None, typer.Option("--feedback", help="file of feedback, made by `recommender feedback`")
]
User = Annotated[str | None, typer.Option(help="who asks: what this user marked `not for me` is left out")]
Trace = Annotated[
    Path | None,
    typer.Option(help="also write the decision trace to this JSON file: see `replay`", callback=output_file),
]
Query = Annotated[
    str | None, typer.Option("--query", "--wish", help="a sentence about what is wanted; --wish is its former name")
]
History = Annotated[
    list[str] | None,
    typer.Option(
        metavar="IDS",
        help="item ids, oldest first, with commas between them; an id that holds a comma stands in double quotes; may be"
        " repeated",
    ),
]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", "--filters", metavar="NAME=VALUE", help="what an item must have; may be repeated"),
]
