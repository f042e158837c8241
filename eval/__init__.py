"""Evaluation: one protocol for all models (protocol.py), metrics, bootstrap intervals and reports.

The protocol sees ranked item indices only, never a model. Justifications and conversations have measures of their own:
grounding.py, planted_errors.py, text_overlap.py, generated_queries.py. LOG.md tells what has been measured so far.
"""
