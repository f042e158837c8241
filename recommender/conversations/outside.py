"""Works that people name and the catalogue lacks: what is known of them tells what suits all the same."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from recommender import assets
from recommender.conversations.names import YEARS_APART, NameFinder
from recommender.conversations.wishes import Wish
from recommender.data.catalogue import Catalogue, Item
from recommender.files import replacing
from recommender.justify.facts import PEOPLE, fact_index, facts_of, role
from recommender.justify.item_names import display_name, forms

#: how much the works of well-known people are named more, and those of the last decades
_FAME, _RECENT = 1.2, 1.0
#: of so many works that are drawn, the one that suits the wish best is named
_DRAWN = 30
_YEAR = re.compile(r"\s*[(\[]\s*((?:18|19|20)\d\d)\s*[)\]]\s*$")
_LEADING = 4
_FORMAT = "kinds and people 1"


class OutsideWorks:
    """The works of a table that a catalogue lacks."""

    def __init__(self, table: Catalogue, catalogue: Catalogue) -> None:
        """`table`: all works, with kinds and people; those that have neither, and those of the catalogue, are left out."""
        finder = NameFinder(catalogue)
        self.works = Catalogue(
            work
            for place, work in enumerate(table)
            if fact_index(table).kinds[place]
            and _people(table, place)
            and not finder.named(display_name(work), _year(table, place))
        )
        self._chances = _chances(self.works)

    def __len__(self) -> int:
        return len(self.works)

    def draw(self, wish: Wish, kinds: Sequence[str], random: np.random.Generator) -> int | None:
        """Return a work that suits `kinds`, or one of the people that were wished for; None where there are no works."""
        if not len(self.works):
            return None
        drawn = np.arange(len(self.works))
        if len(drawn) > _DRAWN:
            drawn = random.choice(drawn, size=_DRAWN, p=self._chances)
        wanted, people = {kind.casefold() for kind in kinds}, set(wish.people)
        suits = [
            len(wanted & fact_index(self.works).kinds[work]) + 3 * bool(people & set(_people(self.works, work)))
            for work in drawn.tolist()
        ]
        best = np.array(suits) / max(len(wanted), 1) + 0.3 * random.gumbel(size=len(drawn))
        return int(drawn[int(best.argmax())])


class WorkIndex:
    """Finds works by their names."""

    def __init__(self, works: Catalogue) -> None:
        """Index the names of `works`, whose years tell namesakes apart."""
        self.works = works
        self._places: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, work in enumerate(works):
            self._places[_key(display_name(work))].append(place)

    def named(self, name: str) -> list[int]:
        """Return the work that a name means, with or without its year in brackets; none if there is no such work."""
        bare, year = _YEAR.sub("", name), _YEAR.search(name)
        places = self._places.get(_key(bare), [])
        if year:
            places = [place for place in places if abs((_year(self.works, place) or 0) - int(year[1])) <= YEARS_APART]
        return places[:1]

    @classmethod
    def of_table(cls, name: str) -> WorkIndex:
        """Return the works of a table that have kinds and people. Raises AssetError or DataError for one that is not there.

        What matters of it is kept in the cache: reading a whole table takes seconds.
        """
        key = hashlib.sha256(f"{_FORMAT} {assets.identity(name)}".encode()).hexdigest()[:24]
        path = assets.cache_dir() / f"works-{key}.json.gz"
        with suppress(OSError, ValueError):
            return cls.load(path)
        table = Catalogue.load(name)
        works = [work for place, work in enumerate(table) if fact_index(table).kinds[place] and _people(table, place)]
        index = cls(Catalogue(works))
        with suppress(OSError):  # a cache that cannot be written costs seconds, no more
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                index.save(temporary)
        return index

    def save(self, path: Path) -> None:
        """Write names, years, kinds and people of the works as compressed JSON."""
        told = [
            [
                display_name(work),
                _year(self.works, place),
                sorted(fact_index(self.works).kinds[place]),
                _people(self.works, place),
            ]
            for place, work in enumerate(self.works)
        ]
        text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        with gzip.GzipFile(path, "wb", mtime=0) as file:
            file.write(text.encode())

    @classmethod
    def load(cls, path: Path) -> WorkIndex:
        """Read what `save` wrote. Raises ValueError or OSError for another file."""
        with gzip.open(path, "rb") as file:
            told = json.loads(file.read())
        return cls(Catalogue(_work(place, *entry) for place, entry in enumerate(told)))


def _work(place: int, title: str, year: int | None, kinds: list[str], people: list[str]) -> Item:
    attributes = {"genres": tuple(kinds), "cast": tuple(people), **({"year": (str(year),)} if year else {})}
    return Item(f"work {place}", title, attributes=attributes)


def _key(name: str) -> tuple[str, ...]:
    key = forms(_YEAR.sub("", name))
    return key[1:] if len(key) > 1 and key[0] in ("the", "a", "an") else key


def _chances(works: Catalogue) -> np.ndarray:
    """Return how often each work is named: by how many works its people have, and by its age."""
    if not len(works):
        return np.zeros(0)
    counts = Counter(person for place in range(len(works)) for person in _people(works, place))
    known = [
        np.mean(sorted((np.log(counts[p]) for p in _people(works, place)), reverse=True)[:_LEADING])
        for place in range(len(works))
    ]
    years = np.array([_year(works, place) or 0 for place in range(len(works))])
    decades = np.clip((years - years.max()) / 10, -5, 0)
    weights = np.exp(_FAME * np.array(known) + _RECENT * decades)
    return np.asarray(weights / weights.sum())


def _people(works: Catalogue, place: int) -> list[str]:
    return [v for name, values in facts_of(works, place).items() if role(name) in PEOPLE for v in values]


def _year(works: Catalogue, place: int) -> int | None:
    return next(iter(fact_index(works).years[place]), None)
