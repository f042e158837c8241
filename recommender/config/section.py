"""What all parts of the configuration share: strict, frozen sections, and the names of modalities."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

Modality = Literal["text", "knowledge", "image", "audio", "collaborative"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
SOFT_MODALITIES: tuple[Modality, ...] = ("image", "audio", "collaborative")
CONTENT_MODALITIES: tuple[Modality, ...] = ("text", "knowledge", "image", "audio")


class Section(BaseModel):
    """A mapping of known keys; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
