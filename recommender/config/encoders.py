"""Configuration of the frozen encoders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from recommender.config.section import MODALITIES, Modality, Section


class VectorsConfig(Section):
    """Vectors that were made elsewhere, in the place of an encoder: a file with one for each item, found by its id."""

    vectors: str = Field(description="a .npy, .npz, .safetensors or .parquet file, or a folder of parquet files")
    ids: str | None = Field(
        None, description="a file of the item ids in the order of the rows; default: in the file, or beside it"
    )
    item_id: str | None = Field(None, description="name of the column or array of the ids; default: found")
    column: str | None = Field(None, description="name of the column or array of the vectors; default: found")


class EncodersConfig(Section):
    """The frozen encoders: a name, a folder, or `{vectors: FILE}`. Any of them is switched off with null."""

    text: str | VectorsConfig | None = Field(
        "all-minilm-l6-v2", description="an embedded name, a name of sentence-transformers or the hub, or a folder"
    )
    knowledge: str | VectorsConfig | None = Field(
        None, description="a language model that embeds each title, e.g. that of base.llm: what it knows about the name"
    )
    image: str | VectorsConfig | None = Field(
        "efficientnet-lite0",
        description="an embedded name, one of open_clip (ViT-B-32/openai) or the hub (CLIP, SigLIP), or a folder",
    )
    audio: str | VectorsConfig | None = Field(
        "whisper-tiny.en",
        description="an embedded name (whisper-tiny.en, musicnn-msd, musicnn-mtt), one of openai-whisper or the hub,"
        " a .pt file or a folder",
    )
    collaborative: VectorsConfig | None = Field(
        None, description="vectors of who takes what, in the place of those that are computed from the histories"
    )
    transcript: bool = Field(False, description="add Whisper's transcript to the item's text")
    width: int = Field(
        128, ge=1, le=8192, description="text, image and audio vectors are reduced to this many components"
    )
    collaborative_width: int = Field(64, ge=0, le=8192, description="0 switches the collaborative vectors off")
    window_seconds: float = Field(30.0, gt=0, le=30, description="longer audio is read in windows of this length")
    video_frames: int = Field(
        4, ge=1, le=32, description="frames of a video whose mean vector is the picture of an item without one"
    )
    video_seconds: float = Field(
        300.0, gt=0, le=14_400, description="so much of a video's sound track is the sound of an item without one"
    )
    image_parts: int = Field(
        1,
        ge=1,
        le=64,
        description="a picture is cut into so many regions, each a vector with prompt.soft_tokens of its own: 4 are a grid"
        " of two by two, 6 three rows of two; a prime number, as 3, are rows of the whole width",
    )
    audio_parts: int = Field(
        1,
        ge=1,
        le=64,
        description="a sound is cut into so many spans, each a vector with prompt.soft_tokens of its own",
    )
    batch_size: int = Field(32, ge=1)
    views: int = Field(
        0,
        ge=0,
        description="augmented views of each picture and sound that align and rank learn from, beside the plain one",
    )
    impute: Literal["content", "all"] | None = Field(
        None,
        description="items get what they lack as the mean of the nearest items that have it: content, texts, pictures and"
        " sounds; all, collaborative vectors too; see docs/fine-tuning.md",
    )
    impute_neighbours: int = Field(10, ge=1, description="of how many nearest items encoders.impute takes the mean")
    cache: str | None = Field(None, description="folder of the encoders' cache; default: the user's cache folder")

    def named(self, modality: Modality) -> str | None:
        """Return the name of the encoder of a modality, None if it is switched off or its vectors are given."""
        found = getattr(self, modality)
        return found if isinstance(found, str) else None

    def parts(self, modality: Modality) -> int:
        """Return into how many parts a medium is cut, each with a vector and soft tokens of its own."""
        return {"image": self.image_parts, "audio": self.audio_parts}.get(modality, 1)

    @property
    def given(self) -> dict[Modality, VectorsConfig]:
        """The modalities whose vectors were made elsewhere."""
        sections = {m: getattr(self, m) for m in MODALITIES}
        return {m: section for m, section in sections.items() if isinstance(section, VectorsConfig)}

    @model_validator(mode="after")
    def _consistent(self) -> EncodersConfig:
        if self.collaborative is not None and not self.collaborative_width:
            raise ValueError("collaborative vectors are given, and collaborative_width is 0; set it to their width")
        if cut := next((m for m in self.given if self.parts(m) > 1), None):
            raise ValueError(f"{cut} vectors are given, which cannot be cut into parts; leave {cut}_parts at 1")
        return self
