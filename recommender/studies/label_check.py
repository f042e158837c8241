"""An independent reading of pictures: what a checkpoint says that they show, against the tower's own output.

The tower is called here by its libraries alone, one view of one picture at a time. Nothing is shared with the code that
labels but the reading of files and the table of kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import load_file

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.media import read_image
from recommender.encoders.image import ImageEncoder
from recommender.encoders.labels import SURE, MediaLabels
from recommender.encoders.picture_kinds import KINDS
from recommender.errors import DataError
from recommender.model.checkpoint import CONFIG, resolve
from recommender.numerics.sampling import evenly
from recommender.progress import Progress

#: by how much a confidence may differ: it is kept in 16 bits, and other batches add in another order
TOLERANCE = 0.01


@dataclass(frozen=True)
class LabelCheck:
    """`pictures`: how many a checkpoint has labels of, `sure` of them; `checked`: read again, `same`: with the same result.

    `largest`: the largest difference of a confidence. `unlike`: ids of the items whose labels are not those of the tower.
    """

    pictures: int
    sure: int
    checked: int
    same: int
    largest: float
    unlike: tuple[str, ...]


def check_labels(
    source: str | Path, most: int = 100, items: str | None = None, progress: Progress | None = None
) -> LabelCheck:
    """Read up to `most` pictures of a checkpoint again, the sure ones first. `items`: the table, if it has moved.

    Raises DataError if the checkpoint has no labels of pictures.
    """
    folder = resolve(source)
    config = Config.load(folder / CONFIG)
    catalogue = Catalogue.load(items or config.data.items, config.data)
    labels = MediaLabels.load(folder, len(catalogue))
    if labels is None or "image" not in labels.kinds or (name := config.encoders.named("image")) is None:
        raise DataError(f"{folder}: holds no labels of pictures", "label them: recommender justifications labels")
    looked_at = [item for item in range(len(catalogue)) if labels.of("image", item) and catalogue[item].image]
    is_sure = np.array([labels.sure("image", item) is not None for item in looked_at], bool)
    order = np.argsort(~is_sure, kind="stable")
    first, rest = order[: is_sure.sum()][:most], order[is_sure.sum() :]
    chosen = [looked_at[n] for n in (*first, *rest[evenly(len(rest), most - len(first))])]
    tower, differences = _Tower(name), []
    for done, item in enumerate(chosen, 1):
        again = tower.confidences(Path(str(catalogue[item].image)))
        kept = labels.of("image", item)
        differences.append(max(abs(again.get(label.name, 0.0) - label.confidence) for label in kept))
        if progress is not None:
            progress("reading pictures again", done, len(chosen))
    unlike = tuple(catalogue[i].item_id for i, apart in zip(chosen, differences, strict=True) if not apart <= TOLERANCE)
    sure, pictures = labels.counts("image")
    return LabelCheck(
        pictures, sure, len(chosen), len(chosen) - len(unlike), round(max(differences, default=0.0), 4), unlike
    )


class _Tower:
    """The image tower of an encoder as its library gives it."""

    def __init__(self, name: str) -> None:
        encoder = ImageEncoder(name)
        self.architecture, weights = encoder.architecture
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(self.architecture, pretrained=weights)
        self.model.eval()
        self.head: Any = None if encoder.classifier is None else load_file(encoder.classifier)
        self.by_name = None if self.head else self._by_name()

    @torch.inference_mode()
    def _by_name(self) -> torch.Tensor:
        tokenize, rows = open_clip.get_tokenizer(self.architecture), []
        for name in open_clip.IMAGENET_CLASSNAMES:
            texts = self.model.encode_text(tokenize([t(name) for t in open_clip.SIMPLE_IMAGENET_TEMPLATES]))
            mean = (texts / texts.norm(dim=-1, keepdim=True)).mean(0)
            rows.append(mean / mean.norm())
        return torch.stack(rows)

    def confidences(self, path: Path) -> dict[str, float]:
        """Return kind -> confidence: that of the whole picture, or the mean over five views where that is sure but more."""
        whole = read_image(path)
        width, height = whole.size
        kinds = self._kinds(whole)
        if max(kinds.values()) < SURE:
            return kinds
        views = [kinds, self._kinds(whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT))]
        for left, top, right, bottom in ((10, 10, 90, 90), (5, 0, 95, 80), (5, 20, 95, 100)):
            box = [
                int(width * left / 100),
                int(height * top / 100),
                int(width * right / 100),
                int(height * bottom / 100),
            ]
            views.append(self._kinds(whole.crop((box[0], box[1], max(box[2], box[0] + 1), max(box[3], box[1] + 1)))))
        return {kind: min(kinds[kind], sum(view[kind] for view in views) / len(views)) for kind in kinds}

    @torch.inference_mode()
    def _kinds(self, picture: Image.Image) -> dict[str, float]:
        vector = self.model.encode_image(self.preprocess(picture)[None])[0]
        if self.by_name is None:
            logits = torch.nn.functional.linear(vector, self.head["weight"], self.head["bias"])
        else:
            logits = self.model.logit_scale.exp() * (self.by_name @ (vector / vector.norm()))
        classes = torch.softmax(logits.double(), 0).tolist()
        return {kind: sum(classes[n] for n in _numbers(text)) for kind, text in KINDS.items()}


def _numbers(text: str) -> list[int]:
    ends = [[int(n) for n in part.split("-")] for part in text.split()]
    return [n for end in ends for n in range(end[0], end[-1] + 1)]
