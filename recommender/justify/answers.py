"""Answers to questions about a list, in words: why not that item, what if, what does it rest on.

The texts stand in prompts/answers; the numbers in them come from rankings, never from a guess.
"""

from __future__ import annotations

from collections.abc import Sequence

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.justify.counterfactual import MOST_CHANGES, Change, Shift, Shortfall
from recommender.justify.evidence import Evidence
from recommender.justify.item_names import display_name
from recommender.justify.style import Style
from recommender.justify.templates import enumeration


def why_not(
    catalogue: Catalogue, shortfall: Shortfall, k: int, style: Style, barred: Sequence[str] = (), seen: bool = False
) -> str:
    """Say where an item stands and what would bring it into a list of `k`.

    `barred`: in words, the conditions that the item does not meet; its rank is then the one without them. `seen`: the
    item is in the history.
    """
    variables = {
        "about": f'"{display_name(catalogue[shortfall.item])}"',
        "seen": seen,
        "listed_at": shortfall.rank if shortfall.rank <= k and not barred and not seen else 0,
        "barred": list(barred),
        "rank": shortfall.rank,
        "k": k,
        "most": MOST_CHANGES,
        "changes": [_change_text(catalogue, change, style) for change in shortfall.changes],
    }
    return _render("why_not", style, **variables)


def barred(kind: str, style: Style, name: str = "", wanted: Sequence[str] = (), held: Sequence[str] = ()) -> str:
    """Say why an item may not be shown. `kind`: filter, exclude, only, hidden or refused.

    For a filter, `name`: its attribute, `wanted`: the values that it accepts, `held`: those of the item.
    """
    values = {"wanted": " or ".join(wanted), "held": ", ".join(held)}
    return _render("barred", style, kind=kind, attribute=name.replace("_", " "), **values)


def what_if(catalogue: Catalogue, removed: Sequence[int], shift: Shift, style: Style) -> str:
    """Say how a list would differ without the items `removed` in the history.

    An item that another one of the same name replaces is not told: to a reader nothing changes there.
    """
    names = {item: display_name(catalogue[item]) for item in (*removed, *shift.left, *shift.entered)}
    gone, come = ({names[item] for item in items} for items in (shift.left, shift.entered))
    known = {names[item] for item in removed}
    return _render(
        "what_if",
        style,
        removed=_names(catalogue, removed, style),
        left=_names(catalogue, [item for item in shift.left if names[item] not in come], style),
        entered=_names(catalogue, [item for item in shift.entered if names[item] not in gone | known], style),
        count=len(shift.before),
        reordered=shift.before != shift.after,
    )


def rests_on(catalogue: Catalogue, evidence: Evidence, style: Style) -> str:
    """Say which history items raise an item's score, and by how much the strongest of them does.

    A Shapley value is called so: it is a share of what the history adds, not what removing one item costs.
    """
    influences = evidence.influences
    return _render(
        "rests_on",
        style,
        influences=_names(catalogue, [influence.item for influence in influences], style),
        about=f'"{display_name(catalogue[evidence.item])}"',
        strongest=_names(catalogue, [influence.item for influence in influences[:1]], style),
        shapley=evidence.shapley,
        effect=f"{influences[0].effect:.2f}" if influences else "",
    )


def _change_text(catalogue: Catalogue, change: Change, style: Style) -> str:
    return _render(
        "change",
        style,
        removed=_names(catalogue, change.removed, style),
        many_removed=len(change.removed) > 1,
        added=_names(catalogue, change.added, style),
        many_added=len(change.added) > 1,
    )


def _names(catalogue: Catalogue, items: Sequence[int], style: Style) -> str:
    return enumeration([f'"{display_name(catalogue[item])}"' for item in items], style)


def _render(block: str, style: Style, **variables: object) -> str:
    """Render a block in the style's language, or in English where that language has no answers."""
    language = style.language if style.language in prompts.answer_languages() else "en"
    text = prompts.render_block(f"answers/{language}", block, **variables)
    is_part_of_a_sentence = block in ("barred", "change")
    return text if is_part_of_a_sentence else f"{text[:1].upper()}{text[1:]}"
