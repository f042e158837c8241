"""Lists as they are served: ranked, with chance where that is configured, by the arm that somebody has, and written down.

What is configured nowhere costs nothing: then a list is the engine's ranking, and its probabilities are 1.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recommender.config import ArmConfig, ExperimentConfig, ExplorationConfig, ServingConfig
from recommender.engine import Engine, RankedItem, Request, Response
from recommender.engine.filters import matching
from recommender.engine.rules import short_list
from recommender.engine.variants import FusionVariant, check_factors
from recommender.errors import RecommenderError
from recommender.experiments.arms import assigned
from recommender.experiments.draws import generator
from recommender.experiments.interleaving import team_draft
from recommender.experiments.policies import PLAIN, ListPolicy
from recommender.server.audit_trail import digest
from recommender.server.http_errors import HttpError
from recommender.server.queues import RankingQueue
from recommender.store.impressions import Impression, Mode
from recommender.store.store import Store

logger = logging.getLogger(__name__)
_Factors = tuple[tuple[str, float], ...]
EngineFor = Callable[[str | None], Awaitable[Engine]]


def new_request_id() -> str:
    """Return an id for an answer."""
    return f"list-{uuid.uuid4().hex}"


@dataclass(frozen=True)
class Served:
    """A list, and what is written down of it."""

    ranking: Response
    impression: Impression


@dataclass(frozen=True)
class _Way:
    """A way of ranking: a further adapter, factors on fusion weights; and how its ranking becomes a list."""

    model: str | None = None
    factors: _Factors = ()
    exploration: ExplorationConfig = PLAIN

    def with_arm(self, arm: ArmConfig | None) -> _Way:
        if arm is None:
            return self
        return _Way(
            arm.model or self.model,
            self.factors if arm.fusion is None else tuple(sorted(arm.fusion.items())),
            arm.exploration or self.exploration,
        )


#: what a ranking hangs on: adapter, factors, length
_Key = tuple[str | None, _Factors, int]
_Arms = Mapping[str, ArmConfig]


def check_experiments(engine: Engine, limits: ServingConfig) -> None:
    """Raise ConfigError for arms that an engine cannot serve, RecommenderError if no item is what is said to be new."""
    arms = [arm for experiment in limits.experiments for arm in experiment.arms]
    for arm in arms:
        if arm.fusion:
            check_factors(engine, arm.fusion)
    for exploration in (limits.exploration, *(arm.exploration for arm in arms if arm.exploration is not None)):
        if exploration.new_items:
            new_items(engine, exploration)


def new_items(engine: Engine, exploration: ExplorationConfig) -> list[str]:
    """Return the ids of the items that are new. Raises RecommenderError for an attribute that no item has."""
    catalogue = engine.catalogue
    return [catalogue[int(item)].item_id for item in np.flatnonzero(matching(catalogue, exploration.new_items))]


class Lists:
    """Makes the lists of one server."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        limits: ServingConfig,
        store: Store | None,
        queue: RankingQueue,
        by_name: EngineFor,
    ) -> None:
        """`name`: of the model; `by_name`: finds the engine of NAME:ADAPTER."""
        self.engine, self.name, self.store = engine, name, store
        self.experiments, self.usual = limits.experiments, _Way(exploration=limits.exploration)
        self.queue, self._by_name, self._model = queue, by_name, digest(dict(engine.files))
        self._variants: dict[tuple[str | None, _Factors], FusionVariant] = {}
        self._missing: set[tuple[str, str]] = set()

    async def ranked(self, request: Request, engine: Engine, model: str | None, tried_on: bool) -> Served:
        """Return a list for a request. `model`: what it names; `tried_on`: whether chance and experiments may touch it.

        Raises as `RankingQueue.rank` does.
        """
        request_id, named = new_request_id(), model not in (None, self.name)
        if named or not tried_on or not (self.experiments or self.usual.exploration.explores):
            ranking = await self.queue.rank(request, engine)
            adapter = model.removeprefix(f"{self.name}:") if named and model else None
            return Served(ranking, self.impression(request_id, ranking.items, adapter=adapter))
        return await _Making(self, request, request_id).served()

    def impression(self, request_id: str, items: Sequence[RankedItem], mode: Mode = "best", **more: Any) -> Impression:
        """Return what is written down of a list; without more, it was certain to be as it is."""
        ids = tuple(item.item_id for item in items)
        more.setdefault("probabilities", (1.0,) * len(ids))
        more.setdefault("scores", tuple(round(float(item.score), 4) for item in items))
        return Impression(request_id=request_id, items=ids, mode=mode, model=self._model, **more)

    def keep(self, user: str | None, shown: Impression) -> None:
        """Write down a list that somebody is about to be shown, where a store is there, and they agree."""
        if self.store is not None and user is not None and shown.items:
            self.store.impressions.add(user, shown)

    def unit(self, user: str | None, request_id: str) -> str:
        """Return who keeps an arm: a person, or a request that names nobody."""
        return request_id if user is None or self.store is None else self.store.people.pseudonym(user)

    async def engine_of(self, way: _Way) -> Engine:
        """Return the engine that ranks in a way. Raises HttpError 404 for an adapter that is not there."""
        engine = self.engine if way.model is None else await self._by_name(f"{self.name}:{way.model}")
        if not way.factors:
            return engine
        key = way.model, way.factors
        return self._variants.setdefault(key, FusionVariant(engine, dict(way.factors)))()

    async def serves(self, experiment: ExperimentConfig, arm: ArmConfig) -> bool:
        """Return whether an arm's engine is there, for interleaving those of both; the log says once if it is not."""
        place = experiment.name, arm.name
        try:
            for part in experiment.arms if experiment.method == "interleave" else (arm,):
                await self.engine_of(self.usual.with_arm(part))
        except (HttpError, RecommenderError) as error:
            if place not in self._missing:
                logger.warning("experiment %s: the arm %s cannot be served: %s", *place, error)
            self._missing.add(place)
            return False
        self._missing.discard(place)
        return True

    def asked_of_new(self, request: Request, exploration: ExplorationConfig) -> Request | None:
        """Return a request for new items alone; None where none is asked for, or none may be listed."""
        if exploration.new_item_slot is None or exploration.new_item_slot > request.k:
            return None
        new = new_items(self.engine, exploration)
        if request.only is not None:
            allowed = frozenset(request.only)
            new = [item for item in new if item in allowed]
        return request.model_copy(update={"only": tuple(new), "k": exploration.pool}) if new else None


