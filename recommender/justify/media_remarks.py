"""What an item's picture or sound shows, said where it moved the score: measured on the model, named by the frozen tower.

By intervention: the scores are computed once more with the media of the recommended items replaced by the null token that
stands for a missing one, and, where a history item's medium has the same label, once with that one replaced. Said is only a
label of which the tower is sure (`encoders.labels.SURE`), and only if the item's own medium adds `LEAST` nats.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender import prompts
from recommender.config import Modality
from recommender.data.catalogue import Catalogue
from recommender.encoders import picture_kinds
from recommender.encoders.labels import Label, MediaLabels
from recommender.justify.evidence import Evidence
from recommender.justify.item_names import display_name
from recommender.justify.style import Style

#: nats that a medium must add to a score to be spoken of: it makes the item a twentieth likelier
LEAST = 0.05
#: history items that are named for the same label
MOST_NAMED = 2
#: a share of all probability that items may have together while the rest is told from rounding
_MOST_TOGETHER = 0.99

ScoreWithout = Callable[[Modality | None, Sequence[int], Sequence[int]], np.ndarray | None]
"""A modality, items that are read without it, candidates -> log-probabilities [candidates] behind the request's history;
None where the engine cannot leave a medium out. No modality: as they are."""


@dataclass(frozen=True)
class MediaRemark:
    """What one medium of an item adds to its score, in nats, and what it shows.

    `labels`: best first; the first is sure. `items`: influences whose medium has the same sure label and adds to the score.
    """

    modality: Modality
    effect: float
    labels: tuple[Label, ...]
    items: tuple[int, ...] = ()


def find_remarks(
    labels: MediaLabels,
    evidence: Sequence[Evidence],
    history: Collection[int],
    score: ScoreWithout,
    replaced: Collection[tuple[int, Modality]] = (),
) -> list[tuple[MediaRemark, ...]]:
    """Return what may be said of the media of each recommended item; for most items nothing.

    `replaced`: media of history items for which the request brings others, so that their labels are not of what was read.
    """
    found: list[tuple[MediaRemark, ...]] = [() for _ in evidence]
    for modality in labels.kinds:
        # with a medium that the history shows too, the effects of both could not be told apart
        places = [n for n, e in enumerate(evidence) if labels.sure(modality, e.item) and e.item not in history]
        items = [evidence[n].item for n in places]
        whole = score(None, (), items) if items else None
        effects = None if whole is None else _own_effects(modality, items, whole, score)
        if whole is None or effects is None:
            continue
        scores = dict(zip(items, whole.tolist(), strict=True))
        counting = {n: effect for n, effect in zip(places, effects.tolist(), strict=True) if effect >= LEAST}
        alike = {
            n: _alike(labels, modality, evidence[n], replaced) for n in sorted(counting, key=lambda n: -counting[n])
        }
        sharing = {evidence[n].item: others for n, others in alike.items() if others}
        named = _that_count(modality, sharing, scores, score)
        for n, effect in counting.items():
            item = evidence[n].item
            found[n] += (MediaRemark(modality, effect, labels.of(modality, item), named.get(item, ())),)
    return found


def _own_effects(modality: Modality, items: Sequence[int], whole: np.ndarray, score: ScoreWithout) -> np.ndarray | None:
    """Return by how many nats [items] each score of `whole` falls without the item's own medium.

    The items lose their media together, in one pass, and share the softmax; see `alone`. Where they are nearly all that can
    be recommended, that is not told from rounding, and each loses its own in a pass of its own.
    """
    without = score(modality, items, items)
    if without is None:
        return None
    if max(np.exp(whole).sum(), np.exp(without).sum()) < _MOST_TOGETHER:
        return np.asarray(whole, np.float64) - alone(whole, without)
    one_by_one = (score(modality, [item], [item]) for item in items)
    return np.asarray(whole, np.float64) - np.array([scores[0] for scores in one_by_one if scores is not None])


def alone(whole: np.ndarray, together: np.ndarray) -> np.ndarray:
    """Return the log-probabilities [items] that each of some items has when only its own logit changes.

    `whole`: their log-probabilities before, `together`: after all their logits changed, the others' staying the same.
    Exact: the logits follow from both, up to the constant that the others share.
    """
    before, after = np.asarray(whole, np.float64), np.asarray(together, np.float64)
    # what the softmax divides by, as a share of what it was: the others' part of it stays
    changed = after + np.log1p(-np.exp(before).sum()) - np.log1p(-np.exp(after).sum())
    return np.asarray(changed - np.log1p(np.exp(changed) - np.exp(before)))


def _alike(
    labels: MediaLabels, modality: Modality, evidence: Evidence, replaced: Collection[tuple[int, Modality]]
) -> tuple[int, ...]:
    """Return the influences whose medium has the same sure label."""
    own = labels.sure(modality, evidence.item)
    others = [influence.item for influence in evidence.influences if (influence.item, modality) not in replaced]
    sure = {other: labels.sure(modality, other) for other in others}
    return tuple(other for other, label in sure.items() if own and label and label.name == own.name)[:MOST_NAMED]


def _that_count(
    modality: Modality, alike: Mapping[int, tuple[int, ...]], whole: Mapping[int, float], score: ScoreWithout
) -> dict[int, tuple[int, ...]]:
    """Return the history items of `alike` whose media add `LEAST` nats to the score of the item that they are alike to.

    `whole`: item -> its score with all media.
    `alike`: item -> history items, the item whose own medium adds most first. Only what that one is alike to is tried, for
    all items that are alike to the same: a pass for each other set would keep people waiting.
    """
    if not alike:
        return {}
    others = next(iter(alike.values()))
    items = [item for item, its in alike.items() if its == others]
    without = score(modality, others, items)
    if without is None:
        return {}
    return {item: others for item, left in zip(items, without.tolist(), strict=True) if whole[item] - left >= LEAST}


def remark_text(remarks: Sequence[MediaRemark], catalogue: Catalogue, style: Style) -> str:
    """Return what is said of an item's media; "" for nothing, in short justifications, in languages without the words."""
    if style.length == "short" or style.language not in prompts.media_languages():
        return ""
    known = [remark for remark in remarks if remark.labels[0].name in picture_kinds.NAMES]
    return " ".join(_sentence(remark, catalogue, style) for remark in known)


def _sentence(remark: MediaRemark, catalogue: Catalogue, style: Style) -> str:
    template, modality = f"media/{style.language}", remark.modality
    return prompts.render_block(
        template,
        "remark",
        modality=modality,
        medium=prompts.render_block(template, "medium", modality=modality, noun=style.words.singular),
        label=prompts.render_block(template, "label", kind=remark.labels[0].name),
        others=[f'"{display_name(catalogue[item])}"' for item in remark.items],
    )
