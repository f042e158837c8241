"""Reads what was typed: configs with overrides, lists, pairs; and opens the model that a command works on."""

from __future__ import annotations

import csv
import math
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.cli.early_checks import base_model, check_table, check_tables, check_vectors, present_model
from recommender.errors import ConfigError, DataError
from recommender.progress import Progress

if TYPE_CHECKING:
    from recommender.config import Config, DataConfig
    from recommender.data.catalogue import Catalogue
    from recommender.engine import Recommender, Request


def read_config(path: Path, settings: list[str] | None) -> Config:
    """Return the Config of a YAML file with KEY=VALUE overrides. Raises ConfigError."""
    from recommender.config import Config

    changes = changes_of(settings)
    config = Config.load(path)
    return config.updated(changes, "--set") if changes else config


def changes_of(settings: list[str] | None) -> dict[str, Any]:
    """Return what KEY=VALUE overrides change: dotted key -> value. Raises ConfigError."""
    from recommender.strict.yaml_documents import parse_yaml

    texts = dict(split_pair("--set", text, "decoding.beam=20") for text in settings or [])
    try:
        return {key: parse_yaml(value) for key, value in texts.items()}
    except ValueError as error:
        raise ConfigError(f"--set: not a YAML value ({error})", "put it in quotes") from None


def read_recipe(path: Path, settings: list[str] | None) -> Config:
    """Return the Config of a recipe whose tables and starting checkpoint are there. Raises RecommenderError."""
    from recommender.adapters.vouching import trust

    recipe = read_config(path, settings)
    trust(recipe.serving.checkpoint_key)  # what `base.adapter` names is read by it
    check_tables(recipe)
    check_vectors(recipe)
    base_model(recipe.base.llm)
    present_model(recipe.base.adapter)
    return recipe


def vector_files(texts: list[str]) -> dict[Any, str]:
    """Return the files of MODALITY=FILE options, which are there. Raises ConfigError and DataError."""
    from recommender.config import MODALITIES, VectorsConfig
    from recommender.encoders.vector_files import check_there

    files = dict(split_pair("--vectors", text, "image=new.npz") for text in texts)
    for modality, file in files.items():
        if modality not in MODALITIES:
            raise ConfigError(f"--vectors: there is no modality {modality!r}", f"one of {', '.join(MODALITIES)}")
        check_there(VectorsConfig(vectors=file))
    return files


def check_parts_at_hand(model: str, items: str | None) -> None:
    """Raise RecommenderError unless a checkpoint's base model is there, and its items: those named, or its config's."""
    from recommender.adapters.shipped import resolve

    try:
        config = config_of(None, [model])
    except ConfigError:  # a damaged file: loading checks it against the manifest and says so
        return
    if not (resolve(model) / "prompting").is_dir():  # an export has its base in it
        base_model(config.base.llm)
    if items is None:
        check_tables(config, interactions=False)


def config_of(path: Path | None, checkpoints: list[str]) -> Config:
    """Return a config file, or that of the first checkpoint, or the defaults."""
    from recommender.adapters.shipped import resolve
    from recommender.adapters.vouching import check_file
    from recommender.config import Config

    if path is not None:
        return Config.load(path)
    folder = resolve(checkpoints[0]) if checkpoints else None
    if folder is None:
        return Config()
    for name in ("config.yaml", "prompting/config.yaml"):  # the second one of an export
        if (folder / name).is_file():
            check_file(folder, name)  # before anything that it says is done
            return Config.load(folder / name)
    return Config()


def with_tables(config: Config, items: str | None, interactions: str | None) -> Config:
    """Return a config that reads the tables that are named in the place of its own."""
    given = {"data.items": items, "data.interactions": interactions}
    return config.updated({key: table for key, table in given.items() if table is not None})


def catalogue_of(model: str) -> tuple[Config, Catalogue]:
    """Return the config of a checkpoint and the catalogue that it names, without media."""
    from recommender.data.catalogue import Catalogue

    config = config_of(None, [model])
    return config, Catalogue.load(config.data.items, config.data, media=False)


