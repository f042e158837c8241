"""The whole configuration: one tree that holds all defaults. YAML keys, CLI options and Python names are the same."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError, model_validator

from recommender.config.data import DataConfig
from recommender.config.encoders import EncodersConfig
from recommender.config.model import BaseConfig, LoraConfig, PromptConfig, SemanticIdsConfig
from recommender.config.reading import (
    check_there,
    current_key,
    explain,
    inside,
    place_in,
    plain,
    suggest,
    with_current_keys,
)
from recommender.config.running import DecodingConfig, JustifyConfig, ServingConfig
from recommender.config.section import Section
from recommender.config.training import TrainingConfig
from recommender.config.updating import UpdateConfig
from recommender.config.user_rules import check_forgetting, check_private
from recommender.errors import ConfigError
from recommender.strict.yaml_documents import read_yaml

logger = logging.getLogger(__name__)


class Config(Section):
    """All settings that decide a result."""

    seed: int = 0
    data: DataConfig = DataConfig()
    base: BaseConfig = BaseConfig()
    encoders: EncodersConfig = EncodersConfig()
    semantic_ids: SemanticIdsConfig = SemanticIdsConfig()
    prompt: PromptConfig = PromptConfig()
    lora: LoraConfig = LoraConfig()
    training: TrainingConfig = TrainingConfig()
    decoding: DecodingConfig = DecodingConfig()
    justify: JustifyConfig = JustifyConfig()
    serving: ServingConfig = ServingConfig()
    update: UpdateConfig = UpdateConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.prompt.titled > self.prompt.history:
            raise ValueError("prompt.titled must not exceed prompt.history; lower prompt.titled")
        if self.training.softmax == "sampled" and self.semantic_ids.levels > 1:
            raise ValueError(
                "training.softmax: sampled needs one level of ids, where each item has a code of its own; set it to auto"
            )
        if self.base.memory and self.semantic_ids.levels > 1:
            raise ValueError("base.memory needs one level of ids, where each item has a code of its own; set it to 0")
        if not self.base.memory and any(not stage.layers for stage in self.training.stages):
            raise ValueError("a stage with layers: false trains base.memory, and that is 0; set it to 20")
        if any(not stage.layers and stage.stage != "rank" for stage in self.training.stages):
            raise ValueError("layers: false belongs to a stage rank; all others read and write texts by the layers")
        check_private(self.training, self.encoders)
        check_forgetting(self.training, self.encoders)
        return self

    @classmethod
    def load(cls, path: str | Path) -> Config:
        """Read a YAML file. Raises ConfigError naming the file, the key and the closest known key."""
        raw = read_yaml(Path(path), ConfigError)
        if raw is not None and not isinstance(raw, dict):
            raise ConfigError(f"{path}: expected a mapping of keys to values, found {type(raw).__name__}")
        return cls.parse(raw or {}, source=str(path))

    @classmethod
    def parse(cls, raw: dict[str, Any], source: str = "config") -> Config:
        """Validate a plain mapping; keys of earlier versions are read, and a note says so.

        Raises ConfigError with every problem in one line.
        """
        former: dict[str, str] = {}
        raw = with_current_keys(raw, (), former, source)
        if former:
            renames = ", ".join(f"{old} is now {new}" for old, new in former.items())
            logger.warning("%s: %s; the old names are still read", source, renames)
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            found = plain(error.errors())
            problems = [explain(problem) for problem in found]
            hints = [hint for problem in found if (hint := suggest(problem, cls))]
            raise ConfigError(f"{source}: {'; '.join(problems)}", "; ".join(hints) or None) from None

    def updated(self, changes: dict[str, Any], source: str = "options") -> Config:
        """Return a copy with dotted keys replaced, e.g. {"decoding.beam": 20, "training.stages.0.epochs": 2}.

        Raises ConfigError.
        """
        raw = self.model_dump(mode="json")
        for key, value in changes.items():
            *parents, last = current_key(key).split(".")
            node: Any = raw
            for depth, part in enumerate(parents, start=1):
                node = inside(node, part, key, source)
                check_there(node, ".".join(parents[:depth]), Config, changes, source)
            node[place_in(node, last, key, source)] = value
        return self.parse(raw, source)

    def to_yaml(self) -> str:
        """Return the whole tree as YAML, in the order of definition."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
