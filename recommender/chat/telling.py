"""What a reply says beside its list: what was understood, what was left out, and what else is to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recommender.chat.dialogue_state import DialogueState
from recommender.chat.domains import masks_of
from recommender.chat.reader import Fact, Reading
from recommender.data.catalogue import Catalogue
from recommender.justify.item_names import display_name

#: names of each kind in the line of what was understood
_NAMED = 4


def understood_line(catalogue: Catalogue, state: DialogueState, reading: Reading) -> str:
    """Return one line of what was understood, so that a wrong reading is seen and can be corrected; "" for nothing."""
    parts = []
    if liked := _names(catalogue, reading.history):
        parts.append(f"you know or like {liked}")
    if similar := _names(catalogue, state.anchors):
        parts.append(f"like {similar}")
    if disliked := _names(catalogue, reading.dislikes):
        parts.append(f"nothing like {disliked}")
    said = replace(state, domains=()) if state.usual else state
    parts += [constraint for constraint, _ in said.parts()]
    if wishes := _values(state.toward):
        parts.append(f"rather {wishes}")
    parts += [f"{mood}" for mood in state.moods]
    return f"Understood: {'; '.join(parts)}." if parts else ""


def relaxed(catalogue: Catalogue, state: DialogueState) -> tuple[DialogueState, tuple[str, ...]]:
    """Return a state that something meets, and in words the constraints that were left out for that.

    Left out is what leaves most, one constraint after the other, and at last that what was shown before is not shown again.
    Of several domains each is to have something.
    """
    dropped: list[str] = []
    unseen = np.ones(len(catalogue), bool)
    unseen[list(state.history)] = False
    several = masks_of(catalogue, state.domains) if len(state.domains) > 1 else [np.ones(len(catalogue), bool)]
    wanted = [unseen & domain for domain in several if len(several) == 1 or (unseen & domain).any()]
    while lacking := [domain for domain in wanted if not (state.allowed(catalogue) & domain).any()]:
        options = [
            (int((other.allowed(catalogue) & lacking[0]).sum()), words, other)
            for words, other in state.parts()
            if other.domains or not state.domains
        ] or [(0, words, other) for words, other in state.parts()]
        if not options:
            break
        _, words, state = max(options, key=lambda option: option[0])
        dropped.append(words)
    return state, tuple(dropped)


def dropped_note(dropped: Sequence[str], kept: Sequence[str], noun: str) -> str:
    """Say what was left out of what was asked for."""
    left_out = " and ".join(f'"{words}"' for words in dropped)
    if not kept:
        return f"None of the {noun} here is that, so I left out {left_out}."
    return f"None of the {noun} here meets all of that, so I left out {left_out}."


def _names(catalogue: Catalogue, items: Sequence[int]) -> str:
    names = [f'"{display_name(catalogue[item])}"' for item in items[:_NAMED]]
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return f"{' and '.join(names)}{more}"


def _values(groups: Sequence[Sequence[Fact]]) -> str:
    return ", ".join(dict.fromkeys(group[0][1] for group in groups[:_NAMED]))
