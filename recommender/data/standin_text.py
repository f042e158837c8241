"""What stand-in media are made from: an item's title, categories and year."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from recommender.data.catalogue import Catalogue

_CATEGORY_NAMES = ("genres", "genre", "categories", "category", "tags", "class")
_YEAR_NAMES = ("year", "release_year", "date", "release_date")
# In the file names, so that files of an older look or voice are not taken for those of this one.
_EDITION = "1"


@dataclass(frozen=True)
class StandinText:
    """What a title card shows and a spoken title says."""

    item_id: str
    title: str
    categories: tuple[str, ...]
    year: int | None

    @property
    def stem(self) -> str:
        """A safe file name that changes with what is drawn and spoken."""
        safe = re.sub(r"[^a-z0-9_-]", "_", self.item_id.lower())[:40]
        content = "\0".join([_EDITION, self.item_id, self.title, str(self.year), *self.categories])
        return f"{safe}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def standin_text(catalogue: Catalogue, index: int) -> StandinText:
    """Return what the stand-ins of an item show and say."""
    item, facts = catalogue[index], catalogue.facts(index)
    dates = [value for name in _YEAR_NAMES for value in facts.get(name, ())]
    year = re.search(r"\b(1[89]|20)\d\d\b", " ".join([*dates, item.title]))
    named = [facts[name] for name in _CATEGORY_NAMES if name in facts]
    others = [values for name, values in facts.items() if name not in _YEAR_NAMES]
    categories = [*named, *others, ()][0]
    return StandinText(item.item_id, item.title, tuple(categories[:4]), int(year.group()) if year else None)


def text_digest(value: str) -> bytes:
    """Return 32 bytes that follow from a text, letter case aside: what colours, patterns and voices are chosen by."""
    return hashlib.sha256(value.casefold().encode()).digest()
