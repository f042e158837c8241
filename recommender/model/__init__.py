"""The network: the language model with item rows, projectors and LoRA; its losses; checkpoints and their cards."""

from recommender.model.devices import resolve_device
from recommender.model.language_model import load_llm, resolve_dtype
from recommender.model.network import RecommenderModel

__all__ = ["RecommenderModel", "load_llm", "resolve_device", "resolve_dtype"]
