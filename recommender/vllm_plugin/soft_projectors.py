"""Projectors of a served folder, and what they make of vectors that a request brings for an item that is one position.

The model in vLLM's worker and the route in vLLM's server both ask: the one reads such an item, the other tells the memory of
transitions, which reads items without the layers.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from recommender.adapters.projectors import Projector
from recommender.vllm_plugin.soft_tokens import SoftFacts

PROJECTORS_FILE = "projectors.safetensors"
_HEAD = "projectors."


def make_projectors(facts: SoftFacts, hidden: int) -> nn.ModuleDict:
    """Return untrained projectors into the space of a base with states of size `hidden`, one for each kind."""
    kinds = facts.soft.items()
    return nn.ModuleDict(
        {kind: Projector(width, hidden, facts.tokens, 1.0, facts.parts.get(kind, 1)) for kind, width in kinds}
    )


def load_projectors(folder: str | Path, facts: SoftFacts) -> tuple[nn.ModuleDict, Tensor]:
    """Return the projectors that an exported folder has, and the centre [hidden] that soft tokens lie around."""
    weights = load_file(Path(folder) / PROJECTORS_FILE)
    projectors = make_projectors(facts, len(weights["centre"]))
    projectors.load_state_dict({n.removeprefix(_HEAD): w for n, w in weights.items() if n.startswith(_HEAD)})
    return projectors.eval(), weights["centre"]


def item_changes(projectors: nn.ModuleDict, facts: SoftFacts, pairs: Tensor) -> Tensor:
    """Return what other vectors of items add to the vectors of these items [n, hidden], before any scale.

    `pairs` [n, 2, widths]: new vectors and old ones of all kinds, each followed by 1 if there is one, else by 0.
    """
    changes, start = [], 0
    for kind, width in facts.soft.items():
        projector = projectors[kind]
        assert isinstance(projector, Projector)
        typed = pairs[..., start : start + width].to(projector.null.dtype)
        present = pairs[..., start + width] > 0
        new, old = (projector(typed[:, which], present[:, which]) for which in (0, 1))
        changes.append(projector.as_position(new - old))
        start += width + 1
    total: Tensor = sum(changes[1:], changes[0])
    return total
