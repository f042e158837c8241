"""Whether the targets of an evaluation were trained on: by content, whatever tables, rating limits and splits are called."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recommender.baselines.fusion.stored import FUSION_FILE
from recommender.baselines.topk import PADDING
from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.errors import DataError, RecommenderError
from recommender.eval.holdout import Holdout
from recommender.model.checkpoint import resolve
from recommender.model.trained_on import WINDOW, TrainedOn, chance_of_runs, digest_of, excess, runs_of
from recommender.pipelines.train import load_histories, split_of
from recommender.studies.learned_together import Together

logger = logging.getLogger(__name__)
LEAST = 5
"""Items before a target by which it is known again under another user's name."""


@dataclass(frozen=True)
class _Target:
    """A target that is not in the user's own history, where it could not be hit."""

    user: int
    item: int


def check_targets_unseen(folder: str, holdout: Holdout, histories: Histories, catalogue: Catalogue) -> None:
    """Raise DataError if a checkpoint was trained on targets of the holdout, over `histories`; it names the first one.

    Exact where the table that it was trained on is at hand; from the checkpoint's own sketch where that has changed or gone:
    see `TrainedOn`. A note says so of a checkpoint that holds neither.
    """
    _check_lineage(folder, TrainedOn.load(resolve(folder)), holdout, histories, catalogue)


def _check_lineage(
    folder: str, trained: TrainedOn | None, holdout: Holdout, histories: Histories, catalogue: Catalogue
) -> None:
    """Check a checkpoint, and the adapters that its training began from: what those learned, it knows."""
    config = Config.load(resolve(folder) / "config.yaml")
    _check(folder, config, trained, holdout, histories, catalogue)
    earlier, adapter = trained.earlier if trained is not None else None, config.base.adapter
    if adapter and (resolve(adapter) / "config.yaml").is_file():
        _check_lineage(adapter, TrainedOn.load(resolve(adapter)) or earlier, holdout, histories, catalogue)
        return
    while earlier is not None:
        _check_by_sketch(f"{folder}: the adapter that it began from", earlier, None, holdout, histories, catalogue)
        earlier = earlier.earlier


def _check(
    folder: str,
    config: Config,
    trained: TrainedOn | None,
    holdout: Holdout,
    histories: Histories,
    catalogue: Catalogue,
) -> None:
    targets = list(_targets(holdout))
    learned = _learned(folder, config, catalogue, trained)
    if learned is not None:
        others = [target for target in targets if not learned.knows(histories, target.user)]
        followed = {*learned.followed(folder, others, holdout)}
        seen = [target for target in targets if target in followed or learned.saw(target, histories)]
        if seen:
            _refuse(folder, f"{len(seen)} of the {len(targets)} targets", seen[0], config, histories, catalogue)
        if chose := sum(learned.chose(target, histories) for target in targets):
            logger.warning("%s: %d of the %d targets decided when its training stopped", folder, chose, len(targets))
    elif trained is not None:
        _check_by_sketch(folder, trained, config, holdout, histories, catalogue)
    if trained is None:
        known = "by the name of its table only" if learned is not None else "not"
        logger.warning(
            "%s: holds no digest of its interactions; whether targets were trained on is known %s", folder, known
        )


def _check_by_sketch(
    what: str,
    trained: TrainedOn,
    config: Config | None,
    holdout: Holdout,
    histories: Histories,
    catalogue: Catalogue,
) -> None:
    targets, ids = list(_targets(holdout)), catalogue.item_ids
    pairs = [(histories.user_ids[target.user], ids[target.item]) for target in targets]
    runs = [tuple(ids[item] for item in _run(target, holdout, WINDOW)) for target in targets]
    if (count := trained.too_many_seen(pairs, runs)) is not None:
        _refuse(what, f"about {count} of the {len(targets)} targets", None, config, histories, catalogue)
    logger.warning(
        "%s: its interactions are not at hand any more; that it was trained on many of the targets would show, that it"
        " was on a few would not",
        what,
    )


