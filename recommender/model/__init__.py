"""The language model with item rows, projectors and LoRA; how it is saved, loaded, merged and described."""

from recommender.model.language_model import load_llm, resolve_device, resolve_dtype
from recommender.model.network import RecommenderModel

__all__ = ["RecommenderModel", "load_llm", "resolve_device", "resolve_dtype"]
