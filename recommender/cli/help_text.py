"""How a command is explained: two columns of text that fit 80 columns, an option's name and what it is for."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand

#: stand for a hyphen and a blank at which no line may end
_HYPHEN, _BLANK = "\u2011", "\u00a0"
_DEFAULT = re.compile(r"\[default: \S*")


class ExplainedCommand(TyperCommand):
    """A command whose help has no frames: typer's own table shares 80 columns among six, and breaks words."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings | {"rich_markup_mode": None})

    def get_help(self, ctx: Any) -> str:
        """Return all that `--help` prints."""
        return super().get_help(ctx).replace(_HYPHEN, "-").replace(_BLANK, " ")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options; no line ends within the name of an option, a value or a default."""
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            records = [p.get_help_record(ctx) for p in self.get_params(ctx) if p.param_type_name == kind]
            rows = [(record[0], _unbroken(record[1])) for record in records if record]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def explained(group: typer.Typer) -> typer.Typer:
    """Return a group of commands with help of this kind for each of them."""
    for command in group.registered_commands:
        command.cls = ExplainedCommand
    return group


def _unbroken(text: str) -> str:
    return _DEFAULT.sub(lambda match: match[0].replace(" ", _BLANK), text.replace("-", _HYPHEN))
