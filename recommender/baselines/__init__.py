"""Baselines of every family behind one interface: histories in, scores of the whole catalogue out.

A baseline is fitted on histories (catalogue indices, oldest first) and scores every item for any history, also for
users it was not fitted on. Evaluation, fusion with the language model and the teacher of its training all use this
interface.

To add a baseline:

1. Write a class with a `name` and the two methods of `Baseline` (baseline.py): `fit(data)` learns from
   `data.histories`, `scores(histories)` returns float32 [users, items]. `Ease` in ease.py is the shortest example. A
   neural model of the next item subclasses `NextItemBaseline` (next_item.py) and writes `build` only.
2. Add a line `"my-name": lazy("my_module", "MyClass")` to `BASELINES` in registry.py. Attributes of the class that are
   numbers can then be set by name: `my-name:decay=3`.
3. Run `pytest tests/baselines/test_registry.py`, which fits and scores every registered baseline, and compare yours:
   `recommender evaluate my-name popularity sequential-item-knn --config CONFIG --output DIR`.

Optional: the attribute `learned` lets a baseline lie in a checkpoint (item_tables.py); `data.need_text(name)` and
`data.need_content(name)` give the items' content.
"""

from recommender.baselines.baseline import Baseline, FitData, ItemContent
from recommender.baselines.registry import BASELINES, is_baseline, make_baseline

__all__ = ["BASELINES", "Baseline", "FitData", "ItemContent", "is_baseline", "make_baseline"]
