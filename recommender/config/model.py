"""Configuration of the language model: its base, items' codes, prompts and adapters."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from recommender.config.section import Modality, Section


class BaseConfig(Section):
    """The base language model: an embedded name, a hub name or a local folder."""

    llm: str = "smollm2-135m-instruct"
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the hardware has it"
    )
    device: str = Field(
        "cpu",
        description="where the language model runs: cpu; cuda, with several processes a GPU each; cuda:1; auto",
    )
    rank_layers: int = Field(8, ge=1, description="how many layers rank items; text is written with all layers")
    converse_layers: int = Field(8, ge=1, description="how many layers read conversations")
    languages: tuple[str, ...] = Field(("en",), min_length=1, description="of messages; see prompts/conversations")
    memory: int = Field(
        0, ge=0, description="how many of the last items a memory of transitions reads, beside the layers; 0: no memory"
    )
    item_scale: float = Field(1.0, gt=0, description="norm of an item's embedding, relative to that of a word")
    load_in_4bit: bool = False
    adapter: str | None = Field(
        None, description="a checkpoint, also of another domain, whose LoRA and ranking norm training starts from"
    )
    adapter_items: str | None = Field(
        None,
        description="the items table of base.adapter: items of the same title and year begin where they lie there, the"
        " others beside those most like them; default: none is taken over",
    )

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, name: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", name):
            raise ValueError(f"expected cpu, cuda, the number of a GPU as in cuda:1, or auto, not {name!r}")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> BaseConfig:
        if self.adapter_items is not None and self.adapter is None:
            raise ValueError("adapter_items is the items table of base.adapter, and no base.adapter is named")
        return self


class SemanticIdsConfig(Section):
    """How items become codes. With one level each item is one token (atomic ids)."""

    levels: int = Field(1, ge=1, le=8, description="1 = atomic item tokens; more = residual k-means levels")
    codebook_size: int = Field(256, ge=2)
    fusion: Literal["concatenation", "average", "weighted"] = "concatenation"
    weights: dict[Modality, float] = Field(default_factory=dict, description="for weighted fusion; default 1 each")
    collision_limit: float = Field(
        0.5, ge=0, le=1, description="fail if more items than this share their k-means codes"
    )


class PromptConfig(Section):
    """The part of a user's history that the prompt holds."""

    history: int = Field(100, ge=1, description="most recent items that the prompt holds")
    titled: int = Field(3, ge=0, description="how many of the last items are spelled out with title and soft tokens")
    titled_from: int = Field(
        1,
        ge=1,
        description="items that a history has at least to have its last ones spelled out; a few favourites have no last",
    )
    soft_tokens: int = Field(1, ge=1, le=256, description="soft tokens per modality of a spelled-out item")
    noun: str = Field("items", description="what is recommended, in the plural: films, books, songs")


class LoraConfig(Section):
    """The low-rank adapters, as in peft."""

    r: int = Field(16, ge=1)
    lora_alpha: int = 32
    lora_dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: Literal["auto"] | tuple[str, ...] = Field(
        "auto", description="auto: all matrices in the layers of the base but routers; else their names, as in peft"
    )
