"""Options that several commands have, and the groups that `recommender --help` lists the commands in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from recommender.cli import early_checks

Panel = Literal["Try it", "Your data", "Train", "Recommend", "Serve", "Measure", "Operate"]
PANELS: tuple[Panel, ...] = ("Try it", "Your data", "Train", "Recommend", "Serve", "Measure", "Operate")
"""The groups of commands, in the order of a first week with the program."""


AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress bars")]
Details = Annotated[bool, typer.Option("--details", help="show scores and other numbers too")]
ConfigFile = Annotated[Path, typer.Option("--config", help="a YAML file: see adapters/*.yaml")]
OwnConfig = Annotated[Path | None, typer.Option("--config", help="a YAML file: its data and encoders are used")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="override a key of the config: KEY=VALUE")]
Model = Annotated[
    str,
    typer.Argument(
        help="a checkpoint folder, or a shipped one by name: movielens-100k",
        callback=early_checks.present_model,
        is_eager=True,  # whatever else is wrong, this is said first
    ),
]
Items = Annotated[
    str | None,
    typer.Option(
        help="items table, if it is not where the checkpoint's config says", callback=early_checks.items_table
    ),
]
Checkpoint = Annotated[
    Path, typer.Option("--output", help="the checkpoint folder to write", callback=early_checks.checkpoint_folder)
]
Users = Annotated[int | None, typer.Option(help="evaluate an even sample of this many users", min=1)]
Seed = Annotated[int, typer.Option(help="seed of everything that is drawn at random")]
FeedbackFile = Annotated[
    Path | None,
    typer.Option(
        "--feedback", help="file of feedback, made by `recommender feedback`", callback=early_checks.feedback_file
    ),
]
User = Annotated[str | None, typer.Option(help="who asks: what this user marked `not for me` is left out")]
Bits = Annotated[
    Literal["16", "8", "4"] | None,
    typer.Option("--bits", help="rank with matrices of so many bits, see docs/speed.md; default: its config"),
]
Trace = Annotated[
    Path | None,
    typer.Option(
        help="also write the decision trace to this JSON file: see `replay`", callback=early_checks.output_file
    ),
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
WithoutPart = Annotated[
    list[str] | None,
    typer.Option(
        "--without-part",
        metavar="PART",
        help="rank without it: text, knowledge, image, audio, collaborative, popularity, history or baselines; may be"
        " repeated",
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        "--without-part",
        metavar="PART",
        help="rank without it: text, knowledge, image, audio, collaborative, popularity, history or baselines; may be"
        " repeated",
    ),
]
Domains = Annotated[
    list[str] | None,
    typer.Option("--domains", metavar="NAMES", help="domains of a joined catalogue that take turns: films,products"),
]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", "--filters", metavar="NAME=VALUE", help="what an item must have; may be repeated"),
]
