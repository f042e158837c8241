"""Whether two catalogues help each other: one adapter for both, and one that began from the other's, beside one alone.

The tables are those of `recommender join`, with users who keep to one domain. Each domain in turn is the *target*, and a
share of its users is learned: *alone*; in *both*, one adapter that learns them beside all users of the other domain;
*started*, in an adapter that begins from one that has learned the other domain. All rank the target's items for the same
users of it, so that the figures are those of a leave-one-out over the target's own catalogue; *popularity* is counted on
what is learned.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recommender.baselines import FitData, make_baseline
from recommender.baselines.topk import rank_topk
from recommender.config import ColumnsConfig, Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories, leave_one_out
from recommender.data.joining import DOMAIN, INTERACTIONS, ITEMS
from recommender.data.written_tables import write_csv, write_items
from recommender.engine import Recommender
from recommender.errors import ConfigError, DataError
from recommender.numerics.sampling import evenly
from recommender.pipelines.train import load_catalogue, load_histories, train
from recommender.progress import Progress
from recommender.studies.domain_report import K, figures_of
from recommender.studies.rankings import rank_histories
from recommender.studies.steps import Steps

ALONE, BOTH, STARTED, POPULARITY = "alone", "both", "started", "popularity"
WAYS = (ALONE, BOTH, STARTED, POPULARITY)
_STEPS = "steps.json"


@dataclass(frozen=True)
class DomainOptions:
    """How transfer between two domains is studied.

    shares: of a target's users that are learned, in percent. most_interactions: of either domain no more than about so many
    are learned, those of an even sample of users, which then is the whole that shares are of. users: of a target that are
    tested, an even sample of all; None: all. repeats: epochs are multiplied by up to so much where few users are learned, so
    that a small share is not also a short training. seed: which users a share is, and the intervals.
    """

    shares: Sequence[float] = (5, 20, 100)
    most_interactions: int | None = None
    users: int | None = None
    repeats: int = 5
    attribute: str = DOMAIN
    seed: int = 0


@dataclass(frozen=True)
class _Domain:
    """One of the two: its items and the histories of its users, by places in the joined catalogue, the order in which shares
    take users, and who is tested."""

    name: str
    items: np.ndarray
    histories: Histories
    order: np.ndarray
    tested: np.ndarray

    def share(self, percent: float) -> np.ndarray:
        """Return the places of the users of a share, in rising order; a smaller share is a part of a larger one."""
        return np.sort(self.order[: max(round(len(self.order) * percent / 100), 1)])


def domain_study(
    config: Config,
    output: Path,
    options: DomainOptions | None = None,
    targets: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train and test all ways, shares and directions, and return the figures; a study that was stopped goes on.

    config: a recipe over joined tables. targets: the domains that are targets, by default both; a study of one goes on with
    the other. Raises ConfigError for shares that are none and a recipe with a start of its own,
    DataError for tables that are not of two domains, users of both, and a folder of a study with other settings.
    """
    options = options or DomainOptions()
    _check(config, options)
    catalogue = load_catalogue(config, progress)
    histories = load_histories(config, catalogue)
    domains = _domains(catalogue, histories, options)
    names = [domain.name for domain in domains]
    if unknown := next((target for target in targets if target not in names), None):
        raise DataError(f"there is no domain {unknown!r}", f"there are {' and '.join(names)}")
    output.mkdir(parents=True, exist_ok=True)
    return _Study(config, catalogue, domains, options, output, progress).run(targets or names)


def _check(config: Config, options: DomainOptions) -> None:
    if not options.shares or not all(0 < share <= 100 for share in options.shares):
        raise ConfigError("shares are percents above 0, at most 100", "for example 5,20,100")
    if config.base.adapter is not None:
        raise ConfigError(
            "base.adapter: what starts from an adapter has learned another domain already", "set base.adapter: null"
        )
    if any(stage.stage != "rank" for stage in config.training.stages):
        raise ConfigError("training.stages: the study needs stages that rank alone", "leave the others out")


