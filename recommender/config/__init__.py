"""The configuration: one pydantic tree that holds all defaults. YAML keys, CLI options and Python names are the same."""

from recommender.config.data import ColumnKey, ColumnsConfig, DataConfig, FactsConfig, TableConfig, WithoutTime
from recommender.config.encoders import EncodersConfig, VectorsConfig
from recommender.config.experiments import ArmConfig, ExperimentConfig, ExplorationConfig
from recommender.config.model import BaseConfig, LoraConfig, PromptConfig, SemanticIdsConfig
from recommender.config.reading import FORMER_KEYS
from recommender.config.running import (
    ENGINES,
    LENGTHS,
    PURPOSES,
    DecodingConfig,
    JustifyConfig,
    Length,
    Purpose,
    ServingConfig,
    TokensConfig,
    check_engine,
)
from recommender.config.section import CONTENT_MODALITIES, MODALITIES, SOFT_MODALITIES, Modality, Section
from recommender.config.training import (
    ForgettingConfig,
    PrivacyConfig,
    Stage,
    StageConfig,
    TeacherConfig,
    TrainingConfig,
)
from recommender.config.tree import Config
from recommender.config.updating import UpdateConfig

__all__ = [
    "ArmConfig",
    "BaseConfig",
    "CONTENT_MODALITIES",
    "ColumnKey",
    "ColumnsConfig",
    "Config",
    "DataConfig",
    "DecodingConfig",
    "ENGINES",
    "EncodersConfig",
    "ExperimentConfig",
    "ExplorationConfig",
    "FORMER_KEYS",
    "FactsConfig",
    "ForgettingConfig",
    "JustifyConfig",
    "LENGTHS",
    "Length",
    "LoraConfig",
    "MODALITIES",
    "Modality",
    "PrivacyConfig",
    "PromptConfig",
    "SOFT_MODALITIES",
    "Section",
    "SemanticIdsConfig",
    "PURPOSES",
    "Purpose",
    "ServingConfig",
    "TokensConfig",
    "Stage",
    "StageConfig",
    "TableConfig",
    "TeacherConfig",
    "TrainingConfig",
    "UpdateConfig",
    "VectorsConfig",
    "WithoutTime",
    "check_engine",
]
