"""Answers to questions back, in words. All wording stands in prompts/answers; what they say was ranked, never guessed."""

from __future__ import annotations

from collections.abc import Sequence

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.justify.counterfactual import MOST_CHANGES, Change, Shift, Shortfall
from recommender.justify.evidence import Evidence
from recommender.justify.item_names import display_name
from recommender.justify.style import Style
from recommender.justify.templates import listed


def why_not(
    catalogue: Catalogue, told: Shortfall, k: int, style: Style, barred: Sequence[str] = (), seen: bool = False
) -> str:
    """Say where an item stands and what would bring it into a list of `k`.

    `barred`: what it does not meet, in words; its rank is then the one without that. `seen`: it is in the history.
    """
    variables = {
        "about": f'"{display_name(catalogue[told.item])}"',
        "seen": seen,
        "listed_at": told.rank if told.rank <= k and not barred and not seen else 0,
        "barred": list(barred),
        "rank": told.rank,
        "k": k,
        "most": MOST_CHANGES,
        "changes": [_change(catalogue, change, style) for change in told.changes],
    }
    return _said("why_not", style, **variables)


def barred(kind: str, style: Style, name: str = "", wanted: Sequence[str] = (), held: Sequence[str] = ()) -> str:
    """Say what keeps an item from being shown. `kind`: filter (of which `name`), exclude, only, or refused."""
    told = {"wanted": " or ".join(wanted), "held": ", ".join(held)}
    return _said("barred", style, kind=kind, attribute=name.replace("_", " "), **told)


def what_if(catalogue: Catalogue, removed: Sequence[int], told: Shift, style: Style) -> str:
    """Say how a list would differ had `removed` never been seen."""
    return _said(
        "what_if",
        style,
        removed=_names(catalogue, removed, style),
        left=_names(catalogue, told.left, style),
        entered=_names(catalogue, told.entered, style),
        count=len(told.before),
        reordered=told.before != told.after,
    )


def rests_on(catalogue: Catalogue, evidence: Evidence, style: Style) -> str:
    """Say which history items move an item's score, and by how much the first of them does."""
    influences = evidence.influences
    return _said(
        "rests_on",
        style,
        influences=_names(catalogue, [i.item for i in influences], style),
        many=len(influences) > 1,
        effect=f"{influences[0].effect:.2f}" if influences else "",
    )


def _change(catalogue: Catalogue, change: Change, style: Style) -> str:
    return _said(
        "change",
        style,
        removed=_names(catalogue, change.removed, style),
        many_removed=len(change.removed) > 1,
        added=_names(catalogue, change.added, style),
        many_added=len(change.added) > 1,
    )


def _names(catalogue: Catalogue, items: Sequence[int], style: Style) -> str:
    return listed([f'"{display_name(catalogue[item])}"' for item in items], style)


def _said(block: str, style: Style, **variables: object) -> str:
    """Render a block in the style's language, or in English where there are no answers in it."""
    language = style.language if style.language in prompts.answer_languages() else "en"
    text = prompts.render_block(f"answers/{language}", block, **variables)
    return text if block in ("barred", "change") else f"{text[:1].upper()}{text[1:]}"