def _domains(catalogue: Catalogue, histories: Histories, options: DomainOptions) -> tuple[_Domain, _Domain]:
    values = list(catalogue.attribute_index.values(options.attribute))
    if len(values) != 2:
        found = f"{len(values)} values" if values else "no value"
        reason = f"the items have {found} of the attribute {options.attribute!r}, and a study of two domains needs two"
        raise DataError(reason, "make the tables with recommender join")
    of_item = np.full(len(catalogue), -1)
    for number, value in enumerate(values):
        of_item[catalogue.attribute_index.items(options.attribute, value)] = number
    if (of_item < 0).any():
        reason = f"item {catalogue.item_ids[int(np.argmin(of_item))]!r} has no {options.attribute}"
        raise DataError(reason, "make the tables with recommender join")
    of_user = np.array([_domain_of_user(histories, user, of_item) for user in range(len(histories))])
    first, second = (
        _domain(_spelled(catalogue, of_item, number, options), np.flatnonzero(of_item == number), part, options)
        for number, part in ((0, histories.chosen(of_user == 0)), (1, histories.chosen(of_user == 1)))
    )
    return first, second


def _spelled(catalogue: Catalogue, of_item: np.ndarray, number: int, options: DomainOptions) -> str:
    """Return the name of a domain as its items spell it."""
    return catalogue[int(np.argmax(of_item == number))].attributes[options.attribute][0]


def _domain_of_user(histories: Histories, user: int, of_item: np.ndarray) -> int:
    found = np.unique(of_item[histories.items[user]])
    if len(found) != 1:
        raise DataError(
            f"user {histories.user_ids[user]!r} has items of both domains, and the study keeps users apart",
            "join without --same-users",
        )
    return int(found[0])


def _domain(name: str, items: np.ndarray, histories: Histories, options: DomainOptions) -> _Domain:
    with_target = np.flatnonzero(leave_one_out(histories).test >= 0) if len(histories) else np.empty(0, np.int64)
    if not len(with_target):
        raise DataError(f"{name}: no user has three items or more", "two of each are kept out of training")
    tested = with_target[evenly(len(with_target), min(options.users or len(with_target), len(with_target)))]
    interactions = sum(map(len, histories.items))
    learned = evenly(
        len(histories), round(len(histories) * min((options.most_interactions or np.inf) / interactions, 1))
    )
    order = np.random.default_rng(options.seed).permutation(learned)
    return _Domain(name, items, histories, order, tested)


