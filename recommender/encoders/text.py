"""Texts -> vectors: a transformers encoder, pooled over the tokens, unit length, as in sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recommender import assets
from recommender.encoders.encoder import Lazy, best_device, embedded_identity, files_hash, loading
from recommender.encoders.model_folders import class_of, folder_of, missing_weights
from recommender.encoders.text_pooling import MEAN, pool, pooling_of, states_of

MAX_TOKENS = 256
#: how its library's own names begin
_SENTENCE_TRANSFORMERS = (
    "all-",
    "multi-qa-",
    "paraphrase-",
    "msmarco-",
    "distiluse-",
    "LaBSE",
    "sentence-t5-",
    "gtr-t5-",
)
_FILES = ("*.json", "*.txt", "*.safetensors", "*.bin", "*.model")


class TextEncoder:
    """A frozen transformers model: an embedded name, a name of sentence-transformers or of the hub, or a local folder.

    How its states become one vector is what the folder says (`1_Pooling`, as sentence-transformers writes it), else their
    mean. The text tower of CLIP or SigLIP gives its own vector.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._model = Lazy(lambda: loading(name, "text", self._build))

    @cached_property
    def identity(self) -> str:
        """What the vectors depend on besides the text."""
        weights = weights_identity(self.name)
        pooling = MEAN if assets.is_embedded(self.name) else pooling_of(text_folder(self.name))
        return f"text-1 {weights}" if pooling == MEAN else f"text-1 {weights} {pooling}"

    def load(self) -> None:
        """Load the model unless it is loaded. Raises AssetError."""
        self._model()

    def prepare(self, source: str) -> str:
        """Texts are taken as they are; what exceeds 256 tokens is not read."""
        return source

    def encode(self, batch: Sequence[str]) -> np.ndarray:
        """Encode texts to [n, width] float32 of unit length."""
        import torch

        (model, tokenizer), pooling = self._model()
        tokens = tokenized(tokenizer, batch, model.config).to(model.device)
        with torch.inference_mode():
            pooled = pool(states_of(model, tokens), tokens, pooling)
            return torch.nn.functional.normalize(pooled).cpu().numpy()

    def _build(self) -> tuple[tuple[Any, Any], str]:
        return load_transformer(self.name), pooling_of(text_folder(self.name))


def text_folder(name: str, kind: Literal["text", "knowledge"] = "text") -> Path:
    """Return the folder of a model that reads text. Raises AssetError.

    A bare name of sentence-transformers ("all-mpnet-base-v2") is one of its models on the hub, as in that library.
    """
    bare = "/" not in name and not assets.is_embedded(name) and not Path(name).expanduser().exists()
    if bare and assets.is_embedded(name.lower()):
        return assets.fetch(name.lower())
    if bare and name.startswith(_SENTENCE_TRANSFORMERS):
        return folder_of(f"sentence-transformers/{name}", kind)
    return folder_of(name, kind)


def weights_identity(name: str) -> str:
    """Return what identifies a model that reads text and its tokenizer. Raises AssetError."""
    if assets.is_embedded(name):
        return embedded_identity(name)
    if "/" not in name and assets.is_embedded(name.lower()):
        return embedded_identity(name.lower())
    folder = text_folder(name)
    return files_hash(file for kind in _FILES for file in folder.glob(kind))


def load_transformer(name: str, kind: Literal["text", "knowledge"] = "text") -> tuple[Any, Any]:
    """Return a model without a head, in float32, and its tokenizer.

    Raises AssetError for a folder that lacks weights, and whatever transformers raises.
    """
    import torch
    from transformers import AutoTokenizer
    from transformers.utils import logging as transformers_logging

    folder = text_folder(name, kind)
    transformers_logging.disable_progress_bar()  # the caller reports progress
    model, info = class_of(folder).from_pretrained(
        folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
    )
    missing_weights(info, folder, kind, unread=("pooler", "decoder."))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side="right")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.eval().to(best_device()), tokenizer


def tokenized(tokenizer: Any, texts: Sequence[str], config: Any = None) -> Any:
    """Return texts as one padded batch; what exceeds 256 tokens is not read.

    `config`: that of a model that may bound it further, as CLIP's does, or was trained on texts of one length, as SigLIP.
    """
    tower = getattr(config, "text_config", None)
    window = min(MAX_TOKENS, getattr(tower, "max_position_embeddings", MAX_TOKENS))
    padding: bool | str = "max_length" if getattr(config, "model_type", "").startswith("siglip") else True
    longest = min(window, tokenizer.model_max_length)
    return tokenizer(list(texts), padding=padding, truncation=True, max_length=longest, return_tensors="pt")
