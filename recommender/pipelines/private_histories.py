"""Histories that stand for those of people: drawn from noisy transitions, and told with a promise to each of them.

Whatever is trained on them afterwards, teachers, fused baselines and early stopping included, keeps the promise.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.errors import ConfigError, DataError
from recommender.files import write_together
from recommender.pipelines.left_out import NamedStore
from recommender.pipelines.private import DRAWN, PROMISE
from recommender.pipelines.train import load_histories
from recommender.progress import Progress
from recommender.training.accounting import Mechanism, epsilon_of, noise_for
from recommender.training.private_plan import delta_of
from recommender.training.private_transitions import attribute_directions, cleaned, transition_sums, with_noise
from recommender.training.synthetic_histories import draw_histories

RECIPE = "recipe.yaml"
MECHANISM = (
    "Gaussian noise on the sum of the users' transitions, each user's of a norm of 1, from which histories were drawn"
)
#: a table of all pairs of items is held some times over, 1.6 GB each at this number
MOST_ITEMS = 20_000


@dataclass(frozen=True)
class PrivateOptions:
    """The promise, and what is drawn. `delta`: by default a tenth of 1 / users. `held_out`: how many of each user's last
    interactions are not read. `histories`: how many are drawn, by default as many as there are users; `length`: of each.
    `seed`: makes it repeatable, and whoever knows it can take the noise off; by default the system draws one."""

    epsilon: float
    delta: float | None = None
    held_out: int = 2
    histories: int | None = None
    length: int = 60
    seed: int | None = None


def write_private_histories(
    config: Config,
    options: PrivateOptions,
    output: Path,
    progress: Progress | None = None,
    store: NamedStore | None = None,
) -> dict[str, Any]:
    """Draw histories from the tables of a recipe, write them, the promise and a recipe into a folder; return the promise.

    Raises DataError for tables that cannot be read, more than `MOST_ITEMS` items, or people with too few interactions;
    ConfigError for an epsilon or delta that protects nobody; RecommenderError without the extra `privacy`.
    """
    catalogue = Catalogue.load(config.data.items, config.data, media=False)
    if len(catalogue) > MOST_ITEMS:
        raise DataError(
            f"{config.data.items}: {len(catalogue)} items; all pairs are counted, of {MOST_ITEMS} at most",
            "leave out those that nearly nobody had",
        )
    if not 0 < options.epsilon < math.inf:
        raise ConfigError(f"--epsilon is {options.epsilon:g}: a number above 0 is expected", "8 is weak, 1 strong")
    known = _known(load_histories(config, catalogue, store), options.held_out)
    delta = delta_of(options.delta, len(known), "--delta")
    mechanism = Mechanism(rate=1.0, steps=1)
    noise = noise_for(mechanism, options.epsilon, delta)
    random = np.random.default_rng(secrets.randbits(256) if options.seed is None else options.seed)
    sums = transition_sums(known, len(catalogue), progress, len(known))
    directions = attribute_directions([_values_of(item.attributes) for item in catalogue])
    transitions = cleaned(with_noise(sums, noise, random), noise, directions)
    del sums
    count, length = options.histories or len(known), min(options.length, len(catalogue))
    drawn = draw_histories(transitions, count, length, random, progress)
    table = _table_of(drawn, catalogue)
    promise = {
        "epsilon": round(epsilon_of(mechanism, noise, delta, options.epsilon), 4),
        "delta": delta,
        "unit": "user",
        "neighbours": "one user's whole history added or removed",
        "mechanism": MECHANISM,
        "users": len(known),
        "noise_multiplier": round(noise, 4),
        "max_norm": 1.0,
        "histories": count,
        "length": length,
        "held_out": options.held_out,
        "repeatable": options.seed is not None,
        "sha256": hashlib.sha256(table).hexdigest(),
    }
    recipe = _recipe(config, output / DRAWN).to_yaml()
    told = (json.dumps(promise, indent=1) + "\n").encode()
    write_together(output, {DRAWN: table, PROMISE: told, RECIPE: recipe.encode()})
    return promise


def _known(histories: Histories, held_out: int) -> list[np.ndarray]:
    """Return what is read of each user. Raises DataError if nobody has two interactions left."""
    known = [np.asarray(items)[: max(len(items) - held_out, 0)] for items in histories.items]
    if not any(len(items) > 1 for items in known):
        raise DataError(
            f"no user has two interactions before the last {held_out}", "lower --held-out, or give longer histories"
        )
    return known


def _values_of(attributes: Mapping[str, Sequence[str]]) -> list[str]:
    return [value for values in attributes.values() for value in values]


def _table_of(drawn: np.ndarray, catalogue: Catalogue) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("user_id", "item_id", "position"))
    for number, history in enumerate(drawn.tolist()):
        writer.writerows((f"drawn-{number}", catalogue.item_ids[item], place) for place, item in enumerate(history))
    return text.getvalue().encode()


def _recipe(config: Config, table: Path) -> Config:
    """Return the recipe with the drawn histories in place of people's, and without a privacy that is not needed any more."""
    columns = {f"data.columns.{name}": name for name in ("user_id", "item_id", "timestamp", "position", "rating")}
    whole: dict[str, Any] = {"data.minimum_rating": None, "data.users": None, "data.interactions_table": {}}
    whole["training.privacy"] = None
    return config.updated({**columns, **whole, "data.interactions": str(table)}, "private-histories")
