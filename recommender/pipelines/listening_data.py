"""What the stage `converse` begins with: an untrained listener of a catalogue, and conversations to learn from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recommender import assets, prompts
from recommender.config import Config, StageConfig
from recommender.conversations.making import ConversationMaker
from recommender.conversations.mentions import MentionFinder
from recommender.conversations.outside import OutsideWorks
from recommender.conversations.taste import Taste
from recommender.data.catalogue import Catalogue
from recommender.encoders.text import TextEncoder, weights_identity
from recommender.errors import CheckpointError
from recommender.files import replacing
from recommender.model.checkpoint import Checkpoint, resolve
from recommender.model.listening import Listener, read_texts, reduced
from recommender.model.listening_file import LISTENING, begin_from, read_start
from recommender.numerics.vectors import unit_rows
from recommender.progress import Progress
from recommender.prompting.conversation import ConversationPrompts
from recommender.training.conversations import Likeness, MadeExamples

#: how strongly the scores of items start from their popularity
FIRST_POPULARITY = 2.0
_CHARACTERS, _AT_ONCE = 700, 64
READ = "items-read.npz"
TEACH = "recommender conversations teach"
_READ = ("components", "mean", "basis")
#: (encoder, texts) -> vectors, of the last catalogue
_SENTENCES: dict[tuple[str, tuple[str, ...]], np.ndarray] = {}


def text_vectors(
    encoder: TextEncoder, texts: Sequence[str], progress: Progress | None = None, what: str = "encoding texts"
) -> np.ndarray:
    """Return the sentence encoder's vectors of texts, unit length, float32 [texts, width]."""
    parts = []
    for start in range(0, len(texts), _AT_ONCE):
        parts.append(encoder.encode(texts[start : start + _AT_ONCE]))
        if progress:
            progress(what, min(start + _AT_ONCE, len(texts)), len(texts))
    return unit_rows(np.concatenate(parts))


