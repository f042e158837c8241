"""Reading raw keys: former names, dotted places, and what to say of a wrong one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from recommender.errors import ConfigError, did_you_mean

#: how pydantic calls the section that an encoder may have in the place of a name
_SECTION = "VectorsConfig"
#: former dotted key -> the last part of its present name; both are read
FORMER_KEYS = {
    "decoding.wish_nats": "query_weight",
    "lora.rank": "r",
    "lora.alpha": "lora_alpha",
    "lora.dropout": "lora_dropout",
    "lora.targets": "target_modules",
    "training.stages.clip": "max_grad_norm",
    "training.stages.newcomer_share": "cold_item_dropout",
    "training.stages.warmup": "warmup_ratio",
    "training.stages.wish_share": "query_share",
}


def with_current_keys(node: Any, path: tuple[str, ...], former: dict[str, str], source: str) -> Any:
    """Return a part of a raw config with present key names; `former` collects the renames: old -> new dotted key."""
    if isinstance(node, list):
        return [with_current_keys(entry, path, former, source) for entry in node]
    if not isinstance(node, dict):
        return node
    current: dict[Any, Any] = {}
    for key, value in node.items():
        dotted = ".".join((*path, str(key)))
        name = FORMER_KEYS.get(dotted)
        if name is not None:
            if name in node:
                raise ConfigError(f"{source}: {dotted} is the former name of {name}, which is there too", "keep one")
            former[dotted] = ".".join((*path, name))
        current[key if name is None else name] = with_current_keys(value, (*path, str(key)), former, source)
    return current


def current_key(key: str) -> str:
    """Return the present name of a dotted key, which may contain list indices."""
    parts = key.split(".")
    former = FORMER_KEYS.get(".".join(part for part in parts if not part.isdecimal()))
    return key if former is None else ".".join([*parts[:-1], former])


def inside(node: Any, part: str, key: str, source: str) -> Any:
    """Return the value under one part of a dotted key; an unknown section is added, for `parse` to name it."""
    place = place_in(node, part, key, source)
    return node[place] if isinstance(node, list) else node.setdefault(place, {})


def place_in(node: Any, part: str, key: str, source: str) -> Any:
    """Return the list index or mapping key that one part of a dotted key stands for."""
    if isinstance(node, dict):
        return part
    if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
        return int(part)
    content = f"there are {len(node)} entries" if isinstance(node, list) else "it has no keys of its own"
    raise ConfigError(
        f"{source}: {key}: there is no {part!r} here; {content}", "for example training.stages.0.epochs=2"
    )


def check_there(node: Any, section: str, tree: type[BaseModel], changes: Mapping[str, Any], source: str) -> None:
    """Raise ConfigError, with how to give it as a whole, if an optional section of which `changes` set keys is null.

    node: what the config holds of `section`, a dotted key.
    """
    model = None if node is not None else _section(section, tree)
    if model is None:
        return
    given = {key.removeprefix(f"{section}."): value for key, value in changes.items() if key.startswith(f"{section}.")}
    own = {key: value for key, value in given.items() if "." not in key}
    shown = yaml.safe_dump(own, default_flow_style=True, sort_keys=False, width=sys.maxsize).strip()[1:-1]
    missing = [f"{name}: ..." for name, field in model.model_fields.items() if field.is_required() and name not in own]
    raise ConfigError(
        f"{source}: {section}.{next(iter(given))}: there is no section {section} here, it is null",
        f'give it as a whole: "{section}={{{", ".join([*([shown] if own else []), *missing])}}}"',
    )


def _section(section: str, tree: type[BaseModel]) -> type[BaseModel] | None:
    """Return the model of the section at a dotted key, None where there is none."""
    model: type[BaseModel] | None = tree
    for part in section.split("."):
        field = None if model is None else model.model_fields.get(part)
        model = None if field is None else next(_models(field.annotation), None)
    return model


def plain(problems: Sequence[Any]) -> list[Any]:
    """Return what pydantic found wrong without the names that it gives to the two forms of an encoder: a name, a section.

    Of a mapping only what is wrong with the section is told, of anything else only that it is no name.
    """
    told = []
    for problem in problems:
        *before, last = problem["loc"] or ("",)
        if _SECTION in problem["loc"]:
            if problem["type"] != "model_type":
                told.append(problem | {"loc": tuple(part for part in problem["loc"] if part != _SECTION)})
        elif last != "str":
            told.append(problem)
        elif not isinstance(problem["input"], dict):
            told.append(problem | {"loc": tuple(before)})
    return told


def explain(problem: Any) -> str:
    """Return what pydantic found wrong, with the dotted key."""
    where = ".".join(str(part) for part in problem["loc"]) or "the whole"
    if problem["type"] == "extra_forbidden":
        return f"unknown key {where!r}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}"


def suggest(problem: Any, tree: type[BaseModel]) -> str | None:
    """For an unknown key, name the closest key of the section it stands in, or else of the whole tree."""
    if problem["type"] != "extra_forbidden":
        return None
    *section, key = [str(part) for part in problem["loc"]]
    siblings = [
        name.split(".")[-1] for name in _keys(tree) if name.split(".")[:-1] == [p for p in section if not p.isdigit()]
    ]
    elsewhere = [name for name in _keys(tree) if name.split(".")[-1] == key]
    if elsewhere and key not in siblings:
        return f"did you mean {' or '.join(elsewhere)}?"
    return did_you_mean(key, siblings) or did_you_mean(key, _keys(tree))


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        for inner in _models(field.annotation):
            yield from _keys(inner, f"{prefix}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the sections that a field may hold."""
    for inner in (annotation, *get_args(annotation)):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield inner
