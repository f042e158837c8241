"""Whole runs: training from two tables to a checkpoint, adding new items, fusion with baselines, the demo."""
