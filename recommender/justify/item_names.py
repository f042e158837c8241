"""The words of a text as the checker compares them, and the names under which a justification may mention an item."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from recommender.data.catalogue import Catalogue, Item

#: characters; longer names are cut, so that a justification can be read in one go
NAME_LENGTH = 60
DOUBLE_QUOTES = '"“”„«»'
_WORD = re.compile(r"[^\W_]+|[+#%$€£@*&]")
_DOUBLE = re.compile(f"[{DOUBLE_QUOTES}]")
_TRAILING = " ,;:-&(/"
_BRACKET = re.compile(r"\s*\([^()]*\)$")
_YEAR = re.compile(r"\((\d{4})\)$")
_ARTICLES = "The An A La Le Les L' Un Une Il Lo Gli El Los Las Der Die Das Ein Eine De Het".replace(" ", "|")
_ARTICLE = re.compile(rf"^(?P<rest>[^(]+), (?P<article>{_ARTICLES})(?P<tail> \(.*\))?$")


@dataclass(frozen=True)
class Word:
    """A word of a text as written, its form for comparison, and where it starts and ends."""

    text: str
    form: str
    start: int
    end: int


@lru_cache(maxsize=100_000)
def form(word: str) -> str:
    """Return a word without case and accents; "&" is "and"."""
    if word == "&":
        return "and"
    plain = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    return (plain or word).casefold()


def words(text: str) -> list[Word]:
    """Return the words of a text: runs of letters and digits, and symbols that distinguish names (C++, 4+)."""
    return [Word(m.group(), form(m.group()), m.start(), m.end()) for m in _WORD.finditer(text)]


def forms(text: str) -> tuple[str, ...]:
    """Return the forms of the words of a text."""
    return tuple(form(word) for word in _WORD.findall(text))


def display_name(item: Item) -> str:
    """Return the name of an item in a justification: its title, article first, without double quotes, cut if too long."""
    name = _article_first(" ".join(_DOUBLE.sub("'", item.title).split()))
    if not forms(name):  # no word that could be compared
        return f"item {_DOUBLE.sub('', item.item_id)}"
    if len(name) <= NAME_LENGTH:
        return name
    head = name[: NAME_LENGTH - 1]
    head = head[: head.rfind(" ")] if " " in head else head
    return f"{head.rstrip(_TRAILING)}…" if forms(head) else name


def _article_first(name: str) -> str:
    """Return "The Godfather (1972)" for "Godfather, The (1972)"."""
    match = _ARTICLE.match(name)
    if not match:
        return name
    space = "" if match["article"].endswith("'") else " "
    return f"{match['article']}{space}{match['rest']}{match['tail'] or ''}"


def title_year(title: str) -> str | None:
    """Return the year in brackets at the end of a title."""
    match = _YEAR.search(title)
    return match.group(1) if match else None


def other_names(item: Item, years: tuple[str, ...]) -> set[str]:
    """Return all names that mean the item: the title, as displayed, article first, without the brackets at its end, and
    each of these with its year."""
    names = {item.title, _article_first(item.title), display_name(item)}
    names |= {_BRACKET.sub("", name) for name in names}
    names |= {f"{name} ({year})" for name in names for year in years}
    return {name for name in names if forms(name)}


def namesakes(catalogue: Catalogue, item: int, among: Iterable[int]) -> frozenset[int]:
    """Return those of some items that a reader cannot tell from `item`: they bear the same name."""
    name = forms(display_name(catalogue[item]))
    return frozenset(other for other in among if forms(display_name(catalogue[other])) == name)
