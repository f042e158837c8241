"""Joins a table of facts to a catalogue: who made a film, where a book is set; by a key or by title and year.

What the catalogue says itself stays. Nothing is guessed: a title that may mean two rows takes neither, and a report counts
what matched, what did not, and where the two tables contradict each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from recommender.config import ColumnsConfig, FactsConfig
from recommender.data.cells import PEOPLE
from recommender.data.item_rows import Item, read_items
from recommender.data.tables import fail_on_errors, read_table, say_once
from recommender.data.title_match import Match, TitleIndex
from recommender.errors import DataError

#: items that the report names
_EXAMPLES = 5
_YEARS = ("year", "release_year", "publication_year")


@dataclass(frozen=True)
class FactsReport:
    """What a join found.

    `matched`: kind of match -> items. `ambiguous`: titles of items that may mean several rows, `unmatched`: of those that
    mean none. `contradictions`: attribute -> items of which the two tables say different things; the catalogue's stays.
    `added`: attribute -> items that have it now and had not.
    """

    items: int
    rows: int
    matched: Mapping[str, int]
    ambiguous: tuple[str, ...]
    unmatched: tuple[str, ...]
    contradictions: Mapping[str, int]
    added: Mapping[str, int]

    @property
    def joined(self) -> int:
        """Number of items that were given facts."""
        return sum(self.matched.values())

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        how = ", ".join(f"{count} by {kind}" for kind, count in self.matched.items())
        lines = [f"facts for {self.joined} of {self.items} items ({how})"]
        if self.ambiguous:
            lines.append(f"{len(self.ambiguous)} may mean several rows and take none, e.g. {_some(self.ambiguous)}")
        if self.unmatched:
            lines.append(f"{len(self.unmatched)} are not in the table of facts, e.g. {_some(self.unmatched)}")
        for name, count in self.contradictions.items():
            lines.append(f"{name}: the two tables differ for {count} items; what the catalogue says stays")
        return lines


def load_facts(items: Sequence[Item], config: FactsConfig) -> tuple[list[Item], FactsReport]:
    """Read the table of facts and join it to the items; what does not match or contradicts is said in a line of the log.

    Raises DataError for a table that cannot be read, or of which nothing matches.
    """
    joined, report = join_facts(items, read_facts(config), config)
    say_once(f"{config.table}: {'; '.join(report.lines())}")
    return joined, report


def read_facts(config: FactsConfig) -> Sequence[Item]:
    """Return the rows of the table of facts. Raises DataError for a table that cannot be read."""
    read = read_items(
        read_table(config.table, "items", config.layout),
        ColumnsConfig().model_copy(update=dict(config.layout.columns.items())),
    )
    fail_on_errors([problem for problem in read.problems if problem.kind != "missing-media"])
    return read.items


def join_facts(items: Sequence[Item], facts: Sequence[Item], config: FactsConfig) -> tuple[list[Item], FactsReport]:
    """Return the items with the attributes of their rows of `facts`, and what was found.

    Raises DataError if nothing matches, or if a key stands in two rows.
    """
    find = by_title(facts, config.years_apart) if config.by == "title_year" else _by_key(facts, config.by)
    matches = [find(item) for item in items]
    rows = [match.rows[0] for match in matches if match is not None and len(match.rows) == 1]
    known = _known_people([facts[row] for row in dict.fromkeys(rows)], facts, config.known_from)
    matched: Counter[str] = Counter()
    contradictions: Counter[str] = Counter()
    added: Counter[str] = Counter()
    ambiguous: list[str] = []
    unmatched: list[str] = []
    joined: list[Item] = []
    for item, match in zip(items, matches, strict=True):
        if match is None or len(match.rows) > 1:
            (unmatched if match is None else ambiguous).append(item.title)
            joined.append(item)
            continue
        matched[match.kind] += 1
        new, differing = _new_facts(item, facts[match.rows[0]], config, known)
        contradictions.update(differing)
        added.update(list(new))
        kept_from_encoders = item.not_encoded if config.encoded else item.not_encoded | set(new)
        joined.append(replace(item, attributes={**item.attributes, **new}, not_encoded=kept_from_encoders))
    report = FactsReport(
        len(items), len(facts), dict(matched), tuple(ambiguous), tuple(unmatched), dict(contradictions), dict(added)
    )
    if items and not matched:
        raise DataError(
            f"data.facts: none of the {len(items)} items is among the {len(facts)} rows of {config.table},"
            f" joined by {config.by}",
            "join by another column (data.facts.by), or name the columns of title and year as the catalogue does",
        )
    return joined, report


def by_title(facts: Sequence[Item], apart: int) -> Callable[[Item], Match | None]:
    """Return what finds the rows of another table that an item may mean, by title and year; None: it means none."""
    index = TitleIndex([row.title for row in facts], [_year(row) for row in facts])

    def find(item: Item) -> Match | None:
        year = _year(item)
        return None if year is None else index.find(item.title, year, apart)

    return find


def _by_key(facts: Sequence[Item], name: str) -> Callable[[Item], Match | None]:
    rows: dict[str, int] = {}
    for row, fact in enumerate(facts):
        for value in _values(fact, name):
            if rows.setdefault(value, row) != row:
                raise DataError(
                    f"data.facts: {name} {value!r} stands in two rows of the table of facts", "a key names one row"
                )

    def find(item: Item) -> Match | None:
        found = tuple(dict.fromkeys(rows[value] for value in _values(item, name) if value in rows))
        return Match(found, name) if found else None

    return find


def _values(item: Item, name: str) -> tuple[str, ...]:
    return (item.item_id,) if name == "item_id" else item.attributes.get(name, ())


def _year(item: Item) -> int | None:
    for name in _YEARS:
        for value in item.attributes.get(name, ()):
            if len(value) == 4 and value.isascii() and value.isdigit():
                return int(value)
    return None


def _new_facts(
    item: Item, fact: Item, config: FactsConfig, known: Mapping[str, Mapping[str, tuple[int, int]]]
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the attributes that an item takes, and the names of those that the tables disagree on."""
    new: dict[str, tuple[str, ...]] = {}
    differing = []
    for name, values in fact.attributes.items():
        if config.columns is not None and name not in config.columns:
            continue
        own = item.attributes.get(name)
        if not own:
            new[name] = _best_known(values, known[name], config.most_people) if name in known else values
        elif not {value.casefold() for value in own} & {value.casefold() for value in values}:
            differing.append(name)
    return {name: values for name, values in new.items() if values}, differing


def _known_people(
    rows: Sequence[Item], all_rows: Sequence[Item], known_from: int
) -> dict[str, dict[str, tuple[int, int]]]:
    """Return for each column of people those in enough of `rows`, with their number of rows there and of all rows."""
    of_items, of_all = _people(rows), _people(all_rows)
    return {
        name: {person: (n, of_all[name][person]) for person, n in people.items() if n >= known_from}
        for name, people in of_items.items()
    }


def _people(rows: Sequence[Item]) -> dict[str, Counter[str]]:
    """Return column of people -> person -> number of rows."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for name, values in row.attributes.items():
            if name.casefold() in PEOPLE:
                counts[name].update(values)
    return counts


def _best_known(people: tuple[str, ...], known: Mapping[str, tuple[int, int]], most: int) -> tuple[str, ...]:
    """Return at most `most` people: a short list as it is, of a long one those of most items, in its order."""
    if len(people) <= most:
        return people
    ranked = set(sorted((person for person in people if person in known), key=known.__getitem__, reverse=True)[:most])
    return tuple(person for person in people if person in ranked)


def _some(titles: Sequence[str]) -> str:
    return ", ".join(titles[:_EXAMPLES])
