"""Configuration of the frozen encoders."""

from __future__ import annotations

from pydantic import Field

from recommender.config.section import Section


class EncodersConfig(Section):
    """The frozen encoders. Any of them is switched off with null."""

    text: str | None = "all-minilm-l6-v2"
    knowledge: str | None = Field(
        None, description="a language model that embeds each title, e.g. that of base.llm: what it knows about the name"
    )
    image: str | None = "efficientnet-lite0"
    audio: str | None = "whisper-tiny.en"
    transcript: bool = Field(False, description="add Whisper's transcript to the item's text")
    width: int = Field(
        128, ge=1, le=8192, description="text, image and audio vectors are reduced to this many components"
    )
    collaborative_width: int = Field(64, ge=0, le=8192, description="0 switches the collaborative vectors off")
    window_seconds: float = Field(30.0, gt=0, le=30, description="longer audio is read in windows of this length")
    batch_size: int = Field(32, ge=1)
    views: int = Field(
        0,
        ge=0,
        description="augmented views of each picture and sound that align and rank learn from, beside the plain one",
    )
    cache: str | None = Field(None, description="folder of the encoders' cache; default: the user's cache folder")
