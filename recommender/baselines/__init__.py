"""Baselines of every family, on one interface: histories in, scores of the whole catalogue out.

Each is fitted on histories (catalogue indices, oldest first) and scores all items for any history, also for users it
has not seen.
"""

from recommender.baselines.baseline import Baseline, FitData, ItemContent, profiles
from recommender.baselines.registry import BASELINES, is_baseline, make_baseline

__all__ = ["BASELINES", "ItemContent", "FitData", "Baseline", "is_baseline", "make_baseline", "profiles"]
