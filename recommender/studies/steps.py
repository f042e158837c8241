"""The steps of a long study, kept as they are done, so that one that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recommender.config import Config
from recommender.errors import DataError
from recommender.files import write_text
from recommender.strict.json_documents import read_json_object


class Steps:
    """Results of what was done already, by name, in a JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, Any] = read_json_object(path, "steps of a study", "begin anew") if path.is_file() else {}

    @classmethod
    def of(cls, path: Path, config: Config, options: Any) -> Steps:
        """Return the steps of a study with this config and these options, a dataclass, from before if it was begun.

        Raises DataError for a folder that holds a study with others.
        """
        steps = cls(path)
        asked = {"config": json.loads(config.model_dump_json()), "options": json.loads(json.dumps(vars(options)))}
        if steps.once("asked", lambda: asked) != asked:
            raise DataError(f"{path.parent}: holds a study with other settings", "name another folder")
        return steps

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """Return what `work` gives, which JSON can hold; from before if it was done."""
        if name not in self.done:
            self.done[name] = work()
            write_text(self.path, json.dumps(self.done) + "\n")
        return self.done[name]