class _Study:
    """One study: its domains, what was done, and where models lie."""

    def __init__(
        self,
        config: Config,
        catalogue: Catalogue,
        domains: tuple[_Domain, _Domain],
        options: DomainOptions,
        output: Path,
        progress: Progress | None,
    ) -> None:
        self.catalogue, self.domains, self.options = catalogue, domains, options
        self.output, self.progress = output, progress
        self.steps = Steps.of(output / _STEPS, config, options)
        plain: dict[str, Any] = {"data.columns": ColumnsConfig().model_dump(), "data.facts": None, "data.users": None}
        plain |= {"data.items_table": {}, "data.interactions_table": {}, "data.minimum_rating": None}
        self.config = config.updated(plain | {"data.standin_media": False, "training.keep_test_out": True}, "study")

    def run(self, targets: Sequence[str]) -> dict[str, Any]:
        """Do all steps of these targets and return the figures."""
        for target, source in (pair for pair in (self.domains, self.domains[::-1]) if pair[0].name in targets):
            for share in self.options.shares:
                for way in WAYS:
                    self.steps.once(f"{target.name} {share:g} {way}", partial(self._ranks, target, source, share, way))
        about = {
            "domains": {
                domain.name: {
                    "items": len(domain.items),
                    "users": len(domain.histories),
                    "interactions": sum(len(domain.histories.items[user]) for user in domain.order.tolist()),
                    "tested": len(domain.tested),
                    "learned": {f"{share:g}": len(domain.share(share)) for share in self.options.shares},
                }
                for domain in self.domains
            },
            "seed": self.options.seed,
            "repeats": self.options.repeats,
        }
        return {"about": about, **figures_of(self.steps.done, about, targets, WAYS)}

    def _ranks(self, target: _Domain, source: _Domain, share: float, way: str) -> dict[str, Any]:
        """Return the rank of each tested user's last item among the target's, K + 1 below K; and the seconds of training."""
        split = leave_one_out(target.histories)
        histories = [split.history_for("test")[user] for user in target.tested.tolist()]
        if way == POPULARITY:
            seconds, lists = 0.0, self._popular(target, share, histories)
        else:
            folder, seconds = self._trained(target, source, share, way)
            lists = self._listed(folder, target, histories)
        hits = lists == split.test[target.tested][:, None]
        ranks = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, K + 1)
        return {"ranks": ranks.tolist(), "seconds": seconds}

    def _popular(self, target: _Domain, share: float, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return lists of the target's items by how often the users of a share took them."""
        learned = leave_one_out(target.histories.chosen(target.share(share))).train.items
        baseline = make_baseline("popularity")
        baseline.fit(FitData(learned, len(self.catalogue), None, self.options.seed, self.progress))
        scores = np.array(baseline.scores(histories), np.float64)
        scores[:, np.setdiff1d(np.arange(len(self.catalogue)), target.items)] = -np.inf
        return rank_topk(scores, histories, K)

    def _listed(self, folder: Path, target: _Domain, histories: Sequence[np.ndarray]) -> np.ndarray:
        """Return the best K of the target's items for histories, [histories, K], as places in the joined catalogue."""
        engine = Recommender.from_pretrained(folder, None, self.progress)
        own = np.array([self.catalogue.index(item_id) for item_id in engine.catalogue.item_ids])
        place = np.full(len(self.catalogue), -1)
        place[own] = np.arange(len(own))
        others = np.flatnonzero(~np.isin(own, target.items))
        told = [place[history] for history in histories]
        lists = rank_histories(engine, told, K, [np.append(history, others) for history in told], None, self.progress)
        return np.where(lists >= 0, own[lists], -1)

    def _trained(self, target: _Domain, source: _Domain, share: float, way: str) -> tuple[Path, float]:
        """Train unless that is done, and what it begins from before; return the folder and the seconds of this training."""
        if way == BOTH:
            # all of both are the same model whichever is the target
            name = BOTH if share == 100 else f"{BOTH}, {share:g} of {target.name}"
            return self._model(name, [(target, share), (source, 100)], 1, {})
        times = min(100 / share, self.options.repeats)
        if way == ALONE:
            return self._model(f"{target.name} {share:g}", [(target, share)], times, {})
        start, _ = self._model(f"{source.name} 100", [(source, 100)], 1, {})
        name = f"{target.name} {share:g} from {source.name}"
        return self._model(name, [(target, share)], times, {"base.adapter": str(start)})

    def _model(
        self, name: str, learned: Sequence[tuple[_Domain, float]], times: float, changes: dict[str, Any]
    ) -> tuple[Path, float]:
        folder, tables = self.output / "models" / name.replace(" ", "-").replace(",", ""), self.output / "tables" / name

        def work() -> float:
            began = time.monotonic()
            self._write_tables(tables, learned)
            stages = self.config.training.stages
            more: dict[str, Any] = {
                f"training.stages.{n}.epochs": stage.epochs * times for n, stage in enumerate(stages)
            }
            more |= {"data.items": str(tables / ITEMS), "data.interactions": str(tables / INTERACTIONS)}
            train(self.config.updated(changes | more, "study"), folder, self.progress, recipe="study domains")
            return round(time.monotonic() - began, 1)

        return folder, self.steps.once(f"trained {name}", work)

    def _write_tables(self, folder: Path, learned: Sequence[tuple[_Domain, float]]) -> None:
        items = np.sort(np.concatenate([domain.items for domain, _ in learned]))
        write_items(folder / ITEMS, (self.catalogue[int(item)] for item in items))
        rows = (
            (domain.histories.user_ids[user], self.catalogue.item_ids[item], position)
            for domain, share in learned
            for user in domain.share(share).tolist()
            for position, item in enumerate(domain.histories.items[user].tolist())
        )
        write_csv(folder / INTERACTIONS, ("user_id", "item_id", "position"), rows)
