"""Ranking and writing with a trained model: beam search, attention, layers, cached weights."""