def _refuse(
    folder: str, how_many: str, first: _Target | None, config: Config | None, histories: Histories, catalogue: Catalogue
) -> None:
    named = ""
    if first is not None:
        named = f"; first user {histories.user_ids[first.user]!r} and item {catalogue.item_ids[first.item]!r}"
    hint = "train it without these targets"
    if config is not None and config.training.keep_test_out:
        data = config.data
        kept_out = f"{data.interactions} with data.minimum_rating: {data.minimum_rating} by leave-one-out"
        hint = f"evaluate it on what it kept out: {kept_out}; or {hint}"
    raise DataError(f"{folder}: was trained on {how_many}{named}", hint)


def _targets(holdout: Holdout) -> Iterator[_Target]:
    for user in holdout.test_users.tolist():
        known = set(holdout.histories[user].tolist())
        for item in holdout.table[user].tolist():
            if item != PADDING and item not in known:
                yield _Target(user, item)


def _run(target: _Target, holdout: Holdout, before: int) -> tuple[int, ...]:
    """Return the target's item after the items before it."""
    return (*holdout.histories[target.user].tolist()[-before:], target.item)


class _Learned:
    """What training saw: each user's items, and what followed which items, for users who have another name here."""

    def __init__(self, histories: Histories, items: Sequence[np.ndarray], validation: np.ndarray) -> None:
        learned = [own.tolist() for own in items]
        self.validation = dict(zip(histories.user_ids, validation.tolist(), strict=True))
        self.items = {user: frozenset(items) for user, items in zip(histories.user_ids, learned, strict=True)}
        self.read = {
            user: frozenset(items.tolist()) for user, items in zip(histories.user_ids, histories.items, strict=True)
        }
        self.learned = learned

    def knows(self, histories: Histories, user: int) -> bool:
        """Whether a user of this name had these items when training read them, more or fewer of them: the same person.

        Then what was learned of them is known by name, and what others took after the same items says nothing.
        """
        before, now = self.read.get(histories.user_ids[user]), set(histories.items[user].tolist())
        return before is not None and min(len(before), len(now)) > 1 and (before <= now or now <= before)

    def saw(self, target: _Target, histories: Histories) -> bool:
        """Whether the target's item was learned as this user's."""
        return target.item in self.items.get(histories.user_ids[target.user], ())

    def followed(self, folder: str, targets: list[_Target], holdout: Holdout) -> list[_Target]:
        """Return the targets that were learned after the same items from whatever user; [] if that may be accident."""
        learned, maybe = [], 0
        for before in range(1, LEAST + 1):
            alike = [(t, run) for t in targets if len(run := _run(t, holdout, LEAST)) == before + 1]
            if not alike:
                continue
            runs = {run for items in self.learned for run in runs_of(items, before)}
            found = [target for target, run in alike if run in runs]
            if excess(len(found), len(alike), chance_of_runs(self.learned, before)) is not None:
                learned += found
                continue
            near = [target for target, run in alike if self.together(run)]
            if excess(len(near), len(alike), self.together.chance(before)) is not None:
                learned += near
            else:
                maybe += len(found)
        if maybe:
            said = "%s: %d of the %d targets follow the same items in what it was trained on, maybe by accident"
            logger.warning(said, folder, maybe, len(targets))
        return learned

    @cached_property
    def together(self) -> Together:
        """What was learned together, whatever the order."""
        return Together(self.learned)

    def chose(self, target: _Target, histories: Histories) -> bool:
        """Whether the target was the user's validation target."""
        return self.validation.get(histories.user_ids[target.user], PADDING) == target.item


def _learned(folder: str, config: Config, catalogue: Catalogue, trained: TrainedOn | None) -> _Learned | None:
    """Return what training saw, from the table that the config names; None if that is gone or was changed since.

    Baselines that `fuse` put into a checkpoint have learned the targets of validation, too.
    """
    try:
        histories = load_histories(config, catalogue)
    except (RecommenderError, OSError):
        return None
    if trained is not None and digest_of(histories, catalogue) != trained.digest:
        return None
    split = split_of(config, histories)
    fused = (resolve(folder) / FUSION_FILE).is_file()
    return _Learned(histories, split.history_for("test") if fused else split.train.items, split.validation)
