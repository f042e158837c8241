"""Fusion: several scorers in one ranking, weights from validation alone."""
