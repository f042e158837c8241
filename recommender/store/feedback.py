"""What people said of recommendations: an append-only file of JSON lines, followed as it grows, and what it means.

`helpful`: the kinds of facts that the sentence told come first for that person. `not for me`: the item is not shown to
that person again. `wrong`: the facts are not spoken of again, to anybody. The later word of a person on an item counts.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recommender.errors import DataError, wrong_fields

Opinion = Literal["helpful", "wrong", "not for me"]
OPINIONS: tuple[Opinion, ...] = get_args(Opinion)
Fact = tuple[str, str]


class Feedback(BaseModel):
    """One thing that somebody said of an item or of its reason. `facts`: (attribute, value) pairs that it is about."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    item_id: str = Field(max_length=200)
    opinion: Opinion
    user: str | None = Field(
        None, max_length=200, description="who says so; `helpful` and `not for me` are kept for them"
    )
    facts: tuple[Fact, ...] = Field(
        (), max_length=50, description="attribute and value of what is wrong or was helpful"
    )
    sentence: str | None = Field(
        None, max_length=600, description="the reason as it was shown; its facts are read from it"
    )
    time: str = Field("", max_length=40, description="when it was kept; set by the store")


def read_feedback(**fields: Any) -> Feedback:
    """Return a Feedback. Raises DataError naming the fields that are wrong, in one line."""
    try:
        return Feedback(**fields)
    except ValidationError as error:
        raise DataError(f"this cannot be kept as feedback: {wrong_fields(error)}") from None


class FeedbackStore:
    """The feedback of one file. Several processes may add to it; each sees what the others have added."""

    def __init__(self, path: Path) -> None:
        """Follow `path`, which need not be there yet. Raises DataError if it cannot be a file of feedback."""
        if path.is_dir() or not path.parent.is_dir():
            raise DataError(f"{path}: feedback cannot be kept there", "name a file in a folder that exists")
        self.path, self.damaged, self._read = path, 0, 0
        self._lock = threading.Lock()
        self._last: defaultdict[str, dict[str, Opinion]] = defaultdict(dict)
        self._wrong: defaultdict[tuple[str, Fact], set[str]] = defaultdict(set)
        self._helpful: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.refresh()

    def add(self, feedback: Feedback) -> Feedback:
        """Append one entry, stamped with the time, and return it. Raises DataError if it cannot mean anything."""
        if feedback.opinion != "wrong" and feedback.user is None:
            raise DataError(f"feedback {feedback.opinion!r} needs to know whose it is", "give a user")
        if feedback.opinion == "wrong" and not feedback.facts:
            raise DataError("feedback 'wrong' needs to know what is wrong", "give a fact, or the sentence")
        kept = feedback.model_copy(update={"time": datetime.now(UTC).isoformat(timespec="seconds")})
        with self._lock:
            self._append(kept.model_dump_json(exclude_defaults=True).encode() + b"\n")
        self.refresh()
        return kept

    def _append(self, line: bytes) -> None:
        """Write one whole line at the end; one that a killed process left open is closed first."""
        with open(self.path, "ab+") as file:
            if file.tell() and not _ends_whole(file.fileno()):
                line = b"\n" + line
            os.write(file.fileno(), line)  # one call: lines of several processes do not mix

    def refresh(self) -> None:
        """Read what has been added since. A line that is no feedback is passed over and counted in `damaged`."""
        with self._lock:
            try:
                with open(self.path, "rb") as file:
                    file.seek(self._read)
                    raw = file.read()
            except FileNotFoundError:
                return
            whole = raw[: raw.rfind(b"\n") + 1]
            self._read += len(whole)
            for line in whole.splitlines():
                if line.strip():
                    self._understand(line)

    def _understand(self, line: bytes) -> None:
        try:
            found = Feedback.model_validate(json.loads(line))
        except (ValueError, RecursionError, ValidationError):
            self.damaged += 1
            return
        if found.user is not None and found.opinion != "wrong":
            self._last[found.user][found.item_id] = found.opinion
        if found.opinion == "wrong":
            for fact in found.facts:
                self._wrong[found.item_id, fact].add(found.user or "")
        elif found.opinion == "helpful" and found.user is not None:
            self._helpful[found.user].update({name for name, _ in found.facts})

    def refused(self, user: str | None) -> frozenset[str]:
        """Return the ids of the items that are not for this person."""
        own = self._last.get(user or "", {})
        return frozenset(item for item, opinion in own.items() if opinion == "not for me")

    def wrong(self, votes: int = 1) -> Mapping[str, frozenset[Fact]]:
        """Return item id -> the facts that at least `votes` people called wrong; all without a name count as one."""
        found: defaultdict[str, set[Fact]] = defaultdict(set)
        for (item, fact), people in self._wrong.items():
            if len(people) >= votes:
                found[item].add(fact)
        return MappingProxyType({item: frozenset(facts) for item, facts in found.items()})

    def prefers(self, user: str | None) -> tuple[str, ...]:
        """Return the attributes that were in sentences which this person found helpful, the most often first."""
        counted = self._helpful.get(user or "", Counter())
        return tuple(sorted(counted, key=lambda name: (-counted[name], name)))


def _ends_whole(descriptor: int) -> bool:
    return os.pread(descriptor, 1, os.fstat(descriptor).st_size - 1) == b"\n"
