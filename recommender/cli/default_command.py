"""A group of commands of which one may be left out: `forget ann` is `forget user ann`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class DefaultCommandGroup(TyperGroup):
    """A group whose command `default` is meant where the first word names none; see `with_default`."""

    default = ""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command in front of words that begin with none."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [self.default, *args]
        return super().parse_args(ctx, args)


def with_default(command: str) -> type[DefaultCommandGroup]:
    """Return a class of groups for which `command` is meant where none is named."""
    return type("Group", (DefaultCommandGroup,), {"default": command})
