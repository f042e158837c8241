"""Image towers of transformers (CLIP, SigLIP, DINOv2, ...) behind the two calls that open_clip's models have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from recommender.encoders.encoder import best_device
from recommender.encoders.model_folders import class_of, missing_weights, settings_of
from recommender.errors import AssetError

#: models whose text tower reads names of classes
_PAIRED = ("clip", "siglip", "siglip2")


class TransformersTower(nn.Module):
    """A model of transformers that embeds pictures, and texts if it has a text tower, as open_clip's models do."""

    def __init__(self, model: Any, tokenizer: Any = None) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer

    def encode_image(self, pixels: dict[str, Tensor], normalize: bool = False) -> Tensor:
        """Return [n, width] of what the image processor made of n pictures."""
        read = getattr(self.model, "get_image_features", None) or self.model
        return _unit(pooled(read(**pixels)), normalize)

    def encode_text(self, tokens: Tensor, normalize: bool = False) -> Tensor:
        """Return [n, width] of token ids [n, positions], padded to the length that the model was trained with."""
        return _unit(pooled(self.model.get_text_features(input_ids=tokens)), normalize)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return token ids [n, positions] of texts."""
        longest = self.model.config.text_config.max_position_embeddings
        settings = {"padding": "max_length", "truncation": True, "max_length": longest, "return_tensors": "pt"}
        return self.tokenizer(list(texts), **settings)["input_ids"]

    @property
    def logit_scale(self) -> Tensor:
        """The log of the scale by which cosines become logits."""
        return self.model.logit_scale


def load_tower(folder: Path) -> tuple[TransformersTower, Callable[[Image.Image], dict[str, Tensor]]]:
    """Return an image tower in float32 and what prepares one picture for it: name -> tensor without a batch.

    Raises AssetError for a folder that lacks weights or embeds no pictures, and whatever transformers raises.
    """
    from transformers import AutoImageProcessor, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # the caller reports progress
    model, info = class_of(folder).from_pretrained(
        folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
    )
    missing_weights(info, folder, "image")
    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True) if tells_classes(folder) else None

    def prepare(picture: Image.Image) -> dict[str, Tensor]:
        made = processor(images=picture, return_tensors="pt")
        return {name: values[0] for name, values in made.items() if isinstance(values, Tensor)}

    return TransformersTower(model.eval(), tokenizer).to(best_device()), prepare


def tells_classes(folder: Path) -> bool:
    """Return whether the folder also holds a text tower and its tokenizer, so that it tells what a picture shows."""
    settings = settings_of(folder)
    paired = settings.get("model_type") in _PAIRED and "text_config" in settings
    return paired and any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json", "spiece.model"))


def pooled(output: Any) -> Tensor:
    """Return the one vector an input [n, width] of what a model of transformers returns. Raises AssetError without one."""
    if isinstance(output, Tensor):
        return output
    for name in ("image_embeds", "text_embeds", "pooler_output"):
        found = getattr(output, name, None)
        if found is not None:
            return found.flatten(1)
    raise AssetError(
        f"{type(output).__name__} has no vector of a whole picture or text", "give the folder of CLIP, SigLIP or DINOv2"
    )


def _unit(vectors: Tensor, normalize: bool) -> Tensor:
    return nn.functional.normalize(vectors, dim=-1) if normalize else vectors
