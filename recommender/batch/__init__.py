"""Answers files of requests offline: order kept, one line a request, killed and resumed without loss or repeats."""

from recommender.batch.parts import PartsReport, run_parts
from recommender.batch.runner import BatchOptions, BatchReport, run_batch

__all__ = ["BatchOptions", "BatchReport", "PartsReport", "run_batch", "run_parts"]
