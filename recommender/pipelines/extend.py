"""New items for a trained model: encoded, given codes and rows that follow from their content, and ranked at once.

Nothing is trained. A new item's row leans towards those of the known items that it is most like, by its encoder vectors
and by its words, and not shrunk towards the mean as a regression's would be: what is close to the mean is never among
the best. A model that has met cold items in training (`cold_item_dropout`) adds to that what it has learned to read
from content alone; Gantner et al., "Learning attribute-to-feature mappings for cold-start recommendations", ICDM 2010,
name the problem.

How likely it is that anyone takes an item of which nothing but the content is known cannot be said, so how often new items
are shown is a calibrate_exposure, which whoever adds them decides: see `leaning.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recommender import assets
from recommender.baselines.content import tfidf
from recommender.config import Config, Modality
from recommender.data import standins
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.encoders.features import Features
from recommender.encoders.pipeline import encode_catalogue, reduce
from recommender.errors import DataError
from recommender.inference.item_bias import calibrate_exposure
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint, from_pretrained, known_items, resolve
from recommender.model.network import is_ours
from recommender.numerics.vectors import unit_rows
from recommender.pipelines.train import standin_folder
from recommender.progress import Progress
from recommender.semantic_ids import SemanticIds, join_modalities

logger = logging.getLogger(__name__)
CONTENT: tuple[Modality, ...] = ("text", "knowledge", "image", "audio")
NEIGHBOURS = 10
TEMPERATURE = 0.2
"""Ten neighbours, and how far likeness decides among them: chosen on films of MovieLens-100K, see eval/LOG.md."""


def load_extended(
    source: str | Path,
    items: str,
    progress: Progress | None = None,
    *,
    times: float = 2.0,
    interactions: str | None = None,
) -> Checkpoint:
    """Load a checkpoint and extend it to the items table `items`, which may be the one it was trained on, edited since.

    `times`: as often as one known item has a place in a list of ten, a new one has `times` as often. What lists look like
    is judged by the histories of `interactions`, by default those of the recipe, or, where they are not at hand, by
    histories of one item each. Raises CheckpointError, DataError, AssetError; a known item must have kept its title and
    attributes.
    """
    if times < 0:
        raise DataError(f"times is {times:g}, expected 0 or more", "1 lists a new item as often as a known one")
    table = Catalogue.load(items, Config.load(resolve(source) / "config.yaml").data.columns)
    known = _load_known(source, table, progress)
    extended = extend(known, table, items, progress)
    if extended.config.semantic_ids.levels == 1:
        fresh = np.array([item.item_id not in known.catalogue for item in table])
        histories = _histories(extended, interactions, fresh)
        share = calibrate_exposure(extended.model.eval(), extended.builder, histories, np.flatnonzero(fresh), times)
        extended.metrics["new_items_share"] = round(share, 4)
    return extended


def _load_known(source: str | Path, table: Catalogue, progress: Progress | None) -> Checkpoint:
    """Load a checkpoint whose items may stand in the table alone. Raises DataError if one is missing there."""
    ids = known_items(source)
    if ids is None:
        return from_pretrained(source, progress=progress)
    _all_there(ids, table)
    return from_pretrained(source, Catalogue(table[table.index(item_id)] for item_id in ids), progress)


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
    documents = [both.document(i) for both in (checkpoint.catalogue, later) for i in range(len(both))]
    likeness = torch.from_numpy(_likeness(features, documents, len(checkpoint.catalogue)))
    if not _met_cold_items(checkpoint.config):
        features = _with_expected_company(features, likeness)
    features = features.rounded()
    order = _order(checkpoint.catalogue, table)
    model = _grown(checkpoint, features, order, likeness, progress)
    config = checkpoint.config.updated({"data.items": source})
    metrics = {name: value for name, value in checkpoint.metrics.items() if name != "ranking"}
    return Checkpoint(model, checkpoint.tokenizer, table, config, metrics | {"extended_by": len(new)})


def _histories(extended: Checkpoint, interactions: str | None, fresh: np.ndarray) -> list[np.ndarray]:
    """Return histories without new items to judge lists by."""
    config = extended.config
    source = interactions or config.data.interactions
    if interactions is None and not (assets.is_embedded(source) or Path(source).exists()):
        logger.warning("%s is not here: what lists look like is judged by histories of one item each", source)
        return [np.array([item]) for item in np.flatnonzero(~fresh)]
    loaded = Histories.load(source, extended.catalogue, config.data.columns, config.data.minimum_rating)
    known = [own[~fresh[own]] for own in loaded.items]
    if not any(map(len, known)):
        raise DataError(f"{source}: holds no interaction with a known item, so no list can be judged", "name another")
    return [own for own in known if len(own)]


def _met_cold_items(config: Config) -> bool:
    ranked = [stage for stage in config.training.stages if stage.stage == "rank"]
    return config.semantic_ids.levels == 1 and any(stage.cold_item_dropout for stage in ranked)


def _all_there(ids: Sequence[str], table: Catalogue) -> None:
    gone = [item_id for item_id in ids if item_id not in table]
    if gone:
        raise DataError(
            f"the table lacks {len(gone)} of the model's items, first {gone[0]!r}",
            "leave them in, and exclude what is not to be recommended when asking",
        )


def _with_expected_company(features: Features, likeness: Tensor) -> Features:
    """Give new items the collaborative vectors that known items like them have, until they have their own."""
    if "collaborative" not in features.vectors:
        return features
    vectors, known = features.vectors["collaborative"], likeness.shape[1]
    expected = _of_alike(torch.from_numpy(vectors[:known]), likeness).numpy()
    return features.with_rows("collaborative", np.arange(known, len(vectors)), expected)


def _order(known: Catalogue, table: Catalogue) -> np.ndarray:
    """Return for each item of the table its place among the known items followed by the new ones."""
    fresh = iter(range(len(known), len(table)))
    return np.array([known.index(i.item_id) if i.item_id in known else next(fresh) for i in table], dtype=np.int64)


def _grown(
    checkpoint: Checkpoint, features: Features, order: np.ndarray, likeness: Tensor, progress: Progress | None
) -> RecommenderModel:
    """Return a model over all items in this order: trained parameters, and rows for the codes that are new."""
    old, config = checkpoint.model, checkpoint.config
    known = len(checkpoint.catalogue)
    fresh = features.take(np.arange(known, len(order)))
    ids = old.ids.with_new_items(join_modalities(fresh, config.semantic_ids.fusion, config.semantic_ids.weights))
    llm, _ = load_llm(config.base, progress)
    model = RecommenderModel(llm, ids, features, config)
    trained = dict(old.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_ours(name) and name != "rows":
                parameter.copy_(trained[name])
        model.rows.copy_(_rows(old, model.eval(), known, likeness))
    model.ids = SemanticIds(ids.codes[order], ids.sizes, ids.centroids)
    model.set_features(features.take(order))
    return model


def _rows(old: RecommenderModel, model: RecommenderModel, known: int, likeness: Tensor) -> Tensor:
    """Return the rows of all codes. Only the last level has new ones: see `SemanticIds.with_new_items`."""
    rows = torch.cat([old.rows, old.rows.new_zeros(len(model.rows) - len(old.rows), model.hidden_size)])
    added = slice(len(old.rows), None)
    if model.ids.levels > 1:  # what tells apart items of the same codes means nothing: as good as any
        rows[added] = old.rows[int(old.offsets[-2]) :].mean(0)
        return rows
    model.rows.copy_(rows)
    whole = model.item_embeddings(torch.arange(known, device=rows.device))[0]
    lacking = model.item_embeddings(torch.arange(known, len(model.codes), device=rows.device))[0]
    towards = _towards_alike(whole, likeness)
    rows[added] = towards if _met_cold_items(model.config) else whole.mean(0) + towards - lacking
    return rows


def _towards_alike(whole: Tensor, likeness: Tensor) -> Tensor:
    """Return for each new item what known ones [known, hidden] like it have that others have not, [new, hidden].

    As long as a known item's own distance from the mean is on average.
    """
    apart = whole - whole.mean(0)
    return nn.functional.normalize(_of_alike(apart, likeness)) * apart.norm(dim=1).mean()


def _of_alike(values: Tensor, likeness: Tensor) -> Tensor:
    """Return the mean of `values` [known, width] over the known items most like each new one, [new, width]."""
    best = likeness.to(values.device).topk(min(NEIGHBOURS, likeness.shape[1]))
    return (torch.softmax(best.values / TEMPERATURE, dim=1)[..., None] * values[best.indices]).sum(1)


def _likeness(features: Features, documents: Sequence[str], known: int) -> np.ndarray:
    """Return how like new items are to known ones, float32 [new, known]: cosines of encoder vectors and of TF-IDF, added."""
    vectors, words = unit_rows(_content(features)), tfidf(documents)
    return np.asarray(vectors[known:] @ vectors[:known].T + (words[known:] @ words[:known].T).toarray(), np.float32)


def _content(features: Features) -> np.ndarray:
    content = {m: v for m, v in features.vectors.items() if m in CONTENT}
    if not content:
        raise DataError("the model has no encoder of content, so nothing is known of a new item", "train it again")
    return join_modalities(replace(features, vectors=content, present={m: features.present[m] for m in content}))
