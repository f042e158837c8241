"""How a command is explained: two columns of text that fit 80 columns, an option's name and what it is for."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand


class ExplainedCommand(TyperCommand):
    """A command whose help has no frames: typer's own table shares 80 columns among six, and breaks words."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings | {"rich_markup_mode": None})


def explained(group: typer.Typer) -> typer.Typer:
    """Return a group of commands with help of this kind for each of them."""
    for command in group.registered_commands:
        command.cls = ExplainedCommand
    return group
