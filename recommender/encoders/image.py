"""Images -> vectors: the image tower of any open_clip model, unit length."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from recommender import assets
from recommender.data.media import read_image
from recommender.encoders.encoder import Lazy, best_device, embedded_identity, files_hash, loading
from recommender.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import torch

_LOCAL, _HUB = "local-dir:", "hf-hub:"
#: ImageNet's classifier in a folder: `weight` [1000, width] and `bias` [1000] for the tower's own vectors
_CLASSIFIER = "classifier.safetensors"
_FILES = ("*.json", "*.safetensors", "*.bin", "*.pt", "*.pth")


class ImageEncoder:
    """A frozen open_clip model.

    Names: an embedded one, a folder in open_clip's layout (with or without "local-dir:"), "hf-hub:owner/name",
    or "architecture:weights" as open_clip lists them ("ViT-B-32:laion2b_s34b_b79k"; weights may be a file).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._model = Lazy(lambda: loading(name, "image", self._build))

    @cached_property
    def folder(self) -> Path | None:
        """The model's folder, None if open_clip fetches it by name. Raises AssetError."""
        if self.name.startswith(_LOCAL):
            return Path(self.name.removeprefix(_LOCAL))
        if assets.is_embedded(self.name) or Path(self.name).is_dir():
            return assets.fetch(self.name)
        return None

    @cached_property
    def identity(self) -> str:
        """What the vectors depend on besides the image. Published weights never change under one name."""
        if assets.is_embedded(self.name):
            return f"image-1 {embedded_identity(self.name)}"
        if self.folder is not None:
            return f"image-1 {files_hash(file for kind in _FILES for file in self.folder.glob(kind))}"
        weights = Path(self.name.partition(":")[2])
        return f"image-1 {self.name} {files_hash([weights]) if weights.is_file() else ''}".rstrip()

    def load(self) -> None:
        """Load the model unless it is loaded. Raises AssetError and ConfigError."""
        self._model()

    def prepare(self, source: Path | Image.Image) -> Any:
        """Read and preprocess one image to a tensor [3, height, width]. Raises DataError."""
        _, preprocess = self._model()
        return preprocess(source if isinstance(source, Image.Image) else read_image(source))

    def encode(self, batch: Sequence[Any]) -> np.ndarray:
        """Encode prepared images to [n, width] float32 of unit length."""
        return np.asarray(self.tower_output(batch, unit=True).cpu().numpy())

    def tower_output(self, batch: Sequence[Any], unit: bool) -> torch.Tensor:
        """Return what the tower makes of prepared images, [n, width] float32; `unit`: of unit length."""
        import torch

        model, _ = self._model()
        with torch.inference_mode():
            pixels = torch.stack(list(batch)).to(self.device, memory_format=torch.channels_last)
            return model.encode_image(pixels, normalize=unit).float()

    @property
    def device(self) -> str:
        """Where the model computes."""
        return str(next(self._model()[0].parameters()).device)

    @property
    def classifier(self) -> Path | None:
        """The file of ImageNet's classifier for this tower, None if there is none."""
        path = None if self.folder is None else self.folder / _CLASSIFIER
        return path if path is not None and path.is_file() else None

    @cached_property
    def tells_classes(self) -> bool:
        """Whether the model tells what a picture shows: by a classifier, or by a text tower that reads names."""
        if self.classifier is not None or self.folder is None:
            return True
        try:
            settings = json.loads((self.folder / "open_clip_config.json").read_text(encoding="utf-8"))
            # a text tower that reads one token is there for its form only
            return int(settings["model_cfg"]["text_cfg"].get("context_length", 77)) > 1
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def zero_shot_weights(self) -> torch.Tensor:
        """Return [1000, width]: by it vectors of unit length become logits of ImageNet's classes, which it knows by name."""
        import open_clip
        import torch

        model, _ = self._model()
        with torch.inference_mode():
            by_name = open_clip.build_zero_shot_classifier(
                model,
                open_clip.get_tokenizer(self.architecture[0]),
                open_clip.IMAGENET_CLASSNAMES,
                open_clip.SIMPLE_IMAGENET_TEMPLATES,
                num_classes_per_batch=50,
                device=self.device,
            )
            return (model.logit_scale.exp() * by_name.T).float()

    @property
    def architecture(self) -> tuple[str, str | None]:
        """What open_clip calls the model, and its weights where the name does not say them."""
        if self.folder is not None:
            return f"{_LOCAL}{self.folder}", None
        return (self.name, None) if self.name.startswith(_HUB) else _published(self.name)

    def _build(self) -> tuple[Any, Any]:
        import open_clip
        import torch

        architecture, weights = self.architecture
        model, _, preprocess = open_clip.create_model_and_transforms(
            architecture, pretrained=weights, precision="fp32", device=best_device()
        )
        # on a CPU convolutions take a third less time in this layout
        return model.eval().to(memory_format=torch.channels_last), preprocess


def _published(name: str) -> tuple[str, str]:
    """Split "architecture:weights". Raises ConfigError naming what open_clip knows."""
    import open_clip

    architecture, _, weights = name.partition(":")
    if architecture not in open_clip.list_models():
        hint = did_you_mean(architecture, open_clip.list_models())
        hint = hint or 'write "architecture:weights", "hf-hub:owner/name" or a folder'
        raise ConfigError(f"encoders.image: open_clip has no model {architecture!r}", hint)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if weights not in tags and not Path(weights).is_file():
        message = f"encoders.image: {name!r} names no weights that open_clip has for {architecture}"
        raise ConfigError(message, f"append one of :{', :'.join(tags)}" if tags else "append :FILE")
    return architecture, weights
