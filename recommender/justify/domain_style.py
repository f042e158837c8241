"""The words for an item of a joined catalogue: a film is no "film or product" where all that is spoken of are films."""

from __future__ import annotations

from dataclasses import replace

from recommender.data.catalogue import Catalogue
from recommender.data.joining import DOMAIN
from recommender.justify.evidence import Evidence
from recommender.justify.facts import facts_of, role
from recommender.justify.style import Style


def style_about(style: Style, catalogue: Catalogue, evidence: Evidence) -> Style:
    """Return the style with the noun of the one domain that the item and all that counts for it are of.

    Of several domains, and where the noun is not made of their names ("films and products"), it stays as it is.
    """
    nouns = style.noun.casefold().split(" and ")
    if len(nouns) < 2:
        return style
    spoken_of = {
        evidence.item,
        *(each.item for each in evidence.influences),
        *(item for item, _ in evidence.companions),
    }
    domains = {_domains(catalogue, item) for item in spoken_of}
    if len(domains) > 1:
        return style
    (domain,) = domains
    return replace(style, noun=domain[0]) if len(domain) == 1 and domain[0].casefold() in nouns else style


def _domains(catalogue: Catalogue, item: int) -> tuple[str, ...]:
    return tuple(v for name, values in facts_of(catalogue, item).items() if role(name) == DOMAIN for v in values)