@contextmanager
def step(progress: Progress, name: str) -> Iterator[None]:
    """Show one step of unknown length as a bar of one part."""
    progress(name, 0, 1)
    yield
    progress(name, 1, 1)


def read_request(progress: Progress, **fields: Any) -> Request:
    """Return a Request, checked before anything is loaded for it. Raises RecommenderError."""
    with step(progress, "start"):
        from recommender.engine import make_request as checked_request  # within the step: torch takes seconds
    return checked_request(**fields)


def open_model(
    model: str, items: str | None, progress: Progress, feedback: Path | None = None, bits: str | None = None
) -> Recommender:
    """Load a checkpoint into the embedded engine. Raises RecommenderError.

    `feedback`: the file whose feedback counts. `bits`: of the ranking matrices, 16, 8 or 4; by default its config says.
    """
    check_parts_at_hand(model, items)
    with step(progress, f"load {Path(model).name}"):
        from recommender.engine import Recommender

        engine = Recommender.from_pretrained(model, items, progress, None if bits is None else int(bits))
    if feedback is not None:
        engine.feedback_policy.keep_in(feedback)
    return engine


def sampled_histories(engine: Recommender, count: int) -> list[Any]:
    """Return an even sample of the training histories, int64 [items] each, that are not empty."""
    from recommender.pipelines.train import split_histories

    histories = [items for items in split_histories(engine.config, engine.catalogue).train.items if len(items)]
    return histories[:: max(len(histories) // count, 1)][:count]


def use_threads(threads: int | None) -> None:
    """Let torch compute on so many threads; None leaves it as it is."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def split_list(texts: str | Sequence[str] | None, option: str = "the list") -> tuple[str, ...]:
    """Return the parts of one list with commas, or of several, one after the other.

    As in a line of CSV a part in double quotes may hold a comma, and a double quote that is written twice. Raises
    DataError for quotes that do not close.
    """
    given = [texts] if isinstance(texts, str) else texts or ()
    try:
        rows = [row for text in given for row in csv.reader([text], skipinitialspace=True, strict=True)]
    except csv.Error as error:
        hint = 'put what holds a comma in double quotes, and write a double quote in it twice: 50,"a, b",181'
        raise DataError(f"{option}: cannot be read as a list with commas ({error})", hint) from None
    return tuple(part.strip() for row in rows for part in row if part.strip())


def chosen_ways(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return what --ways names, each once. Raises ConfigError for nothing, or for a way that a study does not know."""
    chosen = tuple(dict.fromkeys(split_list(text, "--ways")))
    if unknown := [way for way in chosen or [text] if way not in known]:
        raise ConfigError(f"--ways: there is no way {unknown[0]!r}", f"some of {', '.join(known)}")
    return chosen


def whole_numbers(option: str, text: str) -> list[int]:
    """Return the whole numbers above 0 of a list with commas. Raises DataError."""
    parts = split_list(text)
    if not parts or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise DataError(
            f"{option} {text!r}: expected whole numbers above 0, with commas", f"for example {option} 10,50"
        )
    return [int(part) for part in parts]


def percents(option: str, text: str) -> list[float]:
    """Return the numbers above 0, at most 100, of a list with commas, each once. Raises DataError."""
    try:
        numbers = [float(part) for part in split_list(text, option)]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number <= 100 for number in numbers):
        raise DataError(f"{option} {text!r}: expected percents, with commas", f"for example {option} 5,20,100")
    return list(dict.fromkeys(numbers))


def split_pair(option: str, text: str, example: str, form: str = "KEY=VALUE") -> tuple[str, str]:
    """Return name and value of NAME=VALUE. Raises ConfigError."""
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigError(f"{option} {text}: expected {form}", f"for example {option} {example}")
    return name.strip(), value.strip()


def domain_tables(texts: Sequence[str]) -> dict[str, DataConfig]:
    """Return the tables of DOMAIN=SOURCE, which are there; a source is a folder, a data set or a YAML file.

    Raises ConfigError for a domain that is given twice or a wrong file, and DataError for tables that are not there.
    """
    from recommender.config import Config, DataConfig

    tables: dict[str, DataConfig] = {}
    for text in texts:
        name, sign, source = text.partition("=")
        if not sign:
            raise ConfigError(f"{text}: expected DOMAIN=SOURCE", "for example films=movielens-100k")
        if name.casefold() in map(str.casefold, tables):
            raise ConfigError(f"{text}: the domain {name} is given twice", "give each catalogue a name of its own")
        _check_source(text, source)
        is_config = source.endswith((".yaml", ".yml"))
        config = Config.load(Path(source)) if is_config else Config(data=DataConfig(items=source, interactions=source))
        check_tables(config)
        tables[name] = config.data
    return tables


def _check_source(text: str, source: str) -> None:
    """Raise DataError unless a source is an embedded data set, or there is a file or folder of that name."""
    known = "name a folder with the tables items and interactions, an embedded data set, or a YAML file"
    if not source.strip():
        raise DataError(f"{text}: says no source", known)
    try:
        check_table(source, "items")
    except DataError as error:
        meant = error.hint if error.hint and error.hint.startswith("did you mean") else known
        raise DataError(f"{text}: no such file, folder or data set: {source}", meant) from None


def values_by_name(option: str, texts: list[str] | None) -> dict[str, tuple[str, ...]]:
    """Return the values of repeated NAME=VALUE options by name. Raises ConfigError."""
    values: dict[str, tuple[str, ...]] = {}
    for text in texts or []:
        name, value = split_pair(option, text, "genres=Comedy", "NAME=VALUE")
        values[name] = (*values.get(name, ()), value)
    return values


def numbers_by_name(option: str, texts: list[str] | None) -> dict[str, float]:
    """Return the numbers of repeated NAME=NUMBER options by name, which may hold the sign. Raises ConfigError."""
    numbers: dict[str, float] = {}
    for text in texts or []:
        split_pair(option, text, "50=2.5", "ITEM_ID=NATS")
        name, _, value = text.rpartition("=")
        if (name := name.strip()) in numbers:
            raise ConfigError(f"{option} {text}: {name} is given twice", "give each once")
        try:
            numbers[name] = float(value)
        except ValueError:
            raise ConfigError(
                f"{option} {text}: {value.strip()!r} is not a number", f"for example {option} 50=2.5"
            ) from None
    return numbers


def engine_options(engine: str, bits: str | None, flags: str, **urls: str | None) -> dict[str, Any]:
    """Return what was said of an engine, as `open_engine` takes it. Raises ConfigError for what that engine has not."""
    if bits is None:
        return vllm_options(engine, flags, **urls)
    if engine == "vllm":
        raise ConfigError(
            "--engine vllm has no --bits: it ranks with the matrices that were exported",
            f"recommender export MODEL FOLDER --to vllm{'' if bits == '16' else ' --bits 8'}, and name FOLDER",
        )
    return vllm_options(engine, flags, **urls) | {"bits": int(bits)}


def vllm_options(engine: str, flags: str, **urls: str | None) -> dict[str, Any]:
    """Return what was said of vLLM, as `open_engine` takes it. Raises ConfigError if another engine is meant."""
    given = {**urls, "flags": tuple(shlex.split(flags))}
    options = {name: value for name, value in given.items() if value}
    if options and engine != "vllm":
        raise ConfigError(f"--engine {engine} has no {', '.join(options)}", "add --engine vllm")
    return options


def moment_of(text: str) -> float:
    """Return the seconds since 1970 that `--since` says: such seconds, or an ISO date, in UTC where it names no zone.

    Raises DataError.
    """
    with suppress(ValueError):
        seconds = float(text)
        if math.isfinite(seconds):
            return seconds
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"--since is {text!r}", "an ISO date like 2026-11-01, or seconds since 1970") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
