"""Several catalogues become one, each a domain of it: films and products, whose items one model then ranks.

Every item says in an attribute which domain it is of, so that filters, conversations and evaluations can keep to one. The
people of two domains are taken for different ones, unless it is said that an id means the same person everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import DataConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.data.histories import Histories
from recommender.data.written_tables import write_csv, write_items
from recommender.errors import DataError
from recommender.files import locked, replacing
from recommender.progress import Progress

DOMAIN = "domain"
"""The attribute that says which domain an item is of, unless another name is given; conversations know it by this one."""
ITEMS, INTERACTIONS = "items.jsonl", "interactions.csv"
_NAME = re.compile(r"\w[\w -]*")
_UNITS_APART = 30.0  # seconds and milliseconds are a thousand apart; the times of two tables of one unit never are


@dataclass(frozen=True)
class JoinOptions:
    """How catalogues are joined.

    prefix: item ids become DOMAIN:ID. same_users: a user id means one person in all domains; else user ids become
    DOMAIN:ID, too. attribute: the name of the attribute that says the domain.
    """

    prefix: bool = False
    same_users: bool = False
    attribute: str = DOMAIN


@dataclass(frozen=True)
class JoinedDomain:
    """What one domain brought: numbers of items, users and interactions, and of those dropped for their low rating."""

    domain: str
    items: int
    users: int
    interactions: int
    dropped: int


@dataclass(frozen=True)
class JoinReport:
    """What was joined. users: of all domains together; ordered_by: the column of the interactions that orders them."""

    domains: tuple[JoinedDomain, ...]
    users: int
    ordered_by: str


@dataclass(frozen=True)
class _Domain:
    name: str
    catalogue: Catalogue
    histories: Histories


def join_catalogues(
    sources: Mapping[str, DataConfig],
    output: Path,
    options: JoinOptions | None = None,
    progress: Progress | None = None,
) -> JoinReport:
    """Write `items.jsonl` and `interactions.csv` of several catalogues together into a folder, both or neither.

    sources: domain -> its tables; ratings below its `minimum_rating` are left out, and the facts that it names are joined
    and become attributes like all others. Interactions have times where all domains have some, else positions.
    Raises DataError for fewer than two domains, an id that two of them have, an item that has the attribute already, and,
    of the same users, for interactions that cannot be put into one order.
    """
    options = options or JoinOptions()
    check_names(list(sources))
    with locked(output, "join"):
        domains = list(_loaded(sources, progress))
        _check_items(domains, options)
        timed = all(domain.histories.times is not None for domain in domains)
        if options.same_users:
            _check_one_order(domains)
        users = {_user(domain, user, options) for domain in domains for user in domain.histories.user_ids}
        column = "timestamp" if timed else "position"
        with replacing(output / ITEMS) as items, replacing(output / INTERACTIONS) as interactions:
            write_items(items, chain.from_iterable(_items(domain, options) for domain in domains))
            write_csv(interactions, ("user_id", "item_id", column), _interactions(domains, options, timed))
    return JoinReport(tuple(map(_told, domains)), len(users), column)


def check_names(names: Sequence[str]) -> None:
    """Raise DataError unless these are names of two domains or more."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise DataError(f"{name!r} cannot name a domain", "letters, digits and spaces, for example films")
    if len({name.casefold() for name in names}) < 2:
        raise DataError("one domain is nothing to join", "name two or more: films=FOLDER products=FOLDER")


def _loaded(sources: Mapping[str, DataConfig], progress: Progress | None) -> Iterator[_Domain]:
    for number, (name, data) in enumerate(sources.items(), start=1):
        catalogue = Catalogue.load(data.items, data)
        histories = Histories.load(data.interactions, catalogue, data, data.minimum_rating)
        yield _Domain(name, catalogue, histories.sampled(data.users))
        if progress is not None:
            progress("reading the catalogues", number, len(sources))


def _check_items(domains: Sequence[_Domain], options: JoinOptions) -> None:
    seen: dict[str, str] = {}
    for domain in domains:
        if holder := next((item for item in domain.catalogue if options.attribute in item.attributes), None):
            reason = f"item {holder.item_id!r} of {domain.name} has an attribute {options.attribute!r} already"
            raise DataError(reason, "name another for the domain: --attribute NAME")
        for item_id in domain.catalogue.item_ids if not options.prefix else ():
            if seen.setdefault(item_id, domain.name) != domain.name:
                raise DataError(
                    f"{seen[item_id]} and {domain.name} both have an item with the id {item_id!r}",
                    f"--prefix makes them {seen[item_id]}:{item_id} and {domain.name}:{item_id}",
                )


def _check_one_order(domains: Sequence[_Domain]) -> None:
    """Raise DataError unless what one person did in several domains can be put into one order."""
    for domain in domains:
        if domain.histories.times is None:
            reason = f"the interactions of {domain.name} have no times, so those of one user cannot be put in one order"
            raise DataError(reason, "give times, or leave out --same-users")
    medians = [float(np.median(np.concatenate(domain.histories.times or ()))) for domain in domains]
    for domain, median in zip(domains, medians, strict=True):
        if max(abs(median), abs(medians[0])) > _UNITS_APART * max(min(abs(median), abs(medians[0])), 1.0):
            reason = f"times of {domains[0].name} lie around {medians[0]:.10g}, of {domain.name} around {median:.10g}"
            raise DataError(f"{reason}: not one unit", "write both in seconds, or as dates, or leave out --same-users")


def _items(domain: _Domain, options: JoinOptions) -> Iterator[Item]:
    for item in domain.catalogue:
        attributes = {**item.attributes, options.attribute: (domain.name,)}
        yield replace(item, item_id=_item(domain, item.item_id, options), attributes=attributes)


def _item(domain: _Domain, item_id: str, options: JoinOptions) -> str:
    return f"{domain.name}:{item_id}" if options.prefix else item_id


def _user(domain: _Domain, user: str, options: JoinOptions) -> str:
    return user if options.same_users else f"{domain.name}:{user}"


def _interactions(domains: Sequence[_Domain], options: JoinOptions, timed: bool) -> Iterable[tuple[Any, ...]]:
    for domain in domains:
        times = domain.histories.times if timed else None
        for number, (user, items) in enumerate(zip(domain.histories.user_ids, domain.histories.items, strict=True)):
            order = range(len(items)) if times is None else map(_plain, times[number].tolist())
            for item, place in zip(items.tolist(), order, strict=True):
                item_id = _item(domain, domain.catalogue.item_ids[item], options)
                yield _user(domain, user, options), item_id, place


def _plain(time: float) -> int | float:
    """Return a whole number without a fraction: 881250949.0 would be read again, but no person writes it."""
    return int(time) if float(time).is_integer() else time


def _told(domain: _Domain) -> JoinedDomain:
    report = domain.histories.report
    return JoinedDomain(domain.name, len(domain.catalogue), len(domain.histories), report.interactions, report.dropped)
