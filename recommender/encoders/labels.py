"""What media show, in words: labels of the frozen towers, each with the confidence that the tower gives it.

An image tower has labels if its folder holds ImageNet's classifier (`classifier.safetensors`, as the embedded one does), or
if it has a text tower, which then reads the names of the same classes (zero-shot, Radford et al., "Learning Transferable
Visual Models From Natural Language Supervision", ICML 2021). Whisper hears speech and has none. What no label fits stays
without: nothing is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image, ImageOps
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recommender.config import EncodersConfig, Modality
from recommender.data.catalogue import Catalogue
from recommender.data.media import read_image
from recommender.data.standins import without_standins
from recommender.encoders import picture_kinds
from recommender.encoders.cached_batches import Work, run
from recommender.encoders.encoder import Encoder, Lazy
from recommender.encoders.encoding_cache import EncodingCache, cache_folder
from recommender.encoders.image import ImageEncoder
from recommender.encoders.media_sources import Frames, media_sources
from recommender.encoders.parts import whole
from recommender.encoders.pipeline import Encoders
from recommender.encoders.video_parts import VideoFrames
from recommender.errors import CheckpointError
from recommender.progress import Progress

if TYPE_CHECKING:
    import torch

#: a label below this confidence is not sure, and is never said
SURE = 0.5
#: labels that are kept of each item
TOP = 3
#: the name of the file in a checkpoint's folder
MEDIA_LABELS = "media_labels.safetensors"
_NAMES = "names"
#: pictures that are looked at together, at most
_AT_ONCE = 32
#: parts of a picture that are looked at by themselves: left, top, right, bottom as shares of its sides
_PARTS = ((0.1, 0.1, 0.9, 0.9), (0.05, 0.0, 0.95, 0.8), (0.05, 0.2, 0.95, 1.0))


@dataclass(frozen=True)
class Label:
    """The name of a kind of thing, and the probability that the tower gives it."""

    name: str
    confidence: float


class Labeller(Protocol):
    """What names what a medium shows, by a frozen tower."""

    names: tuple[str, ...]

    @property
    def identity(self) -> str:
        """What the labels depend on besides the medium. Needs no loaded model."""

    def load(self) -> None:
        """Load the model unless it is loaded. Raises AssetError."""

    def prepare(self, source: Any) -> Any:
        """Turn a file or a part of a video into what `label` takes; may run in several threads. Raises DataError."""

    def label(self, batch: Sequence[Any]) -> np.ndarray:
        """Return the confidence of each name, float32 [n, names]."""


class PictureLabeller:
    """Kinds of things by an open_clip image tower: see `picture_kinds`.

    The confidence of a kind is its probability in the whole picture. A kind that the whole picture makes sure must also
    hold in its mirror image and in three of its parts: where the mean over the five views is less, that is its confidence.
    """

    names = picture_kinds.NAMES

    def __init__(self, encoder: ImageEncoder) -> None:
        self.encoder = encoder
        self._head = Lazy(self._build_head)

    @cached_property
    def identity(self) -> str:
        """What the labels depend on besides the picture."""
        return f"labels-1 {picture_kinds.version()} {self.encoder.identity}"

    def load(self) -> None:
        """Load tower and head unless they are loaded. Raises AssetError and ConfigError."""
        self.encoder.load()
        self._head()

    def prepare(self, source: Path | Image.Image | VideoFrames) -> Image.Image | Frames:
        """Read one picture, or the frames of a video. Raises DataError."""
        if isinstance(source, VideoFrames):
            return Frames(source.read())
        return source if isinstance(source, Image.Image) else read_image(source)

    def label(self, batch: Sequence[Image.Image | Frames]) -> np.ndarray:
        """Return the confidence of each kind, float32 [n, kinds]; of a video it is the mean of its frames'."""
        groups = [list(shown) if isinstance(shown, Frames) else [shown] for shown in batch]
        found = self._checked([picture for group in groups for picture in group])
        ends = np.cumsum([len(group) for group in groups])
        return np.stack([part.mean(0) for part in np.split(found, ends[:-1])])

    def _checked(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        # the frames of several videos are many
        slices = [self._kinds(pictures[start : start + _AT_ONCE]) for start in range(0, len(pictures), _AT_ONCE)]
        found = np.concatenate(slices)
        for row in np.flatnonzero(found.max(1) >= SURE).tolist():
            views = np.concatenate([found[row][None], self._kinds(_views(pictures[row]))])
            found[row] = np.minimum(found[row], views.mean(0))
        return found

    def _kinds(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Return the probability of each kind [n, kinds] in pictures as they are."""
        return np.asarray(self._classes(pictures) @ picture_kinds.membership(), np.float32)

    def _classes(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Return the probability of each class [n, 1000] in pictures as they are."""
        weight, bias, unit = self._head()
        towers = self.encoder.tower_output([self.encoder.prepare(picture) for picture in pictures], unit)
        return np.asarray((towers @ weight.T + bias).softmax(-1).cpu().numpy(), np.float32)

    def _build_head(self) -> tuple[torch.Tensor, torch.Tensor, bool]:
        """Return weight [classes, width] and bias [classes], and whether they are for vectors of unit length."""
        from safetensors.torch import load_file

        if (path := self.encoder.classifier) is not None:
            head = load_file(path, device=self.encoder.device)
            return head["weight"], head["bias"], False
        weight = self.encoder.zero_shot_weights()
        return weight, weight.new_zeros(len(weight)), True


class ClassLabeller(PictureLabeller):
    """ImageNet's 1,000 classes as they are, each checked in the same views as a kind."""

    def __init__(self, encoder: ImageEncoder) -> None:
        from open_clip import IMAGENET_CLASSNAMES

        super().__init__(encoder)
        self.names = tuple(IMAGENET_CLASSNAMES)

    @cached_property
    def identity(self) -> str:
        """What the labels depend on besides the picture."""
        return f"classes-1 {self.encoder.identity}"

    def _kinds(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        return self._classes(pictures)


def _views(picture: Image.Image) -> list[Image.Image]:
    width, height = picture.size
    corners = [(left * width, top * height, right * width, bottom * height) for left, top, right, bottom in _PARTS]
    parts = [picture.crop((int(a), int(b), max(int(c), int(a) + 1), max(int(d), int(b) + 1))) for a, b, c, d in corners]
    return [ImageOps.mirror(picture), *parts]


def labeller_of(encoder: Encoder) -> Labeller | None:
    """Return what names what the encoder's media show; None for an encoder that cannot tell, as Whisper."""
    return PictureLabeller(encoder) if isinstance(encoder, ImageEncoder) and encoder.tells_classes else None


@dataclass(frozen=True)
class MediaLabels:
    """The likeliest labels of each item's media: modality -> names as int16 [items, TOP], -1 without a medium, and their
    confidences as float16 [items, TOP], best first."""

    names: tuple[str, ...]
    kinds: dict[Modality, np.ndarray]
    confidences: dict[Modality, np.ndarray]

    def of(self, modality: Modality, item: int) -> tuple[Label, ...]:
        """Return the labels of one item's medium, best first; none without a medium or a labeller."""
        if modality not in self.kinds:
            return ()
        pairs = zip(self.kinds[modality][item].tolist(), self.confidences[modality][item].tolist(), strict=True)
        return tuple(Label(self.names[kind], round(confidence, 4)) for kind, confidence in pairs if kind >= 0)

    def sure(self, modality: Modality, item: int) -> Label | None:
        """Return the best label of one item's medium if it is sure."""
        best = next(iter(self.of(modality, item)), None)
        return best if best is not None and best.confidence >= SURE else None

    def counts(self, modality: Modality) -> tuple[int, int]:
        """Return how many media have a sure label, and how many were looked at."""
        looked_at = self.kinds[modality][:, 0] >= 0
        return int((looked_at & (self.confidences[modality][:, 0] >= SURE)).sum()), int(looked_at.sum())

    def without(self, modality: Modality, items: Sequence[int]) -> MediaLabels:
        """Return a copy in which these items have no labels of a modality."""
        kinds = self.kinds[modality].copy()
        kinds[list(items)] = -1
        return replace(self, kinds=self.kinds | {modality: kinds})

    def append(self, later: MediaLabels | None, items: int) -> MediaLabels:
        """Return a copy with `items` further items at its end; nothing is said of those that `later` does not label."""
        if later is not None and later.names != self.names:
            later = None
        kinds, confidences = {}, {}
        for m, table in self.kinds.items():
            more = np.full((items, TOP), -1, table.dtype), np.zeros((items, TOP), self.confidences[m].dtype)
            if later is not None and m in later.kinds:
                more = later.kinds[m], later.confidences[m]
            kinds[m] = np.concatenate([table, more[0]])
            confidences[m] = np.concatenate([self.confidences[m], more[1]])
        return replace(self, kinds=kinds, confidences=confidences)

    def take(self, order: np.ndarray) -> MediaLabels:
        """Return the labels of some items, in the order of these indices."""
        kinds = {m: table[order] for m, table in self.kinds.items()}
        return replace(self, kinds=kinds, confidences={m: table[order] for m, table in self.confidences.items()})

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        tensors = {f"kinds.{m}": np.ascontiguousarray(table) for m, table in self.kinds.items()}
        tensors |= {f"confidences.{m}": np.ascontiguousarray(table) for m, table in self.confidences.items()}
        save_file(tensors, path, {_NAMES: json.dumps(self.names)})

    @classmethod
    def load(cls, folder: Path, items: int) -> MediaLabels | None:
        """Read what `save` wrote into a folder, of so many items; None where there is none. Raises CheckpointError."""
        path = folder / MEDIA_LABELS
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                names = tuple(map(str, json.loads(file.metadata()[_NAMES])))
            modalities: list[Modality] = [m for m in ("image", "audio") if f"kinds.{m}" in tensors]
            kinds = {m: tensors[f"kinds.{m}"] for m in modalities}
            loaded = cls(names, kinds, {m: tensors[f"confidences.{m}"] for m in modalities})
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            raise CheckpointError(f"{path}: is damaged", "copy the checkpoint again, whole") from None
        if not all(loaded._fits(m, items) for m in modalities):
            raise CheckpointError(
                f"{path}: holds no labels of {items} items", "label again: recommender justifications labels"
            )
        return loaded

    def _fits(self, modality: Modality, items: int) -> bool:
        kinds, confidences = self.kinds[modality], self.confidences[modality]
        shapes = kinds.shape == confidences.shape == (items, TOP)
        if not (shapes and kinds.dtype.kind == "i" and confidences.dtype.kind == "f"):
            return False
        in_range = (kinds >= -1) & (kinds < len(self.names)) & (confidences >= 0) & (confidences <= 1)
        return bool(in_range.all())


def label_media(catalogue: Catalogue, config: EncodersConfig, progress: Progress | None = None) -> MediaLabels | None:
    """Label the media of a catalogue, through the encoders' cache; None where no encoder tells what it sees or hears.

    Stand-ins get no labels: they show nothing of an item. Raises DataError, AssetError, ConfigError.
    """
    encoders = Encoders.from_config(config).encoders
    labellers = {m: labeller_of(whole(encoders[m])) for m in ("image", "audio") if m in encoders}
    own_media = without_standins(catalogue)
    names: tuple[str, ...] = ()
    kinds: dict[Modality, np.ndarray] = {}
    confidences: dict[Modality, np.ndarray] = {}
    for m, labeller in labellers.items():
        if labeller is None:
            continue
        found, confidences[m] = top_labels(labeller, m, own_media, config, progress)
        kinds[m] = np.where(found >= 0, found + len(names), found).astype(np.int16)
        names += labeller.names
    return MediaLabels(names, kinds, confidences) if kinds else None


def top_labels(
    labeller: Labeller,
    modality: Modality,
    catalogue: Catalogue,
    config: EncodersConfig,
    progress: Progress | None,
    videos: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the likeliest labels of each item's medium as int16 [items, TOP], -1 without one, and their confidences as
    float16 [items, TOP]; through the encoders' cache. `videos`: of items without it, those of their video. Raises DataError
    and AssetError."""
    sources = media_sources(catalogue, modality, config if videos else None)
    present = {row: source for row, source in enumerate(sources) if source is not None}
    work = Work(f"labelling {modality}", labeller.identity, labeller.load, labeller.prepare, _packed(labeller))
    cache = EncodingCache(cache_folder(config.cache))
    values, _ = run(work, list(present.values()), cache, config.batch_size, progress) if present else ({}, None)
    kinds, confidences = np.full((len(sources), TOP), -1, np.int16), np.zeros((len(sources), TOP), np.float16)
    for row, source in present.items():
        best, confidence = np.frombuffer(values[source.content], np.int16).reshape(2, TOP)
        kinds[row], confidences[row] = best, confidence.view(np.float16)
    return kinds, confidences


def said_of_labels(labels: MediaLabels) -> str:
    """Return how many media have a sure label: "37 of 100 pictures sure", or "" without media."""
    words: dict[Modality, str] = {"image": "pictures", "audio": "sounds"}
    counts = {m: labels.counts(m) for m in labels.kinds}
    return ", ".join(f"{sure} of {media} {words[m]} sure" for m, (sure, media) in counts.items() if media)


def _packed(labeller: Labeller) -> Any:
    """Return a function of prepared media to the bytes of their likeliest labels and of the confidences."""

    def compute(batch: Sequence[Any]) -> list[bytes | None]:
        rows = labeller.label(batch)
        best = np.argsort(-rows, axis=1, kind="stable")[:, :TOP]
        confidences = np.take_along_axis(rows, best, 1).astype(np.float16)
        finite = np.isfinite(rows).all(1)
        return [
            order.astype(np.int16).tobytes() + confidence.tobytes() if ok else None
            for order, confidence, ok in zip(best, confidences, finite, strict=True)
        ]

    return compute
