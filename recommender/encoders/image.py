"""Images -> vectors: the image tower of any open_clip or transformers model, unit length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from recommender import assets
from recommender.data.media import read_image
from recommender.encoders import transformers_image
from recommender.encoders.encoder import Lazy, best_device, embedded_identity, files_hash, loading
from recommender.encoders.model_folders import folder_of, settings_of, transformers_type
from recommender.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import torch

_LOCAL, _HUB = "local-dir:", "hf-hub:"
#: ImageNet's classifier in a folder: `weight` [1000, width] and `bias` [1000] for the tower's own vectors
_CLASSIFIER = "classifier.safetensors"
_FILES = ("*.json", "*.safetensors", "*.bin", "*.pt", "*.pth")
_OPEN_CLIP = "open_clip_config.json"
#: the weights of a bare architecture: those of its paper
_FIRST = "openai"


class ImageEncoder:
    """A frozen model of open_clip or transformers.

    Names: an embedded one; a folder in the layout of either, found by looking ("local-dir:" says open_clip's);
    "architecture", "architecture:weights" or "architecture/weights" as open_clip lists them ("ViT-B-32/openai"; weights may
    be a file); "hf-hub:owner/name" for open_clip's hub; "owner/name" for any hub model of either, as
    "openai/clip-vit-base-patch32" or "google/siglip-base-patch16-224".
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._model = Lazy(lambda: loading(name, "image", self._build))

    @cached_property
    def folder(self) -> Path | None:
        """The model's folder, None if open_clip fetches it by name. Raises AssetError."""
        if self.name.startswith(_LOCAL):
            return Path(self.name.removeprefix(_LOCAL))
        if (
            not assets.is_embedded(self.name)
            and not Path(self.name).expanduser().is_dir()
            and _is_open_clips(self.name)
        ):
            return None
        return folder_of(self.name, "image", "no model of open_clip, ")

    @cached_property
    def _of_transformers(self) -> bool:
        """Whether transformers reads the model's folder. A folder that both can read is open_clip's."""
        if self.folder is None or self.name.startswith(_LOCAL) or (self.folder / _OPEN_CLIP).is_file():
            return False
        return transformers_type(self.folder) is not None

    @cached_property
    def identity(self) -> str:
        """What the vectors depend on besides the image. Published weights never change under one name."""
        if assets.is_embedded(self.name):
            return f"image-1 {embedded_identity(self.name)}"
        if self.folder is not None:
            return f"image-1 {files_hash(file for kind in _FILES for file in self.folder.glob(kind))}"
        if self.name.startswith(_HUB):
            return f"image-1 {self.name}"
        architecture, weights = _published(self.name)
        if Path(weights).is_file():
            return f"image-1 {self.name} {files_hash([Path(weights)])}"
        gelu = " quickgelu" if _quick_gelu(architecture, weights) else ""
        return f"image-1 {architecture}:{weights}{gelu}"

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
            if self._of_transformers:
                pixels = {name: torch.stack([one[name] for one in batch]).to(self.device) for name in batch[0]}
            else:
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
        if self._of_transformers:
            return transformers_image.tells_classes(self.folder)
        try:
            # a text tower that reads one token is there for its form only
            return int(settings_of(self.folder, _OPEN_CLIP)["model_cfg"]["text_cfg"].get("context_length", 77)) > 1
        except (ValueError, KeyError, TypeError, AttributeError):
            return False

    def zero_shot_weights(self) -> torch.Tensor:
        """Return [1000, width]: by it vectors of unit length become logits of ImageNet's classes, which it knows by name."""
        import open_clip
        import torch

        model, _ = self._model()
        with torch.inference_mode():
            by_name = open_clip.build_zero_shot_classifier(
                model,
                model.tokenize if self._of_transformers else open_clip.get_tokenizer(self.architecture[0]),
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

        if self._of_transformers:
            assert self.folder is not None
            return transformers_image.load_tower(self.folder)
        architecture, weights = self.architecture
        model, _, preprocess = open_clip.create_model_and_transforms(
            architecture,
            pretrained=weights,
            precision="fp32",
            device=best_device(),
            # open_clip only warns where an architecture and its weights differ in this
            force_quick_gelu=weights is not None and _quick_gelu(architecture, weights),
        )
        # on a CPU convolutions take a third less time in this layout
        return model.eval().to(memory_format=torch.channels_last), preprocess


def _is_open_clips(name: str) -> bool:
    """Return whether a name is for open_clip to find: what it lists, with or without weights, or what looks like that."""
    import open_clip

    if name.startswith(_HUB) or ":" in name or "/" not in name:
        return True
    owner, _, weights = name.partition("/")
    return owner in open_clip.list_models() or f"{owner}-{weights.partition('/')[0]}" in open_clip.list_models()


def _published(name: str) -> tuple[str, str]:
    """Split an architecture and its weights, at ":" or "/" or after its name. Raises ConfigError naming what there is."""
    import open_clip

    known = open_clip.list_models()
    architecture, _, weights = name.partition(":")
    if architecture not in known:
        # "ViT-B/32" is how papers write "ViT-B-32"
        architecture, behind = _at_slash(architecture, known)
        weights = weights or behind
    if architecture not in known:
        hint = did_you_mean(architecture, known)
        hint = hint or 'write "architecture:weights", "hf-hub:owner/name" or a folder'
        raise ConfigError(f"encoders.image: open_clip has no model {architecture!r}", hint)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not weights:
        weights = _FIRST if _FIRST in tags else tags[0] if len(tags) == 1 else ""
    if weights not in tags and not Path(weights).is_file():
        message = f"encoders.image: {name!r} names no weights that open_clip has for {architecture}"
        raise ConfigError(message, f"append one of :{', :'.join(tags)}" if tags else "append :FILE")
    return architecture, weights


def _at_slash(name: str, known: Sequence[str]) -> tuple[str, str]:
    """Return the architecture that a name with slashes begins with, and the rest."""
    parts = name.split("/")
    for count in range(len(parts), 0, -1):
        if "-".join(parts[:count]) in known:
            return "-".join(parts[:count]), "/".join(parts[count:])
    return name, ""


def _quick_gelu(architecture: str, weights: str) -> bool:
    """Return whether published weights were trained with the fast approximation of GELU."""
    from open_clip.pretrained import get_pretrained_cfg

    return bool(get_pretrained_cfg(architecture, weights).get("quick_gelu", False))
