"""Semantic ids: item vectors -> a few codes an item."""
