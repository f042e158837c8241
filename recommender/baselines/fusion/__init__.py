"""Fusion: one ranking from the language model and baselines, with weights fitted on validation targets alone.

score_views.py: scores of any scale as comparable numbers; conditional_logit.py,
weights.py: fit the weights; gate.py: weights that depend
on the history; gate_fit.py: fits those; stored.py: the fusion in a checkpoint.
"""
