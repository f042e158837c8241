"""The model card: what a checkpoint is, what it was made from, and how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from recommender.config import Config

_MOVIELENS = "MovieLens: research, non-commercial, no redistribution (GroupLens)"
TERMS = {
    "movielens-100k": _MOVIELENS,
    "ml1m/interactions.csv": f"{_MOVIELENS}; posters and plots belong to their owners",
}
_TEMPLATE = Path(__file__).with_name("card.jinja")


def write_card(path: Path, config: Config, metrics: dict[str, Any], items: int) -> None:
    """Write the card of a checkpoint with `items` items to `path`."""
    template = Environment(undefined=StrictUndefined, autoescape=False).from_string(
        _TEMPLATE.read_text(encoding="utf-8")
    )
    codes = "one token an item" if config.semantic_ids.levels == 1 else f"{config.semantic_ids.levels} k-means levels"
    name = metrics.get("name", "recommender")
    text = template.render(
        title=name,
        path=metrics.get("path", name),
        recipe=metrics.get("recipe", "FILE"),
        base=config.base.llm,
        noun=config.prompt.noun,
        layers=config.base.rank_layers,
        items=items,
        data=config.data,
        encoders=config.encoders,
        codes=codes,
        seed=config.seed,
        terms=TERMS.get(config.data.interactions, "the user's own"),
        stages=metrics.get("stages", []),
        ranking=metrics.get("ranking"),
    )
    path.write_text(text + "\n", encoding="utf-8")
