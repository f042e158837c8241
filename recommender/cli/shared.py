"""What the commands share: their options, reading a config with overrides, printing results as tables or JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

out, err = Console(), Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress bars")]
ConfigFile = Annotated[Path, typer.Option("--config", help="a YAML file: see adapters/*.yaml")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="override a key of the config: KEY=VALUE")]
Model = Annotated[str, typer.Argument(help="a checkpoint folder")]
Items = Annotated[str | None, typer.Option(help="items table, if it is not where the checkpoint's config says")]
FeedbackFile = Annotated[
    Path | None, typer.Option("--feedback", help="file of feedback, made by `recommender feedback`")
]
User = Annotated[str | None, typer.Option(help="who asks: what they called not for them is left out")]
Trace = Annotated[Path | None, typer.Option(help="also keep the decision trace in this JSON file: see `replay`")]
Query = Annotated[
    str | None, typer.Option("--query", "--wish", help="a sentence about what is wanted; --wish is its former name")
]
History = Annotated[str, typer.Option(help="item ids, oldest first, separated by commas")]


def read_config(path: Path, settings: list[str] | None) -> Any:
    """Return the Config of a YAML file with KEY=VALUE overrides. Raises ConfigError."""
    import yaml

    from recommender.config import Config
    from recommender.errors import ConfigError

    pairs = [text.partition("=") for text in settings or []]
    for key, sign, _ in pairs:
        if not sign:
            raise ConfigError(f"--set {key}: expected KEY=VALUE", "for example --set decoding.beam=20")
    config = Config.load(path)
    try:
        changes = {key: yaml.safe_load(value) for key, _, value in pairs}
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set: not a YAML value ({' '.join(str(error).split())})", "put it in quotes") from None
    return config.updated(changes, "--set") if changes else config


def config_of(config: Path | None, checkpoints: list[str]) -> Any:
    """Return a config file, or that of the first checkpoint, or the defaults."""
    from recommender.config import Config
    from recommender.model.checkpoint import resolve

    if config is None and not checkpoints:
        return Config()
    path = config or resolve(checkpoints[0]) / "config.yaml"
    return Config.load(path) if config or path.is_file() else Config()


def split_ids(text: str) -> tuple[str, ...]:
    """Return the parts of a list with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def pairs_of(option: str, texts: list[str] | None) -> dict[str, tuple[str, ...]]:
    """Return the values of repeated NAME=VALUE options by name. Raises ConfigError."""
    from recommender.errors import ConfigError

    found: dict[str, tuple[str, ...]] = {}
    for text in texts or []:
        name, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"{option} {text}: expected NAME=VALUE", f"for example {option} genres=Comedy")
        found[name.strip()] = (*found.get(name.strip(), ()), value.strip())
    return found


def print_json(value: Any) -> None:
    """Print a result to standard output as one line of JSON."""
    out.print(json.dumps(value, ensure_ascii=False), soft_wrap=True, markup=False, highlight=False, emoji=False)


def print_table(rows: list[dict[str, Any]], title: str | None, as_json: bool) -> None:
    """Print rows of like keys to standard output."""
    from recommender.cli.terminal import plain_table

    if as_json:
        print_json(rows)
    else:
        out.print(plain_table(rows, title))
