"""Whole runs: from two tables to a checkpoint, new items, fusion, the demo."""
