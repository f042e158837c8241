"""Puts the commands together and runs them: results to standard output, progress and notes to standard error."""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.text import Text

from recommender.cli import (
    audit_commands,
    bench_commands,
    chat_commands,
    conversation_commands,
    data_commands,
    demo_commands,
    experiment_commands,
    item_commands,
    justification_commands,
    key_commands,
    mcp_commands,
    measuring_commands,
    operating_commands,
    people_commands,
    recommending_commands,
    serving_commands,
    signing_commands,
    store_commands,
    study_commands,
    training_commands,
    update_commands,
    watch_commands,
)
from recommender.cli.help_text import ExplainedCommand, explained
from recommender.cli.options import Panel
from recommender.cli.output import err, print_text
from recommender.cli.starting import INTERRUPTED
from recommender.cli.stopping import unwinding_on_sigterm
from recommender.errors import RecommenderError, printable
from recommender.progress import PrintableFormatter, is_main_process

HELP = """A recommender whose core is a language model: ranked items, each with a justification that is checked.

Start with `recommender demo`, or with `recommender recommend movielens-100k --history 50,181`.
`recommender COMMAND --help` explains a command."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: what is listed where, in this order; groups of commands carry their own name
_COMMANDS: tuple[tuple[Panel, Callable[..., Any] | tuple[str, typer.Typer]], ...] = (
    ("Try it", demo_commands.demo),
    ("Your data", data_commands.validate),
    ("Your data", data_commands.encode),
    ("Your data", data_commands.tokenize),
    ("Your data", data_commands.sounds),
    ("Your data", data_commands.join),
    ("Your data", data_commands.pictures),
    ("Your data", data_commands.private_histories),
    ("Train", training_commands.train),
    ("Train", training_commands.extend),
    ("Train", training_commands.fuse),
    ("Train", training_commands.shrink),
    ("Train", training_commands.configure),
    ("Train", ("conversations", conversation_commands.app)),
    ("Recommend", recommending_commands.recommend),
    ("Recommend", recommending_commands.explain),
    ("Recommend", chat_commands.chat),
    ("Serve", serving_commands.serve),
    ("Serve", mcp_commands.mcp),
    ("Serve", serving_commands.batch),
    ("Serve", serving_commands.export),
    ("Serve", ("items", item_commands.app)),
    ("Measure", measuring_commands.evaluate),
    ("Measure", measuring_commands.ratings),
    ("Measure", ("study", study_commands.app)),
    ("Measure", ("justifications", justification_commands.app)),
    ("Measure", ("bench", bench_commands.app)),
    ("Operate", operating_commands.feedback),
    ("Operate", operating_commands.replay),
    ("Operate", operating_commands.env),
    ("Operate", ("keys", key_commands.app)),
    ("Operate", signing_commands.sign),
    ("Operate", ("store", store_commands.app)),
    ("Operate", ("events", people_commands.events)),
    ("Operate", ("experiments", experiment_commands.app)),
    ("Operate", ("consent", people_commands.consent)),
    ("Operate", people_commands.export_user),
    ("Operate", ("forget", people_commands.forget)),
    ("Operate", ("update", update_commands.app)),
    ("Operate", watch_commands.watch),
    ("Operate", ("audit", audit_commands.app)),
    ("Operate", people_commands.data_map),
)
#: seconds
_AFTER_THE_FIRST = 2.0
_FORMER_NAMES: dict[str, typer.Typer] = {"reasons": justification_commands.app}

for _panel, _command in _COMMANDS:
    if isinstance(_command, tuple):
        app.add_typer(explained(_command[1]), name=_command[0], rich_help_panel=_panel)
    else:
        app.command(rich_help_panel=_panel, cls=ExplainedCommand)(_command)
for _name, _group in _FORMER_NAMES.items():
    app.add_typer(_group, name=_name, hidden=True)


def _tell_version(wanted: bool) -> None:
    if wanted:
        print_text(f"recommender {importlib.metadata.version('recommender')}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """The options of the program itself; `HELP` says what it is."""


def main() -> None:
    """Run the command line; a wrong input ends in one clear line and exit code 2."""
    notes = logging.StreamHandler()
    notes.setFormatter(PrintableFormatter())
    logging.basicConfig(level=logging.WARNING if is_main_process() else logging.ERROR, handlers=[notes])
    try:
        with unwinding_on_sigterm():
            app()
    except RecommenderError as error:
        if not is_main_process():  # what the first process meets too is told once: it ends the others meanwhile
            time.sleep(_AFTER_THE_FIRST)
        err.print(Text(f"error: {error.message}"), soft_wrap=True)
        if error.hint:
            err.print(Text(f"hint: {error.hint}"), soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:  # between commands; those that are under way end themselves
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read the output has enough
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        line = printable(f"error: {error.filename or 'a file'}: {error.strerror or error}")
        err.print(Text(line), soft_wrap=True)
        sys.exit(2)
