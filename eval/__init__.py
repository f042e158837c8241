"""Evaluation: metrics, baselines, one protocol for every model, bootstrap intervals and reports."""
