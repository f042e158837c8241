"""The model card: what a checkpoint is, what it was made from, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from recommender.config import Config, EncodersConfig, Modality

_MOVIELENS = "MovieLens: research, non-commercial, no redistribution (GroupLens)"
TERMS = {
    "movielens-100k": _MOVIELENS,
    "ml1m/interactions.csv": f"{_MOVIELENS}; posters and plots belong to their owners",
}
#: the key of metrics.json under which it stands how many media have a sure label
LABELS = "labels"
#: the key under which it stands what a training with noise keeps private, and what that cost
PRIVACY = "privacy"
#: the key under which it stands how somebody is forgotten
FORGETTING = "forgetting"
#: the key under which it stands of which checkpoint this one is a smaller copy
SHRUNK = "shrunk"
#: the key, in what is told of a stage, of the command that trained it apart from the others
APART = "apart"
#: the key of the latest time of what a checkpoint learned, as its table has times
UNTIL = "until"
_TEMPLATE = Path(__file__).with_name("card.jinja")


def write_card(
    path: Path, config: Config, metrics: dict[str, Any], items: int, encoded: Mapping[str, int] | None = None
) -> None:
    """Write the card of a checkpoint with `items` items to `path`; `encoded`: modality -> items that have it, if known."""
    template = Environment(undefined=StrictUndefined, autoescape=False).from_string(
        _TEMPLATE.read_text(encoding="utf-8")
    )
    codes = "one token an item" if config.semantic_ids.levels == 1 else f"{config.semantic_ids.levels} k-means levels"
    name = metrics.get("name", "recommender")
    stages = [{APART: None} | stage for stage in metrics.get("stages", [])]
    text = template.render(
        title=name,
        path=metrics.get("path", name),
        recipe=metrics.get("recipe", "FILE"),
        base=config.base.llm,
        noun=config.prompt.noun,
        layers=config.base.rank_layers,
        items=items,
        extended_by=metrics.get("extended_by", 0),
        fused_with=metrics.get("fused_with"),
        data=config.data,
        encoders=_encoders(config.encoders, encoded, items),
        labels=metrics.get(LABELS),
        privacy=metrics.get(PRIVACY),
        forgetting=metrics.get(FORGETTING),
        shrunk=metrics.get(SHRUNK),
        codes=codes,
        seed=config.seed,
        terms=TERMS.get(config.data.interactions, "the user's own"),
        stages=stages,
        apart=any(stage.get(APART) for stage in stages),
        ranking=metrics.get("ranking"),
    )
    path.write_text(text + "\n", encoding="utf-8")


def _encoders(config: EncodersConfig, encoded: Mapping[str, int] | None, items: int) -> str:
    """Return in words what was read of the items, and by what; `encoded`: modality -> items that have it, if known."""
    given = config.given
    modalities: tuple[Modality, ...] = ("text", "knowledge", "image", "audio")
    names = {m: "vectors of a file" if m in given else config.named(m) for m in modalities}
    parts = []
    for modality, name in names.items():
        count = None if encoded is None else encoded.get(modality, 0)
        if name is not None and count != 0:
            called = name if modality in given else f"`{name}`"
            parts.append(f"{modality} {called}{'' if count in (None, items) else f' ({count} of {items} items)'}")
    if config.collaborative_width:
        made = " of a file" if config.collaborative else ""
        parts.append(f"collaborative vectors{made} of width {config.collaborative_width}")
    idle: list[str] = [
        m for m, name in names.items() if name is not None and encoded is not None and not encoded.get(m)
    ]
    without = f"; no item has {' or '.join(idle)}" if idle else ""
    return (", ".join(parts) or "none") + without
