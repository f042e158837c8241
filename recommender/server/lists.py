"""Lists as they are served: ranked, with chance where that is configured, by the arm that somebody has, and written down.

What is configured nowhere costs nothing: then a list is the engine's ranking, and its probabilities are 1.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recommender.config import ArmConfig, ExperimentConfig, ExplorationConfig, ServingConfig
from recommender.engine import Engine, RankedItem, Request, Response
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
from recommender.server.ways import Arms, Factors, Way, chance_notes, new_among, new_items, same_beam, scores_of
from recommender.store.impressions import Impression, Mode
from recommender.store.store import Store

logger = logging.getLogger(__name__)
EngineFor = Callable[[str | None], Awaitable[Engine]]


def new_request_id() -> str:
    """Return an id for an answer."""
    return f"list-{uuid.uuid4().hex}"


@dataclass(frozen=True)
class Served:
    """A list, and what is written down of it."""

    ranking: Response
    impression: Impression


#: what a ranking hangs on: adapter, factors, length
_Key = tuple[str | None, Factors, int]


def check_experiments(engine: Engine, limits: ServingConfig) -> None:
    """Raise ConfigError for arms that an engine cannot serve, RecommenderError if no item is what is said to be new."""
    arms = [arm for experiment in limits.experiments for arm in experiment.arms]
    for arm in arms:
        if arm.fusion:
            check_factors(engine, arm.fusion)
    for exploration in (limits.exploration, *(arm.exploration for arm in arms if arm.exploration is not None)):
        if exploration.new_items:
            new_items(engine, exploration)


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
        self.experiments, self.usual = limits.experiments, Way(exploration=limits.exploration)
        self.queue, self._by_name, self._model = queue, by_name, digest(dict(engine.files))
        self._variants: dict[tuple[str | None, Factors], FusionVariant] = {}
        self._missing: set[tuple[str, str]] = set()

    async def ranked(
        self, request: Request, engine: Engine, model: str | None, tried_on: bool, mode: Mode | None = None
    ) -> Served:
        """Return a list for a request. `model`: what it names; `tried_on`: whether chance and experiments may touch it;
        `mode`: what it is written down as, where not as how it was made.

        Raises as `RankingQueue.rank` does.
        """
        request_id, named = new_request_id(), model not in (None, self.name)
        if named or not tried_on or not (self.experiments or self.usual.exploration.explores):
            ranking = await self.queue.rank(request, engine)
            adapter = model.removeprefix(f"{self.name}:") if named and model else None
            return Served(ranking, self.impression(request_id, ranking.items, mode or "best", adapter=adapter))
        served = await _Making(self, request, request_id).served()
        return served if mode is None else Served(served.ranking, served.impression.model_copy(update={"mode": mode}))

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

    async def engine_of(self, way: Way) -> Engine:
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
        allowed = None if request.only is None else frozenset(request.only)
        new = new_among(self.engine, exploration, request.k, allowed)
        return request.model_copy(update={"only": tuple(new), "k": exploration.pool}) if new else None

    def arms_drawn(self, user: str | None, request_id: str) -> dict[str, ArmConfig]:
        """Return experiment -> the arm that somebody has; those who take part in none are not in it."""
        unit = self.unit(user, request_id)
        drawn = ((experiment.name, assigned(experiment, unit)) for experiment in self.experiments)
        return {name: arm for name, arm in drawn if arm is not None}

    async def arms_served(self, user: str | None, request_id: str) -> dict[str, ArmConfig]:
        """Return the arms that a list is made by: `arms_drawn` without those whose engine is not there."""
        drawn = self.arms_drawn(user, request_id)
        return {
            experiment.name: drawn[experiment.name]
            for experiment in self.experiments
            if experiment.name in drawn and await self.serves(experiment, drawn[experiment.name])
        }


class _Making:
    """One list on its way: the rankings that it takes, each once."""

    def __init__(self, lists: Lists, request: Request, request_id: str) -> None:
        self.lists, self.request, self.request_id = lists, request, request_id
        self._rankings: dict[_Key, Response] = {}

    async def served(self) -> Served:
        """Return the list, drawn and with its probabilities."""
        arms = await self.lists.arms_served(self.request.user, self.request_id)
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
        return Served(Response(items, self._notes(ranking, len(policy.ranked), way)), impression)

    def _way(self, arms: Arms, changed: ArmConfig | None = None, of: str = "") -> Way:
        """Return how a list is made by arms, that of one experiment changed."""
        return self.lists.usual.with_arms(dict(arms) | ({of: changed} if changed is not None else {}))

    async def _interleaved(self, experiment: ExperimentConfig, arms: Arms) -> Served:
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

    async def _others(self, experiment: ExperimentConfig, arms: Arms, shown: Sequence[str]) -> dict[str, Any]:
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

    async def _policy(self, way: Way) -> ListPolicy:
        asked = self.lists.asked_of_new(self.request, way.exploration)
        ranking = await self._ranking(way)
        new = None if asked is None else await self.lists.queue.rank(asked, await self.lists.engine_of(way))
        pool = ranking.items[: way.width(self.request.k)]
        return ListPolicy(scores_of(pool), way.exploration, scores_of(new.items) if new else {})

    def _known_ranking(self, way: Way) -> Response | None:
        """Return a ranking that is there already and goes as far as a way needs. With several levels of codes, one that
        took a wider beam is another one."""
        engine, needed = self.lists.engine, way.width(self.request.k)
        for (model, factors, width), ranking in self._rankings.items():
            alike = same_beam(engine, width, needed)
            if (model, factors) == (way.model, way.factors) and width >= needed and alike:
                return ranking
        return None

    async def _ranking(self, way: Way) -> Response:
        known = self._known_ranking(way)
        if known is None:
            width = way.width(self.request.k)
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

    def _notes(self, ranking: Response, found: int, way: Way) -> tuple[str, ...]:
        """Return the notes on a list: those of its ranking, which may have been asked for more, and what chance did."""
        k = self.request.k
        notes = [note for note in ranking.notes if note != short_list(way.width(k), found)]
        if found < k:
            notes.insert(0, short_list(k, found))
        return (*notes, *chance_notes(way.exploration, k))
