"""Studies: compare models and baselines, and measure what a part of a recipe, a modality or a query is worth.

comparison.py holds `evaluate`, the comparison behind `recommender evaluate`; its parts are entries.py (who is
compared), splits.py (what is held out), attributes.py and rankings.py. The studies are `ablation_study`,
`cold_start_study`, `signal_study`, `query_study`, the studies of justifications.py, `conversation_study`, and ratings/
with `rating_study`.
"""
