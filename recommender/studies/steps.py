"""The steps of a long study, kept as they are done, so that one that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recommender.files import write_text
from recommender.strict.json_documents import read_json_object


class Steps:
    """Results of what was done already, by name, in a JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, Any] = read_json_object(path, "steps of a study", "begin anew") if path.is_file() else {}

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """Return what `work` gives, which JSON can hold; from before if it was done."""
        if name not in self.done:
            self.done[name] = work()
            write_text(self.path, json.dumps(self.done) + "\n")
        return self.done[name]