def read_items(
    checkpoint: Checkpoint, progress: Progress | None = None, by: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the base reads in the items' texts: see `reduced`."""
    texts = [checkpoint.catalogue.document(item) for item in range(len(checkpoint.catalogue))]
    return read_texts_of(checkpoint, texts, progress, by)


def read_texts_of(
    checkpoint: Checkpoint,
    texts: Sequence[str],
    progress: Progress | None = None,
    by: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the base of a checkpoint reads in texts about items: see `reduced`."""
    model, cut = checkpoint.model, [text[:_CHARACTERS] for text in texts]
    return reduced(read_texts(model.llm, checkpoint.tokenizer, cut, model.listening_layers, progress), by=by)


def new_listener(
    checkpoint: Checkpoint,
    popularity: np.ndarray,
    sentences: np.ndarray | None,
    components: np.ndarray,
    mean: np.ndarray,
    basis: np.ndarray,
) -> Listener:
    """Return an untrained listener of a checkpoint's items.

    `popularity` [items]: logarithm of how often each was taken. `sentences` [items, width]: a sentence encoder's vectors of
    their texts. `components`, `mean`, `basis`: of `read_items`.
    """
    model, parts = checkpoint.model, [] if sentences is None else [sentences]
    if "collaborative" in model.features.vectors:
        parts.append(unit_rows(model.features.vectors["collaborative"]))
    known = np.concatenate([*parts, components], 1)
    width = 0 if sentences is None else sentences.shape[1]
    return Listener(model.llm.model.norm, model.hidden_size, known, mean, basis, FIRST_POPULARITY * popularity, width)


def conversations_for(
    checkpoint: Checkpoint,
    histories: Sequence[np.ndarray],
    sentences: np.ndarray | None,
    start: str = "",
    parts: ConversationPrompts | None = None,
) -> tuple[MadeExamples, Taste]:
    """Return what makes conversations about a checkpoint's items, and the taste behind them.

    `sentences`: as in `new_listener`; where there are none, what suits is told by names and values alone. `start`: hash of
    what the training begins from. `parts`: what makes their prompts, by default of all that was said.
    """
    config, catalogue = checkpoint.config, checkpoint.catalogue
    table = None if config.training.outside is None else Catalogue.load(config.training.outside)
    outside = None if table is None else OutsideWorks(table, catalogue)
    taste = Taste.learned(catalogue, histories, None if outside is None else outside.works)
    maker = ConversationMaker(taste, histories, config.prompt.noun, outside, config.base.languages)
    finder = MentionFinder(catalogue, taste.popularity, config.base.languages)
    builder = parts or checkpoint.conversation_prompts()
    likeness: Likeness | None = None
    if sentences is not None and (name := config.encoders.named("text")) is not None:
        encoder, table_of = TextEncoder(name), sentences

        def likeness(texts: Sequence[str]) -> np.ndarray:
            return unit_rows(encoder.encode(list(texts))) @ table_of.T

    identity = [
        *map(prompts.conversations_hash, config.base.languages),
        repr(taste.weights),
        str(config.training.outside),
    ]
    identity += [start] if start else []
    identity += [] if parts is None else [f"words {parts.with_words}, items {parts.with_items}"]
    identity += [weights_identity(text)] if (text := config.encoders.named("text")) else []
    return MadeExamples(maker, finder, builder, likeness, " ".join(identity)), taste


def sentences_of(checkpoint: Checkpoint, progress: Progress | None = None) -> np.ndarray | None:
    """Return the sentence encoder's vectors of the items' texts; None where the config has no such encoder."""
    name, catalogue = checkpoint.config.encoders.named("text"), checkpoint.catalogue
    if name is None:
        return None
    texts = tuple(catalogue.document(item) for item in range(len(catalogue)))
    identity = name, texts
    if identity not in _SENTENCES:  # a study teaches several variants of one catalogue, and this takes minutes
        _SENTENCES.clear()
        _SENTENCES[identity] = text_vectors(TextEncoder(name), texts, progress, "encoding the items' texts")
    return _SENTENCES[identity]


def listening_stages(config: Config) -> tuple[StageConfig, ...]:
    """Return the stages of a recipe that teach to listen."""
    return tuple(stage for stage in config.training.stages if stage.stage == "converse")


def prepare_listening(
    checkpoint: Checkpoint,
    histories: Sequence[np.ndarray],
    work: Path,
    progress: Progress | None = None,
    start: str | None = None,
    parts: ConversationPrompts | None = None,
) -> MadeExamples:
    """Give a checkpoint an untrained listener; returns the conversations that it learns from.

    What was read of the items' texts is kept in `work` for a resumed run. `start`: a checkpoint that listens already, to
    begin from; `parts`: as in `conversations_for`. Raises CheckpointError if that does not listen, or is of another base.
    """
    work.mkdir(parents=True, exist_ok=True)
    path = work / READ
    first = None if start is None else _start_file(start)
    saved = {} if first is None else read_start(first)
    by = (saved["listener.read_mean"].float().numpy(), saved["listener.read_basis"].float().numpy()) if saved else None
    digest = "" if first is None else hashlib.sha256(first.read_bytes()).hexdigest()
    key = _identity_of_reading(checkpoint, digest)
    kept = _kept(path, key)
    sentences = kept["sentences"] if kept else sentences_of(checkpoint, progress)
    examples, taste = conversations_for(checkpoint, histories, sentences, digest, parts)
    read = [kept[name] for name in _READ] if kept else list(read_items(checkpoint, progress, by))
    if not kept:
        arrays: dict[str, Any] = dict(zip(_READ, read, strict=True))
        arrays |= {} if sentences is None else {"sentences": sentences}
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, key=np.array(key), **arrays)
    checkpoint.model.forget_listener()
    torch.manual_seed(checkpoint.config.seed)
    checkpoint.model.add_listener(new_listener(checkpoint, taste.popularity, sentences, *read))
    if first is not None:
        begin_from(checkpoint.model, saved, first)
    return examples


def has_listening(checkpoint: str) -> bool:
    """Return whether a checkpoint has learned to listen."""
    return (resolve(checkpoint) / LISTENING).is_file()


def _start_file(start: str) -> Path:
    path = resolve(start) / LISTENING
    if not path.is_file():
        raise CheckpointError(f"{start}: has not learned to listen, so nothing can begin from it", TEACH)
    return path


def _identity_of_reading(checkpoint: Checkpoint, start: str) -> str:
    """Return what the reading of the items' texts depends on."""
    base = assets.identity(checkpoint.config.base.llm)
    texts = [checkpoint.catalogue.document(item) for item in range(len(checkpoint.catalogue))]
    told = [base, checkpoint.model.listening_layers, checkpoint.config.encoders.named("text"), texts, start]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _kept(path: Path, key: str) -> dict[str, np.ndarray]:
    """Return what an earlier run has read, nothing if it read something else."""
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    return {"sentences": None} | found if str(found.pop("key")) == key else {}
