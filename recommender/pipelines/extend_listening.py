"""What listens to conversations, and how it was tuned, over a catalogue with new items: nothing is trained.

A listener scores items by what is known of them, so a new item needs its content only, read as that of the known ones was.
How popular it will be nobody knows: its bias, and what tuned weights know of it, are those of the known items most like it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recommender.conversations.company import Company
from recommender.conversations.taste import Taste
from recommender.conversations.tuned import TUNED, Tuned
from recommender.data.catalogue import Catalogue
from recommender.encoders.text import TextEncoder
from recommender.errors import CheckpointError
from recommender.model import RecommenderModel
from recommender.model.checkpoint import Checkpoint, item_ids_of
from recommender.model.listening import Listener
from recommender.model.network import is_listening_parameter
from recommender.numerics.vectors import unit_rows
from recommender.pipelines.listening_data import TEACH, read_texts_of, text_vectors
from recommender.pipelines.similar_items import content_similarity, mean_of_similar
from recommender.progress import Progress

_BIAS = "listener.bias"


def carry_listener(
    former: Checkpoint,
    model: RecommenderModel,
    table: Catalogue,
    order: np.ndarray,
    similarity: Tensor,
    progress: Progress | None = None,
) -> None:
    """Give a model over more items what listens in a former one, in place.

    `order` [items]: for each item of the table its index among the known items followed by the new ones. `similarity` [new,
    known]: of new items to known ones. Raises CheckpointError for a listener whose content cannot be made for new items.
    """
    listener, known = former.model.listener, len(former.catalogue)
    if listener is None:
        return
    new = np.argsort(order)[known:]
    content = torch.from_numpy(_content(former, model, table, new, progress)).to(listener.known)
    if content.shape[1] != listener.known.shape[1]:
        raise CheckpointError(
            "what listens was made of other content than the config tells of, so it cannot know the new items",
            f"teach the model again: {TEACH}",
        )
    rows, bias = torch.cat([listener.known, content]), listener.bias.detach()
    biases = torch.cat([bias, mean_of_similar(bias[:, None], similarity)[:, 0]])
    places = torch.from_numpy(order)
    mean, basis = (part.cpu().numpy() for part in (listener.read_mean, listener.read_basis))
    width, norm = listener.sentence_width, model.llm.model.norm
    model.add_listener(Listener(norm, model.hidden_size, rows.cpu()[places].numpy(), mean, basis, sentence_width=width))
    trained = dict(former.model.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_listening_parameter(name):
                parameter.copy_(biases[places.to(biases.device)] if name == _BIAS else trained[name])


def _content(
    former: Checkpoint, model: RecommenderModel, table: Catalogue, new: np.ndarray, progress: Progress | None
) -> np.ndarray:
    """Return what is known of new items, float32 [new, width], in the parts and by the measures of the known ones."""
    listener = former.model.listener
    assert listener is not None
    texts = [table.document(int(item)) for item in new]
    mean, basis = listener.read_mean.cpu().numpy(), listener.read_basis.cpu().numpy()
    parts = [read_texts_of(former, texts, progress, (mean, basis))[0]]
    if "collaborative" in former.model.features.vectors:
        parts.insert(0, unit_rows(model.features.table("collaborative")[new]))
    encoder = former.config.encoders.named("text")
    if encoder is not None and sum(part.shape[1] for part in parts) < listener.known.shape[1]:
        parts.insert(0, text_vectors(TextEncoder(encoder), texts, progress, "encoding the new items' texts"))
    return np.concatenate(parts, 1).astype(np.float32)


def tuned_file(folder: Path, checkpoint: Checkpoint) -> dict[str, Callable[[Path], None]]:
    """Return what writes the tuned weights of a checkpoint's folder for its next version; nothing where there are none.

    `checkpoint`: the next version, over the items of the folder and perhaps new ones. Raises CheckpointError.
    """
    ids, table = item_ids_of(folder), checkpoint.catalogue
    if ids is None or checkpoint.model.listener is None or not (folder / TUNED).is_file():
        return {}
    former = Tuned.load(folder, Catalogue(table[table.index(item_id)] for item_id in ids), None)
    assert former is not None
    places = table.indices(ids)
    tuned = _over(former, checkpoint, places)
    return {TUNED: lambda path: tuned.save(path.parent)}


def _over(former: Tuned, checkpoint: Checkpoint, places: np.ndarray) -> Tuned:
    """Return tuned weights over a checkpoint's items. `places` [known]: where each known item is among them."""
    table, known = checkpoint.catalogue, len(places)
    new = np.setdiff1d(np.arange(len(table)), places)
    values = np.stack([former.prior, former.taste.popularity], 1).astype(np.float32)
    if len(new):
        order = np.concatenate([places, new])
        documents = [table.document(int(item)) for item in order]
        similarity = content_similarity(checkpoint.model.features.take(order), documents, known)
        beside = mean_of_similar(torch.from_numpy(values), torch.from_numpy(similarity)).numpy()
        values = np.concatenate([values, beside])[np.argsort(order)]
    else:
        values = values[np.argsort(places)]
    company = _company(former.taste.company, places, len(table))
    return Tuned(former.weights, values[:, 0], Taste(table, values[:, 1], company))


def _company(former: Company, places: np.ndarray, items: int) -> Company:
    """Return the same company among more items; new ones have none yet."""
    kind = np.uint16 if items <= np.iinfo(np.uint16).max else np.int32
    others = np.zeros((items, former.others.shape[1]), kind)
    nearness = np.zeros(others.shape, former.nearness.dtype)
    others[places], nearness[places] = places[former.others.astype(np.int64)], former.nearness
    return Company(others, nearness)
