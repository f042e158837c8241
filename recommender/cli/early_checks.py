"""What options name, checked as they are read: paths and names that cannot be used are refused in the first second.

Loading a model takes many seconds, and ranking for everybody hours. The callbacks take what was given for an option, or
None, and return it as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from recommender import assets
from recommender.adapters.shipped import check_present, check_target
from recommender.config import Config, check_engine
from recommender.data.paths import check_answers, check_requests, check_table
from recommender.errors import DataError
from recommender.files import (
    check_can_write_in,
    check_input_file,
    check_output_file,
    check_output_folder,
    is_folder,
)

T = TypeVar("T")


def _refusing(check: Callable[[T], object]) -> Callable[[T | None], T | None]:
    """Return the callback of an option, which lets through what `check` raises nothing for."""

    def checked(given: T | None) -> T | None:
        if given is not None:
            check(given)
        return given

    return checked


def _check_feedback(path: Path) -> None:
    from recommender.store.feedback import FeedbackStore  # here: it imports pydantic and pandas

    FeedbackStore(path, tell=False)


def _check_kept_feedback(path: Path) -> None:
    _check_feedback(path)
    check_can_write_in(path.parent, path)


def _check_new_answers(path: Path) -> None:
    if not path.suffix or is_folder(path):  # for the answers of a folder of parts
        check_output_folder(path)
        return
    check_answers(path)
    check_output_file(path)


def _check_facts(path: Path) -> None:
    if path.suffix != ".jsonl":
        raise DataError(f"--output {path}: JSON lines are written", "let its name end with .jsonl")
    check_output_file(path)


def _check_dtype(name: str) -> None:
    Config().updated({"base.dtype": name}, "--dtype")


# what is read
input_file = _refusing(check_input_file)
items_table = _refusing(partial(check_table, kind="items"))
interactions_table = _refusing(partial(check_table, kind="interactions"))
targets_table = _refusing(partial(check_table, kind="targets"))
request_file = _refusing(check_requests)
feedback_file = _refusing(_check_feedback)
# what is written
output_file = _refusing(check_output_file)
facts_file = _refusing(_check_facts)
output_folder = _refusing(check_output_folder)
checkpoint_folder = _refusing(check_target)
answer_file = _refusing(_check_new_answers)
kept_feedback = _refusing(_check_kept_feedback)
# what is named
present_model = _refusing(check_present)
base_model = _refusing(assets.check_name)
engine_name = _refusing(check_engine)
dtype_name = _refusing(_check_dtype)


def check_vectors(config: Config) -> None:
    """Raise DataError unless the files of vectors that a recipe names are there."""
    from recommender.encoders.vector_files import check_there  # here: it imports pandas

    for section in config.encoders.given.values():
        check_there(section)


def check_tables(config: Config, interactions: bool = True) -> None:
    """Raise DataError unless the tables that a recipe names are there."""
    check_table(config.data.items, "items")
    if interactions:
        check_table(config.data.interactions, "interactions")
