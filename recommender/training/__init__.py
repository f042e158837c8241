"""Training: one loop on accelerate for the stages align, rank and explain."""

from recommender.training.loop import StageResult, TrainingData, train

__all__ = ["StageResult", "TrainingData", "train"]
