"""Make the pages that are generated: docs/configuration.md and docs/commands.md.

Run `python docs/make/reference.py` after a change of `recommender/config` or of the command line. A test compares
both pages with what this script makes.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from recommender import cli, config

DOCS = Path(__file__).parents[1]
MADE = "<!-- Made by `python docs/make/reference.py`. Do not edit. -->"


def configuration() -> str:
    """Return the page of all config keys: type, default and meaning, a section each."""
    lines = [
        "# Configuration",
        "",
        MADE,
        "",
        "A config is a YAML file. Every key has a default, so a file names only what differs. `--set KEY=VALUE` overrides",
        "a key on the command line, for example `--set training.stages.0.epochs=2`. An unknown key is an error that names",
        "the closest one.",
        "",
        *_table(config.Config, ""),
    ]
    for path, section in _sections(config.Config, ""):
        lines += ["", f"## {path}", "", _first_paragraph(section), "", *_table(section, f"{path}.")]
    return "\n".join([*lines, ""])


def _sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the sections below a section with their dotted names, in the order of definition.

    Of several keys that may have the same section in the place of a name only the first is shown.
    """
    shown: set[type[BaseModel]] = set()
    for name, field in model.model_fields.items():
        if section := _section_of(field):
            if section is config.VectorsConfig:
                if section in shown:
                    continue
                shown.add(section)
            yield prefix + name, section
            yield from _sections(section, f"{prefix}{name}.")


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    candidates = (field.annotation, *typing.get_args(field.annotation))
    return next((kind for kind in candidates if inspect.isclass(kind) and issubclass(kind, BaseModel)), None)


def _table(section: type[BaseModel], prefix: str) -> list[str]:
    rows = [
        f"| `{prefix}{name}` | {_type(field.annotation)} | {_default(field)} | {_cell(field.description or '')} |"
        for name, field in section.model_fields.items()
        if _section_of(field) in (None, config.VectorsConfig)
    ]
    return ["| key | type | default | meaning |", "|---|---|---|---|", *rows] if rows else []


def _type(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(f"`{value}`" for value in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(map(_type, typing.get_args(annotation)))
    if annotation is config.VectorsConfig:
        return "`{vectors: FILE}`"
    name = annotation.__name__ if inspect.isclass(annotation) and not typing.get_args(annotation) else str(annotation)
    return _cell(_plain_type(name))


def _plain_type(name: str) -> str:
    for spelled, plain in (("typing.", ""), ("NoneType", "null"), ("None", "null"), (", ...", ", …"), ("str", "text")):
        name = name.replace(spelled, plain)
    return name.replace(" | ", " or ")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "required" if value is PydanticUndefined else f"`{_spelled(value)}`"


def _spelled(value: Any) -> str:
    """Return a value as YAML has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return ", ".join(map(_spelled, value))
    return str(value)


def commands() -> str:
    """Return the page of all commands: what each is for, its arguments and its options."""
    lines = [
        "# Commands",
        "",
        MADE,
        "",
        "Results go to standard output, progress and notes to standard error. `--json` prints results as JSON. A wrong",
        "input ends in one line with what to do, and exit code 2.",
    ]
    for name, command in _commands(typer.main.get_command(cli.app), "recommender"):
        lines += ["", f"## {name}", "", _help_of(command)]
        if rows := [row for parameter in command.params if (row := _option(parameter))]:
            lines += ["", "| option | default | meaning |", "|---|---|---|", *rows]
    return "\n".join([*lines, ""])


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every command that is not hidden, groups entered."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield name, command
        return
    for child, inner in subcommands.items():
        if not inner.hidden:
            yield from _commands(inner, f"{name} {child}")


def _option(parameter: Any) -> str | None:
    if getattr(parameter, "hidden", False) or parameter.name == "help":
        return None
    if parameter.param_type_name == "argument":
        return f"| `{parameter.name.upper()}` | | {_cell(parameter.help or '')} |"
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    value = parameter.default
    has_default = isinstance(value, str | int | float) and value != ""
    default = "required" if parameter.required else f"`{_spelled(value)}`" if has_default else ""
    return f"| {names} | {default} | {_cell(parameter.help or '')} |"


def _help_of(command: Any) -> str:
    return " ".join((command.help or "").split())


def _first_paragraph(section: type[BaseModel]) -> str:
    return " ".join((inspect.getdoc(section) or "").split("\n\n")[0].split())


def _cell(text: str) -> str:
    """Return a text as it may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


PAGES = {"configuration.md": configuration, "commands.md": commands}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
