"""Training: one loop on accelerate for the stages align, rank and explain. The losses stand in `model/loss.py`."""

from recommender.training.loop import StageResult, TrainingData, run_stages

__all__ = ["StageResult", "TrainingData", "run_stages"]
