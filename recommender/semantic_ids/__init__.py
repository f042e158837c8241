"""Semantic ids: item vectors -> a few codes an item.

`modalities` joins an item's vectors to one, `residual_kmeans` turns vectors into codes, `codes` holds the ids of a
catalogue, `code_usage` and `code_meanings` say what the codes are worth and what they stand for.
"""

from recommender.semantic_ids.code_meanings import CodeMeaning, Trait
from recommender.semantic_ids.code_usage import LevelUse, SemanticIdsReport
from recommender.semantic_ids.codes import SemanticIds
from recommender.semantic_ids.modalities import FeaturesLike, join_modalities

__all__ = ["CodeMeaning", "FeaturesLike", "LevelUse", "SemanticIds", "SemanticIdsReport", "Trait", "join_modalities"]
