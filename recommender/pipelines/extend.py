"""Adds new items to a trained model: encodes them and derives their codes and rows from their content.

Nothing is trained. A new item's row is a weighted mean of the rows of the most similar known items, by encoder vectors and
by words, scaled to the length of a known item's: a regression would shrink it towards the mean, and items close to the mean
are never listed. A model trained with `cold_item_dropout` adds what it has learned to read from content alone. For the
problem see Gantner et al., "Learning attribute-to-feature mappings for cold-start recommendations", ICDM 2010.

The popularity of a new item cannot be derived from its content, so how often new items are listed is calibrated to a
factor that the caller gives: see `inference/item_bias.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recommender import assets
from recommender.config import Config, Modality
from recommender.data import standins
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.encoders.broken_media import without_broken_media
from recommender.encoders.features import Features
from recommender.encoders.imputation import impute
from recommender.encoders.labels import label_media
from recommender.encoders.pipeline import encode_catalogue, reduce
from recommender.errors import DataError
from recommender.inference.item_bias import calibrate_exposure
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint, from_pretrained, item_ids_of, resolve
from recommender.model.network import is_adapter_parameter
from recommender.pipelines.extend_listening import carry_listener
from recommender.pipelines.extend_vectors import check_known_vectors, encoders_of_new, with_vectors
from recommender.pipelines.similar_items import content_similarity, mean_of_similar, offsets_of_similar
from recommender.pipelines.train import standin_folder
from recommender.progress import Progress
from recommender.semantic_ids import SemanticIds, join_modalities

logger = logging.getLogger(__name__)


def load_extended(
    source: str | Path,
    items: str,
    progress: Progress | None = None,
    *,
    times: float = 2.0,
    interactions: str | None = None,
    vectors: Mapping[Modality, str] | None = None,
) -> Checkpoint:
    """Load a checkpoint and extend it to the items table `items`, for example its own table with rows added.

    `times`: how often a new item is in a list of ten, relative to a known one. This is measured on the histories of
    `interactions`, by default those of the recipe, or, where they are missing, on histories of one item each. Known items
    must have the same titles and attributes. `vectors`: modality -> the file that holds the new items' vectors, of a model
    that was trained on given ones; default: the files of its config. Raises CheckpointError, ConfigError,
    DataError, AssetError.
    """
    if times < 0:
        raise DataError(f"times is {times:g}, expected 0 or more", "1 lists a new item as often as a known one")
    # media of known items may be gone since: their vectors are in the checkpoint
    known_ids = frozenset(item_ids_of(source) or ())
    config = Config.load(resolve(source) / "config.yaml")
    table = Catalogue.load(items, config.data, encoded=known_ids)
    table = without_broken_media(table, config, progress, known_ids)
    known = with_vectors(_load_known(source, table, progress), vectors or {})
    extended = extend(known, table, items, progress)
    if extended.config.semantic_ids.levels == 1:
        is_new = np.array([item.item_id not in known.catalogue for item in table])
        histories = _histories_of_known(extended, interactions, is_new)
        share = calibrate_exposure(extended.model.eval(), extended.builder, histories, np.flatnonzero(is_new), times)
        extended.metrics["new_items_share"] = round(share, 4)
    return extended


def _load_known(source: str | Path, table: Catalogue, progress: Progress | None) -> Checkpoint:
    """Load a checkpoint with its items from the table. Raises DataError if one is missing there."""
    ids = item_ids_of(source)
    if ids is None:
        return from_pretrained(source, progress=progress)
    _check_complete(ids, table)
    return from_pretrained(source, Catalogue(table[table.index(item_id)] for item_id in ids), progress)


def extend(checkpoint: Checkpoint, table: Catalogue, source: str, progress: Progress | None = None) -> Checkpoint:
    """Return a checkpoint for `table`, which holds the known items and new ones in any order.

    Known items keep their codes and rows. `source`: the path of the table, for the new checkpoint's config. Raises
    DataError if a known item is missing or none is new, and the errors of encoding.
    """
    new = [item for item in table if item.item_id not in checkpoint.catalogue]
    _check_complete(checkpoint.catalogue.item_ids, table)
    if not new:
        raise DataError("the table holds no item that the model does not know", "add the new items to it")
    new_catalogue = Catalogue(new)
    if checkpoint.config.data.standin_media:
        new_catalogue = standins.make_standins(new_catalogue, standin_folder(new_catalogue), progress)
    check_known_vectors(checkpoint)
    raw = encode_catalogue(new_catalogue, encoders_of_new(checkpoint.config.encoders, new_catalogue), progress)
    known = len(checkpoint.catalogue)
    features = checkpoint.model.features.append(reduce(raw, checkpoint.model.features.reductions))
    features = impute(features, checkpoint.config.encoders, first=known)
    documents = [part.document(i) for part in (checkpoint.catalogue, new_catalogue) for i in range(len(part))]
    similarity = torch.from_numpy(content_similarity(features, documents, known))
    if not _trained_with_cold_items(checkpoint.config):
        features = _with_estimated_collaborative(features, similarity)
    features = features.rounded()
    order = _order(checkpoint.catalogue, table)
    model = _extended_model(checkpoint, features, order, similarity, progress)
    carry_listener(checkpoint, model, table, order, similarity, progress)
    config = checkpoint.config.updated({"data.items": source})
    metrics = {name: value for name, value in checkpoint.metrics.items() if name != "ranking"}
    metrics |= {"extended_by": metrics.get("extended_by", 0) + len(new)}
    # how it was trained stays true of it: on which prompts, on which interactions
    trained_on = None if checkpoint.trained_on is None else checkpoint.trained_on.reordered(order)
    trained = checkpoint.prompts, trained_on
    companions = checkpoint.companions.reordered(order) if checkpoint.companions is not None else None
    labels = checkpoint.labels
    if labels is not None:
        labels = labels.append(label_media(new_catalogue, config.encoders, progress), len(new)).take(order)
    return Checkpoint(model, checkpoint.tokenizer, table, config, metrics, *trained, companions, labels)


def _histories_of_known(extended: Checkpoint, interactions: str | None, is_new: np.ndarray) -> list[np.ndarray]:
    """Return histories without new items, on which lists are measured."""
    config = extended.config
    source = interactions or config.data.interactions
    if interactions is None and config.training.privacy is not None:
        logger.warning(
            "the model is private: lists are measured on histories of one item each, not on those of its users"
        )
        return [np.array([item]) for item in np.flatnonzero(~is_new)]
    if interactions is None and not (assets.is_embedded(source) or Path(source).exists()):
        logger.warning("%s is missing: lists are measured on histories of one item each", source)
        return [np.array([item]) for item in np.flatnonzero(~is_new)]
    loaded = Histories.load(source, extended.catalogue, config.data, config.data.minimum_rating)
    histories = [items[~is_new[items]] for items in loaded.items]
    if not any(map(len, histories)):
        raise DataError(f"{source}: holds no interaction with a known item, so no list can be measured", "name another")
    return [items for items in histories if len(items)]


def _trained_with_cold_items(config: Config) -> bool:
    stages = [stage for stage in config.training.stages if stage.stage == "rank"]
    return config.semantic_ids.levels == 1 and any(stage.cold_item_dropout for stage in stages)


def _check_complete(ids: Sequence[str], table: Catalogue) -> None:
    missing = [item_id for item_id in ids if item_id not in table]
    if missing:
        raise DataError(
            f"the table lacks {len(missing)} of the model's items, first {missing[0]!r}",
            "leave them in, and exclude what is not to be recommended in the request",
        )


def _with_estimated_collaborative(features: Features, similarity: Tensor) -> Features:
    """Give new items the mean collaborative vector of the known items most like them."""
    if "collaborative" not in features.vectors:
        return features
    vectors, known = features.table("collaborative"), similarity.shape[1]
    # all of them, unless vectors were given, or imputed
    lacking = np.flatnonzero(~features.usable("collaborative")[known:])
    estimated = mean_of_similar(torch.from_numpy(vectors[:known]), similarity[lacking]).numpy()
    return features.with_rows("collaborative", known + lacking, estimated)


def _order(known: Catalogue, table: Catalogue) -> np.ndarray:
    """Return for each item of the table its index among the known items followed by the new ones."""
    new = iter(range(len(known), len(table)))
    return np.array([known.index(i.item_id) if i.item_id in known else next(new) for i in table], dtype=np.int64)


def _extended_model(
    checkpoint: Checkpoint, features: Features, order: np.ndarray, similarity: Tensor, progress: Progress | None
) -> RecommenderModel:
    """Return a model over all items in this order: trained parameters, and rows for the codes that are new."""
    old, config = checkpoint.model, checkpoint.config
    known = len(checkpoint.catalogue)
    new = features.take(np.arange(known, len(order)))
    ids = old.ids.with_new_items(join_modalities(new, config.semantic_ids.fusion, config.semantic_ids.weights))
    llm, _ = load_llm(config.base, progress)
    model = RecommenderModel(llm, ids, features, config)
    trained = dict(old.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_adapter_parameter(name) and name != "rows":
                parameter.copy_(trained[name])
        model.rows.copy_(_rows(old, model.eval(), known, similarity))
    model.ids = SemanticIds(ids.codes[order], ids.sizes, ids.centroids)
    model.set_features(features.take(order))
    return model


def _rows(old: RecommenderModel, model: RecommenderModel, known: int, similarity: Tensor) -> Tensor:
    """Return the rows of all codes. Only the last level has new ones: see `SemanticIds.with_new_items`."""
    rows = torch.cat([old.rows, old.rows.new_zeros(len(model.rows) - len(old.rows), model.hidden_size)])
    added = slice(len(old.rows), None)
    if model.ids.levels > 1:  # the last code only distinguishes items that share the others: it has no meaning
        rows[added] = old.rows[int(old.offsets[-2]) :].mean(0)
        return rows
    model.rows.copy_(rows)
    known_embeddings = model.embeddings(torch.arange(known, device=model.device))
    without_rows = model.embeddings(torch.arange(known, len(model.codes), device=model.device))
    offsets = offsets_of_similar(known_embeddings, similarity)
    if _trained_with_cold_items(model.config):
        rows[added] = offsets
    else:
        rows[added] = known_embeddings.mean(0) + offsets - without_rows
    return rows