class _Making:
    """One list on its way: the rankings that it takes, each once."""

    def __init__(self, lists: Lists, request: Request, request_id: str) -> None:
        self.lists, self.request, self.request_id = lists, request, request_id
        unit = lists.unit(request.user, request_id)
        self.drawn = [(experiment, assigned(experiment, unit)) for experiment in lists.experiments]
        self._rankings: dict[_Key, Response] = {}

    async def served(self) -> Served:
        """Return the list, drawn and with its probabilities."""
        arms = await self._served_arms()
        merged = next((e for e in self.lists.experiments if e.method == "interleave" and e.name in arms), None)
        if merged is not None:
            return await self._interleaved(merged, arms)
        way = self._way(arms)
        policy, ranking = await self._policy(way), await self._ranking(way)
        drawn = policy.draw(self.request.k, generator("list", self.request_id))
        items = self._items(drawn.items, [policy.ranked, policy.new])
        others = {e.name: await self._others(e, arms, drawn.items) for e in self.lists.experiments if e.method == "ab"}
        impression = self.lists.impression(
            self.request_id,
            items,
            "explore" if way.exploration.explores else "best",
            probabilities=drawn.probabilities,
            adapter=way.model,
            arms={name: arm.name for name, arm in arms.items()},
            others={name: told for name, told in others.items() if told},
        )
        return Served(Response(items, self._notes(ranking, len(policy.ranked), way.exploration)), impression)

    async def _served_arms(self) -> dict[str, ArmConfig]:
        """Return experiment -> the arm that this list is made by, without those whose engine is not there."""
        return {
            experiment.name: arm
            for experiment, arm in self.drawn
            if arm is not None and await self.lists.serves(experiment, arm)
        }

    def _way(self, arms: _Arms, changed: ArmConfig | None = None, of: str = "") -> _Way:
        """Return how a list is made by arms, that of one experiment changed."""
        way, chosen = self.lists.usual, dict(arms) | ({of: changed} if changed is not None else {})
        for arm in chosen.values():
            way = way.with_arm(arm)
        return way

    async def _interleaved(self, experiment: ExperimentConfig, arms: _Arms) -> Served:
        k = self.request.k
        ways = [replace(self._way(arms, arm, experiment.name), exploration=PLAIN) for arm in experiment.arms]
        rankings = [await self._ranking(way) for way in ways]
        listed = [{item.item_id: item.score for item in ranking.items[:k]} for ranking in rankings]
        merged = team_draft(list(listed[0]), list(listed[1]), k, generator("draft", self.request_id))
        items = self._items(merged.items, listed)
        impression = self.lists.impression(
            self.request_id,
            items,
            "interleave",
            probabilities=merged.probabilities,
            arms={name: arm.name for name, arm in arms.items() if name != experiment.name},
            interleaved=experiment.name,
            teams=merged.teams,
        )
        return Served(Response(items, rankings[0].notes), impression)

    async def _others(self, experiment: ExperimentConfig, arms: _Arms, shown: Sequence[str]) -> dict[str, Any]:
        """Return arm -> the probabilities with which other arms of an experiment would have shown a list: of those that
        rank as some list here does anyway, or of all."""
        told = {}
        for arm in experiment.arms:
            way = self._way(arms, arm, experiment.name)
            served = arms.get(experiment.name)
            if served is not None and served.name == arm.name:
                continue
            if not experiment.shadow and self._known_ranking(way) is None:
                continue
            try:
                told[arm.name] = (await self._policy(way)).probabilities(shown)
            except (HttpError, RecommenderError) as error:
                logger.warning("experiment %s: the arm %s is not followed: %s", experiment.name, arm.name, error)
        return told

    async def _policy(self, way: _Way) -> ListPolicy:
        asked = self.lists.asked_of_new(self.request, way.exploration)
        ranking = await self._ranking(way)
        new = None if asked is None else await self.lists.queue.rank(asked, await self.lists.engine_of(way))
        pool = ranking.items[: self._width(way)]
        return ListPolicy(_scores(pool), way.exploration, _scores(new.items) if new else {})

    def _width(self, way: _Way) -> int:
        """Return how many items a ranking has from which a list is made."""
        return max(self.request.k, way.exploration.pool) if way.exploration.explores else self.request.k

    def _known_ranking(self, way: _Way) -> Response | None:
        """Return a ranking that is there already and goes as far as a way needs. With several levels of codes, one that
        took a wider beam is another one."""
        engine, needed = self.lists.engine, self._width(way)
        beam = 0 if engine.builder.code_tokens.shape[1] == 1 else engine.config.decoding.beam
        for (model, factors, width), ranking in self._rankings.items():
            alike = not beam or max(width, beam) == max(needed, beam)
            if (model, factors) == (way.model, way.factors) and width >= needed and alike:
                return ranking
        return None

    async def _ranking(self, way: _Way) -> Response:
        known = self._known_ranking(way)
        if known is None:
            width = self._width(way)
            request = self.request.model_copy(update={"k": width})
            known = await self.lists.queue.rank(request, await self.lists.engine_of(way))
            self._rankings[way.model, way.factors, width] = known
        return known

    def _items(self, ids: Iterable[str], scores: Sequence[Mapping[str, float]]) -> tuple[RankedItem, ...]:
        catalogue = self.lists.engine.catalogue
        entries = [(item, catalogue[catalogue.index(item)].title) for item in ids]
        return tuple(
            RankedItem(rank, item, title, next(known[item] for known in scores if item in known))
            for rank, (item, title) in enumerate(entries, 1)
        )

    def _notes(self, ranking: Response, found: int, exploration: ExplorationConfig) -> tuple[str, ...]:
        """Return the notes on a list: those of its ranking, which may have been asked for more, and what chance did."""
        width = max(self.request.k, exploration.pool) if exploration.explores else self.request.k
        notes = [note for note in ranking.notes if note != short_list(width, found)]
        if found < self.request.k:
            notes.insert(0, short_list(self.request.k, found))
        if exploration.from_rank is not None and exploration.from_rank <= self.request.k:
            notes.append(f"drawn by chance from rank {exploration.from_rank} on")
        if exploration.new_item_slot is not None and exploration.new_item_slot <= self.request.k:
            notes.append(f"rank {exploration.new_item_slot} is given to new items now and then")
        return tuple(notes)


def _scores(items: Sequence[RankedItem]) -> dict[str, float]:
    return {item.item_id: item.score for item in items}
