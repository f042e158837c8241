"""Whether the targets of an evaluation were trained on: by content, whatever tables, rating limits and splits are called."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recommender.baselines.topk import PADDING
from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories, Split
from recommender.errors import DataError, RecommenderError
from recommender.eval.holdout import Holdout
from recommender.model.checkpoint import resolve
from recommender.model.trained_on import TrainedOn, digest_of
from recommender.pipelines.train import load_histories, split_of

logger = logging.getLogger(__name__)
LEAST = 5
"""Items of a history by which a user under another name is known again."""


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
    config, trained = Config.load(resolve(folder) / "config.yaml"), TrainedOn.load(resolve(folder))
    targets = list(_targets(holdout))
    learned = _learned(config, catalogue, trained)
    if learned is not None:
        seen = [target for target in targets if learned.saw(target, holdout, histories)]
        if seen:
            _refuse(folder, f"{len(seen)} of the {len(targets)} targets", seen[0], config, histories, catalogue)
        if chose := sum(learned.chose(target, histories) for target in targets):
            logger.warning("%s: %d of the %d targets decided when its training stopped", folder, chose, len(targets))
    elif trained is not None:
        pairs = [(histories.user_ids[target.user], catalogue.item_ids[target.item]) for target in targets]
        if (count := trained.too_many_seen(pairs)) is not None:
            _refuse(folder, f"about {count} of the {len(targets)} targets", None, config, histories, catalogue)
        logger.warning(
            "%s: its interactions are not at hand any more; few of the targets may have been trained on", folder
        )
    if trained is None:
        known = "by the name of its table only" if learned is not None else "not"
        logger.warning(
            "%s: holds no digest of its interactions; whether targets were trained on is known %s", folder, known
        )


def _refuse(
    folder: str, how_many: str, first: _Target | None, config: Config, histories: Histories, catalogue: Catalogue
) -> None:
    named = ""
    if first is not None:
        named = f"; first user {histories.user_ids[first.user]!r} and item {catalogue.item_ids[first.item]!r}"
    data = config.data
    raise DataError(
        f"{folder}: was trained on {how_many}{named}",
        f"evaluate it on what it kept out: {data.interactions} with data.minimum_rating: {data.minimum_rating} by"
        " leave-one-out; or train it without these targets",
    )


def _targets(holdout: Holdout) -> Iterator[_Target]:
    for user in holdout.test_users.tolist():
        known = set(holdout.histories[user].tolist())
        for item in holdout.table[user].tolist():
            if item != PADDING and item not in known:
                yield _Target(user, item)


class _Learned:
    """What training saw: each user's items, and the beginnings of all histories, for users who have another name here."""

    def __init__(self, histories: Histories, split: Split) -> None:
        learned = split.train.items
        self.validation = dict(zip(histories.user_ids, split.validation.tolist(), strict=True))
        self.items = {user: frozenset(items.tolist()) for user, items in zip(histories.user_ids, learned, strict=True)}
        self.beginnings = {start for items in learned for start in _beginnings(items.tolist())}

    def saw(self, target: _Target, holdout: Holdout, histories: Histories) -> bool:
        """Whether the target's item was learned as this user's."""
        user = histories.user_ids[target.user]
        if user in self.items:
            return target.item in self.items[user]
        whole = list(_beginnings([*holdout.histories[target.user].tolist(), target.item]))
        return bool(whole) and whole[-1] in self.beginnings

    def chose(self, target: _Target, histories: Histories) -> bool:
        """Whether the target was the user's validation target."""
        return self.validation.get(histories.user_ids[target.user], PADDING) == target.item


def _beginnings(items: Sequence[int]) -> Iterator[int]:
    """Yield a hash of each beginning of a history that is long enough to tell users apart."""
    value = 0
    for count, item in enumerate(items, start=1):
        value = hash((value, item))
        if count > LEAST:
            yield value


def _learned(config: Config, catalogue: Catalogue, trained: TrainedOn | None) -> _Learned | None:
    """Return what training saw, from the table that the config names; None if that is gone or was changed since."""
    try:
        histories = load_histories(config, catalogue)
    except (RecommenderError, OSError):
        return None
    if trained is not None and digest_of(histories, catalogue) != trained.digest:
        return None
    return _Learned(histories, split_of(config, histories))
