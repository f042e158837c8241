"""What may be said of an item: its attributes, the decade of its year, and the role that each attribute plays."""

from __future__ import annotations

from recommender.data.catalogue import Catalogue
from recommender.justify.inflection import singular
from recommender.justify.item_names import title_year

#: attribute names in the singular -> the role that justifications know them by; any other attribute is its own role
ROLES = {
    **dict.fromkeys(("genre", "category", "subcategory", "type", "style", "class"), "kind"),
    **dict.fromkeys(("director", "directed by"), "director"),
    **dict.fromkeys(("cast", "actor", "actress", "star", "starring"), "cast"),
    **dict.fromkeys(("writer", "author", "written by"), "writer"),
    **dict.fromkeys(("artist", "band", "singer", "composer", "performer"), "artist"),
    **dict.fromkeys(("year", "release year", "publication year", "year of release"), "year"),
}


def label(name: str) -> str:
    """Return an attribute's name as words in the singular: "release_years" -> "release year"."""
    *first, last = name.replace("_", " ").replace("-", " ").casefold().split() or [""]
    return " ".join([*first, singular(last)])


def role(name: str) -> str:
    """Return the role of an attribute: kind, director, cast, writer, artist, year, decade, or its own label."""
    words = label(name)
    return ROLES.get(words, words)


def facts_of(catalogue: Catalogue, item: int) -> dict[str, tuple[str, ...]]:
    """Return what may be said of an item: attribute -> values, without the withheld ones.

    The year is also read from the title; the decade follows from the year.
    """
    facts = dict(catalogue.facts(item))
    years = years_of(facts)
    if not years and (year := title_year(catalogue[item].title)):
        years = facts["year"] = (year,)
    if years and "decade" not in facts:
        facts["decade"] = tuple(dict.fromkeys(f"{year[:3]}0s" for year in years))
    withheld = catalogue.withheld.get(item)
    if withheld is None:
        return facts
    allowed = {name: tuple(v for v in values if (name, v) not in withheld) for name, values in facts.items()}
    return {name: values for name, values in allowed.items() if values}


def years_of(facts: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the years among facts."""
    return tuple(v for name, values in facts.items() if role(name) == "year" for v in values if _is_year(v))


def _is_year(value: str) -> bool:
    return len(value) == 4 and value.isascii() and value.isdigit()
