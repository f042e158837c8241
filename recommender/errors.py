"""Errors that a user can cause: one clear line that says what is wrong, and a hint that says what to do."""

from __future__ import annotations

import difflib
import importlib
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


class RecommenderError(Exception):
    """A wrong input or a missing resource. The command line prints it as one line and exits with code 2.

    `hint` is the next step for the user; it is printed on a line of its own.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

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
