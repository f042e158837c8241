"""One engine with other weights in its fusion, as an arm of an experiment has it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields, replace

from recommender.baselines.fusion.stored import LANGUAGE_MODEL, StoredFusion
from recommender.engine.engine import Engine
from recommender.engine.setup import EngineSetup
from recommender.errors import ConfigError, did_you_mean


def check_factors(engine: Engine, factors: Mapping[str, float]) -> None:
    """Raise ConfigError for factors on scorers that an engine's fusion has not."""
    if engine.fusion is None:
        raise ConfigError("the checkpoint holds nothing to fuse with", "give it some: recommender fuse")
    for name in factors:
        if name not in engine.fusion.weights:
            known = list(engine.fusion.weights)
            raise ConfigError(
                f"fusion: no scorer {name!r}", did_you_mean(name, known) or f"there are {', '.join(known)}"
            )


def reweighted(fusion: StoredFusion, factors: Mapping[str, float]) -> StoredFusion:
    """Return a fusion with its weights times factors; a baseline with factor 0 is left out, unless a gate asks it, too."""
    weights = {
        name: (a * factors.get(name, 1.0), b * factors.get(name, 1.0)) for name, (a, b) in fusion.weights.items()
    }
    if fusion.gate is not None:  # whether scorers agree depends on all of them
        return StoredFusion(fusion.baselines, weights, fusion.gate.scaled(factors))
    kept = {name: baseline for name, baseline in fusion.baselines.items() if any(weights[name])}
    return StoredFusion(kept, {name: weights[name] for name in (LANGUAGE_MODEL, *kept)})


class FusionVariant:
    """An engine that ranks with other fusion weights; it follows what changes in the one that it is of."""

    def __init__(self, engine: Engine, factors: Mapping[str, float]) -> None:
        """`factors`: scorer -> factor. Raises ConfigError for scorers that there are not."""
        check_factors(engine, factors)
        self._engine, self._factors = engine, dict(factors)
        self._made: tuple[EngineSetup, Engine] | None = None

    def __call__(self) -> Engine:
        """Return the engine, the same one as long as nothing changed."""
        now = self._engine.setup
        if self._made is None or not _same(self._made[0], now):
            assert now.fusion is not None
            variant = copy.copy(self._engine)
            variant.setup = replace(now, fusion=reweighted(now.fusion, self._factors))
            variant._bind()
            self._made = replace(now), variant
        return self._made[1]


def _same(one: EngineSetup, other: EngineSetup) -> bool:
    return all(getattr(one, field.name) is getattr(other, field.name) for field in fields(EngineSetup))
