"""What options name, checked as they are read: paths and names that cannot be used are refused in the first second.

Loading a model takes many seconds, and ranking for everybody hours. Each function takes what was given for an option, or
None, and returns it as it is.
"""

from __future__ import annotations

from pathlib import Path

from recommender import assets
from recommender.adapters.shipped import check_present, check_target
from recommender.config import Config, check_engine
from recommender.data.paths import Kind, check_answers, check_requests, check_table
from recommender.files import check_can_write_in, check_input_file, check_output_file, check_output_folder


def present_model(model: str | None) -> str | None:
    """Refuse a checkpoint that is not there."""
    if model is not None:
        check_present(model)
    return model


def input_file(path: Path | None) -> Path | None:
    """Refuse a file that is not there."""
    if path is not None:
        check_input_file(path)
    return path


def output_file(path: Path | None) -> Path | None:
    """Refuse a place where no file can be written."""
    if path is not None:
        check_output_file(path)
    return path


def output_folder(path: Path) -> Path:
    """Refuse a place where no folder can be written."""
    check_output_folder(path)
    return path


def checkpoint_folder(path: Path) -> Path:
    """Refuse a place where something else than a checkpoint would be replaced."""
    check_target(path)
    return path


def items_table(source: str | None) -> str | None:
    """Refuse a table of items that is not there."""
    return _table(source, "items")


def interactions_table(source: str | None) -> str | None:
    """Refuse a table of interactions that is not there."""
    return _table(source, "interactions")


def targets_table(source: str | None) -> str | None:
    """Refuse a table of targets that is not there."""
    return _table(source, "targets")


def request_file(path: Path) -> Path:
    """Refuse what is no file of requests."""
    check_requests(path)
    return path


def answer_file(path: Path) -> Path:
    """Refuse a file of answers that is there, or cannot be made."""
    check_answers(path)
    check_output_file(path)
    return path


def engine_name(name: str) -> str:
    """Refuse an engine that is none."""
    check_engine(name)
    return name


def feedback_file(path: Path | None) -> Path | None:
    """Refuse a file in which no feedback is kept."""
    if path is not None:
        from recommender.store.feedback import FeedbackStore

        FeedbackStore(path, tell=False)
    return path


def kept_feedback(path: Path) -> Path:
    """Refuse a file that no feedback can be added to."""
    feedback_file(path)
    check_can_write_in(path.parent, path)
    return path


def base_model(name: str) -> str:
    """Refuse a base model that is neither embedded, nor a folder, nor a name on the hub."""
    assets.check_name(name)
    return name


def dtype_name(name: str) -> str:
    """Refuse a type of numbers that no base model is loaded in."""
    Config().updated({"base.dtype": name}, "--dtype")
    return name


def check_tables(config: Config, interactions: bool = True) -> None:
    """Raise DataError unless the tables that a recipe names are there."""
    check_table(config.data.items, "items")
    if interactions:
        check_table(config.data.interactions, "interactions")


def _table(source: str | None, kind: Kind) -> str | None:
    if source is not None:
        check_table(source, kind)
    return source
