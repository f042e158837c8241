"""Lists in conversations: the chance and the arms of lists that are asked for, over what a conversation itself ranks.

Of interleaving experiments nobody is part here: a conversation answers with one ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from recommender.chat.replies import RankItems
from recommender.config import ExperimentConfig
from recommender.engine import Engine, RankedItem
from recommender.experiments.draws import generator
from recommender.experiments.policies import Drawn, ListPolicy
from recommender.inference.beam_search import Ranking
from recommender.server.lists import Lists
from recommender.server.ways import Arms, Way, chance_notes, new_among, same_beam
from recommender.store.impressions import Impression


class SpokenList:
    """How one answer becomes a list, and afterwards what is written down of it."""

    def __init__(
        self,
        lists: Lists,
        engine: Engine,
        request_id: str,
        way: Way,
        experiments: Sequence[ExperimentConfig] = (),
        arms: Arms = MappingProxyType({}),
    ) -> None:
        """`engine`: what ranks, in this way; `experiments`: those that compare it, `arms`: experiment -> arm."""
        self.lists, self.engine, self.request_id, self.way = lists, engine, request_id, way
        self.experiments, self.arms = experiments, arms
        self._told: dict[str, Any] = {}
        self._k = 0

    def __call__(self, rank: RankItems, k: int) -> Ranking:
        """Return the list: its items with their scores, in the order in which they are shown."""
        others = self._others(k)
        width = max(way.width(k) for way in (self.way, *(way for _, _, way in others)))
        ranking = rank(width)
        policy = self._policy(self.way, ranking, rank, k)
        drawn = policy.draw(k, generator("list", self.request_id))
        told: dict[str, dict[str, tuple[float, ...]]] = {}
        for experiment, arm, way in others:
            probabilities = self._policy(way, ranking, rank, k).probabilities(drawn.items)
            told.setdefault(experiment, {})[arm] = probabilities
        self._told, self._k = {"probabilities": drawn.probabilities, "others": told}, k
        return self._as_ranking(drawn, policy)

    def impression(self, items: Sequence[RankedItem]) -> Impression:
        """Return what is written down of the answer's list."""
        arms = {name: arm.name for name, arm in self.arms.items()}
        return self.lists.impression(self.request_id, items, "chat", adapter=self.way.model, arms=arms, **self._told)

    def notes(self) -> list[str]:
        """Return what chance did to the list, in words; nothing before there is one."""
        return chance_notes(self.way.exploration, self._k)

    def _others(self, k: int) -> list[tuple[str, str, Way]]:
        """Return (experiment, arm, way) of other arms that have the same scores, so that it costs nothing to follow them."""
        found = []
        for experiment in self.experiments:
            for arm in experiment.arms:
                way = self.lists.usual.with_arms(dict(self.arms) | {experiment.name: arm})
                alike = way.ranks_as(self.way) and same_beam(self.engine, way.width(k), self.way.width(k))
                if alike and arm != self.arms.get(experiment.name):
                    found.append((experiment.name, arm.name, way))
        return found

    def _policy(self, way: Way, ranking: Ranking, rank: RankItems, k: int) -> ListPolicy:
        fresh = new_among(self.engine, way.exploration, k)
        new = self._scores(rank(way.exploration.pool, fresh)) if fresh else {}
        pool = Ranking(ranking.items[: way.width(k)], ranking.scores[: way.width(k)])
        return ListPolicy(self._scores(pool), way.exploration, new)

    def _scores(self, ranking: Ranking) -> dict[str, float]:
        catalogue, rows = self.engine.catalogue, zip(ranking.items.tolist(), ranking.scores.tolist(), strict=True)
        return {catalogue[item].item_id: score for item, score in rows}

    def _as_ranking(self, drawn: Drawn, policy: ListPolicy) -> Ranking:
        scores = policy.new | policy.ranked
        items = self.engine.catalogue.indices(list(drawn.items))
        return Ranking(np.array(items, np.int64), np.array([scores[item] for item in drawn.items], np.float32))


async def spoken_list(lists: Lists, user: str | None, request_id: str) -> SpokenList:
    """Return how a conversation's list is made for somebody."""
    compared = [experiment for experiment in lists.experiments if experiment.method == "ab"]
    served = await lists.arms_served(user, request_id)
    arms = {experiment.name: served[experiment.name] for experiment in compared if experiment.name in served}
    way = lists.usual.with_arms(arms)
    return SpokenList(lists, await lists.engine_of(way), request_id, way, compared, arms)
