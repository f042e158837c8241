"""Errors that a user can cause: one clear line that says what is wrong, and a hint that says what to do."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from pydantic import ValidationError

#: packages whose name in the registry is not that of the module
_PACKAGES = {
    "espeakng_loader": "espeakng-loader",
    "harper": "harper-py",
    "ir_measures": "ir-measures",
    "rouge_score": "rouge-score",
    "whisper": "openai-whisper",
}


_SHOWN = 40
#: what moves a cursor, ends a line, turns the direction of writing, or is half a character
_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")


def printable(text: str, keep: str = "") -> str:
    """Return a text that a terminal shows and does not obey: control characters, but for those of `keep`, are escaped.

    They become as JSON writes them, \\u001b, so JSON stays what it is.
    """
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] in keep else f"\\u{ord(found[0]):04x}", text)


def shown(value: Any, most: int = _SHOWN) -> str:
    """Return a value as a message may show it: on one line, cut if it is long."""
    line = " ".join(repr(value).split())
    return line if len(line) <= most else f"{line[:most]}..."


class RecommenderError(Exception):
    """A wrong input or a missing resource. The command line prints it as one line and exits with code 2.

    `hint` is the next step for the user; it is printed on a line of its own. Both may quote what strangers wrote: see
    `printable`.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message = printable(message)
        self.hint = None if hint is None else printable(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message} (hint: {self.hint})"


class ConfigError(RecommenderError):
    """A configuration that cannot be used: unknown key, wrong type, values that contradict each other."""


class DataError(RecommenderError):
    """A table, a row, a media file or an item id that cannot be used."""


class AssetError(RecommenderError):
    """A base model or data set that could not be fetched, verified or converted."""


class CheckpointError(RecommenderError):
    """A checkpoint folder that is incomplete, corrupt or made for another catalogue."""


class EngineLostError(RecommenderError):
    """The engine's process is gone or does not answer; no request caused it, and none was answered."""


def import_extra(module: str, needed_by: str, extra: str, alternative: str | None = None) -> ModuleType:
    """Import a module that only the optional extra `extra` of this package installs, for `needed_by`.

    Raises RecommenderError that names the missing package, the extra and what else the user may do (`alternative`).
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        absent = isinstance(error, ModuleNotFoundError) and error.name == top
        reason = "which is not installed" if absent else f"which cannot be imported ({error})"
        message = f"{needed_by} needs the package {_PACKAGES.get(top, top)}, {reason}"
        install = f"pip install 'recommender[{extra}]'"
        raise RecommenderError(message, f"{install}, or {alternative}" if alternative else install) from None


def closest(word: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return up to `most` known words that resemble `word`, best first."""
    return difflib.get_close_matches(word, list(known), n=most, cutoff=0.5)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return a hint that names the known words closest to `word`, or None if nothing is close."""
    similar = closest(word, known)
    return f"did you mean {' or '.join(similar)}?" if similar else None


def wrong_fields(error: ValidationError) -> str:
    """Return each field that is wrong and why, in one line."""
    return "; ".join(f"{'.'.join(map(str, problem['loc']))}: {reason_of(problem)}" for problem in error.errors())


def reason_of(problem: Mapping[str, Any]) -> str:
    """Return what pydantic says of one field, without its "Value error"."""
    reason = str(problem["msg"]).removeprefix("Value error, ")
    return f"{reason[:1].lower()}{reason[1:]}"
