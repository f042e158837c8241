"""New items for a trained model: encoded, given codes and rows that follow from their content, and ranked at once.

Nothing is trained. A model that has met newcomers in training (`newcomer_share`) takes a new item as it took those: its
content alone. For any other, a new item's embedding is what a ridge regression over the known items expects of its content,
as in Gantner et al., "Learning attribute-to-feature mappings for cold-start recommendations", ICDM 2010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import RidgeCV

from recommender import standins
from recommender.catalogue import Catalogue
from recommender.config import Config, Modality
from recommender.encoders.features import Features
from recommender.encoders.pipeline import encode_catalogue, reduce
from recommender.errors import DataError
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint, from_pretrained, known_items, resolve
from recommender.model.network import is_ours
from recommender.progress import Progress
from recommender.recipe import standin_folder
from recommender.semantic_ids import SemanticIds, fuse

CONTENT: tuple[Modality, ...] = ("text", "image", "audio")
PENALTIES = np.logspace(-2, 3, 11)


def load_extended(source: str | Path, items: str, progress: Progress | None = None) -> Checkpoint:
    """Load a checkpoint and extend it to the items table `items`, which may be the one it was trained on, edited since.

    Raises CheckpointError, DataError, AssetError; a known item must have kept its title and attributes.
    """
    config = Config.load(resolve(source) / "config.yaml")
    table = Catalogue.load(items, config.data.columns)
    ids = known_items(source)
    if ids is None:
        return extend(from_pretrained(source, progress=progress), table, items, progress)
    _all_there(ids, table)
    known = Catalogue(table[table.index(item_id)] for item_id in ids)
    return extend(from_pretrained(source, known, progress), table, items, progress)


def extend(checkpoint: Checkpoint, table: Catalogue, source: str, progress: Progress | None = None) -> Checkpoint:
    """Return a checkpoint for `table`, which holds the known items and new ones in any order.

    Known items keep codes and rows, whatever their place. `source`: where the table lies, for the new checkpoint's
    config. Raises DataError if a known item is missing or none is new, and whatever encoding raises.
    """
    new = [item for item in table if item.item_id not in checkpoint.catalogue]
    _all_there(checkpoint.catalogue.item_ids, table)
    if not new:
        raise DataError("the table holds no item that the model does not know", "add the new items to it")
    later = Catalogue(new)
    if checkpoint.config.data.standin_media:
        later = standins.make_standins(later, standin_folder(later), progress)
    raw = encode_catalogue(later, checkpoint.config.encoders, progress)
    features = checkpoint.model.features.append(reduce(raw, checkpoint.model.features.reductions))
    if not _met_newcomers(checkpoint.config):
        features = _with_expected_company(features, len(checkpoint.catalogue))
    features = features.rounded()
    order = _order(checkpoint.catalogue, table)
    model = _grown(checkpoint, features, order, progress)
    config = checkpoint.config.updated({"data.items": source})
    metrics = {name: value for name, value in checkpoint.metrics.items() if name != "ranking"}
    return Checkpoint(model, checkpoint.tokenizer, table, config, metrics | {"extended_by": len(new)})


def _met_newcomers(config: Config) -> bool:
    ranked = [stage for stage in config.training.stages if stage.stage == "rank"]
    return config.semantic_ids.levels == 1 and any(stage.newcomer_share for stage in ranked)


def _all_there(ids: Sequence[str], table: Catalogue) -> None:
    gone = [item_id for item_id in ids if item_id not in table]
    if gone:
        raise DataError(
            f"the table lacks {len(gone)} of the model's items, first {gone[0]!r}",
            "leave them in, and exclude what is not to be recommended when asking",
        )


def _with_expected_company(features: Features, known: int) -> Features:
    """Give new items the collaborative vectors that known items of like content have, until they have their own."""
    if "collaborative" not in features.vectors:
        return features
    having = np.flatnonzero(features.present["collaborative"][:known])
    if not len(having):
        return features
    new = np.arange(known, len(features.present["collaborative"]))
    return features.with_rows("collaborative", new, _expected(features, having, features.vectors["collaborative"], new))


def _order(known: Catalogue, table: Catalogue) -> np.ndarray:
    """Return for each item of the table its place among the known items followed by the new ones."""
    fresh = iter(range(len(known), len(table)))
    return np.array([known.index(i.item_id) if i.item_id in known else next(fresh) for i in table], dtype=np.int64)


def _grown(
    checkpoint: Checkpoint, features: Features, order: np.ndarray, progress: Progress | None
) -> RecommenderModel:
    """Return a model over all items in this order: trained parameters, and rows for the codes that are new."""
    old, config = checkpoint.model, checkpoint.config
    known = len(checkpoint.catalogue)
    fresh = features.take(np.arange(known, len(order)))
    ids = old.ids.with_new_items(fuse(fresh, config.semantic_ids.fusion, config.semantic_ids.weights))
    llm, _ = load_llm(config.base, progress)
    model = RecommenderModel(llm, ids, features, config)
    trained = dict(old.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_ours(name) and name != "rows":
                parameter.copy_(trained[name])
        model.rows.copy_(_rows(old, model.eval(), known))
    model.ids = SemanticIds(ids.codes[order], ids.sizes, ids.centroids)
    model.set_features(features.take(order))
    return model


def _rows(old: RecommenderModel, model: RecommenderModel, known: int) -> torch.Tensor:
    """Return the rows of all codes. Only the last level has new ones: see `SemanticIds.with_new_items`."""
    rows = torch.cat([old.rows, old.rows.new_zeros(len(model.rows) - len(old.rows), model.hidden_size)])
    added = slice(len(old.rows), None)
    if model.ids.levels > 1:  # what tells apart items of the same codes means nothing: as good as any
        rows[added] = old.rows[int(old.offsets[-2]) :].mean(0)
        return rows
    if _met_newcomers(model.config):
        return rows
    model.rows.copy_(rows)
    lacking = model.item_embeddings(torch.arange(known, len(model.codes), device=rows.device))[0]
    whole = model.item_embeddings(torch.arange(known, device=rows.device))[0].cpu().numpy()
    expected = _expected(model.features, np.arange(known), whole, np.arange(known, len(model.codes)))
    rows[added] = torch.from_numpy(expected).to(rows.device) - lacking
    return rows


def _expected(features: Features, having: np.ndarray, values: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return the `values` [items, width] that items `new` should have, judging by the content of those `having` them."""
    inputs = _content(features)
    return RidgeCV(PENALTIES).fit(inputs[having], values[having]).predict(inputs[new]).astype(np.float32)


def _content(features: Features) -> np.ndarray:
    content = {m: v for m, v in features.vectors.items() if m in CONTENT}
    if not content:
        raise DataError("the model has no encoder of content, so nothing is known of a new item", "train it again")
    return fuse(replace(features, vectors=content, present={m: features.present[m] for m in content}))
