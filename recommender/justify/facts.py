"""What may be said of an item: its attributes, the decade of its year, and what role an attribute plays."""

from __future__ import annotations

from recommender.data.catalogue import Catalogue
from recommender.justify.item_names import title_year

#: attribute names in the singular -> the role that sentences know them by; any other attribute is a role of its own
ROLES = {
    **dict.fromkeys(("genre", "category", "subcategory", "type", "style", "class"), "kind"),
    **dict.fromkeys(("director", "directed by"), "director"),
    **dict.fromkeys(("cast", "actor", "actress", "star", "starring"), "cast"),
    **dict.fromkeys(("writer", "author", "written by"), "writer"),
    **dict.fromkeys(("artist", "band", "singer", "composer", "performer"), "artist"),
    **dict.fromkeys(("year", "release year", "publication year", "year of release"), "year"),
}


def singular(word: str) -> str:
    """Return the singular of an English noun, by its ending."""
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 2 else word


def label(name: str) -> str:
    """Return an attribute's name as words in the singular: "release_years" -> "release year"."""
    *first, last = name.replace("_", " ").replace("-", " ").casefold().split() or [""]
    return " ".join([*first, singular(last)])


def role(name: str) -> str:
    """Return the role of an attribute: kind, director, cast, writer, artist, year, decade, or its own label."""
    own = label(name)
    return ROLES.get(own, own)


def facts_of(catalogue: Catalogue, item: int) -> dict[str, tuple[str, ...]]:
    """Return what may be said of an item: attributes, the year (also from its title), the decade; not what is withheld."""
    facts = dict(catalogue.facts(item))
    years = tuple(v for name, values in facts.items() if role(name) == "year" for v in values if _is_year(v))
    if not years and (year := title_year(catalogue[item].title)):
        years = facts["year"] = (year,)
    if years and "decade" not in facts:
        facts["decade"] = tuple(dict.fromkeys(f"{year[:3]}0s" for year in years))
    withheld = catalogue.withheld.get(item)
    if withheld is None:
        return facts
    left = {name: tuple(v for v in values if (name, v) not in withheld) for name, values in facts.items()}
    return {name: values for name, values in left.items() if values}


def years_of(facts: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the years among facts."""
    return tuple(v for name, values in facts.items() if role(name) == "year" for v in values if _is_year(v))


def _is_year(value: str) -> bool:
    return len(value) == 4 and value.isascii() and value.isdigit()
