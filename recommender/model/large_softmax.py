"""Cross-entropy over the codes of a large level without scores of all labels and all codes at once.

`chunked_losses` is exact: a part of the codes at a time, computed again for the gradients. `sampled_losses` scores what
came, what a teacher expects, and negatives that stand for the rest. Both return one loss a label, a teacher's share
included, as `ranking_loss` in `loss.py` mixes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from recommender.model.negatives import Drawn

#: scores [labels, codes] that are held at once
SCORES_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Expected:
    """What a teacher expects: codes [labels, most], their probabilities (all zero: no answer), and its share of the loss.

    `weight`: one for all, or [labels].
    """

    codes: Tensor
    probabilities: Tensor
    weight: float | Tensor


#: (hidden states [labels, hidden], a part of the rows, its first code) -> scores [labels, codes of the part]
PartScores = Callable[[Tensor, Tensor, int], Tensor]


def chunked_losses(
    parts: Iterator[tuple[int, Tensor]],
    scores_of: PartScores,
    hidden: Tensor,
    codes: Tensor,
    smoothing: float = 0.0,
    expected: Expected | None = None,
) -> Tensor:
    """Return the cross-entropy [labels] over all codes; equal to the full one, with a fraction of its memory.

    `parts`: (first code, trained rows of a part of the codes), in order, without a gap; `scores_of` makes scores of them.
    `hidden` [labels, hidden], `codes` [labels].
    """
    logs, sums, of_labels, of_teacher, size = [], [], hidden.new_zeros(len(hidden)), hidden.new_zeros(len(hidden)), 0

    def part_of(hidden: Tensor, part: Tensor, first: int) -> tuple[Tensor, ...]:
        scores = scores_of(hidden, part, first).float()
        label = _at(scores, codes[:, None] - first)[:, 0]
        taught = label.new_zeros(len(label))
        if expected is not None:
            taught = (_at(scores, expected.codes - first) * expected.probabilities).sum(1)
        return scores.logsumexp(1), scores.sum(1), label, taught

    for first, part in parts:
        log, total, label, taught = checkpoint(part_of, hidden, part, first, use_reentrant=False)
        logs.append(log)
        sums.append(total)
        of_labels, of_teacher, size = of_labels + label, of_teacher + taught, first + len(part)
    whole = torch.stack(logs).logsumexp(0)
    return _mixed(whole, of_labels, torch.stack(sums).sum(0) / size, of_teacher, smoothing, expected)


def _at(scores: Tensor, codes: Tensor) -> Tensor:
    """Return the scores [labels, n] of codes [labels, n] of a part, 0 where a code is not of it."""
    inside = (codes >= 0) & (codes < scores.shape[1])
    return torch.where(inside, scores.gather(1, codes.clamp(0, scores.shape[1] - 1)), 0)


def sampled_losses(
    rows_of: Callable[[Tensor], Tensor],
    hidden: Tensor,
    codes: Tensor,
    drawn: Drawn,
    size: int,
    smoothing: float = 0.0,
    expected: Expected | None = None,
) -> Tensor:
    """Return an estimate of the cross-entropy [labels] over `size` codes, from the drawn ones.

    The code that came, and those that the teacher expects, are in the denominator for themselves alone; each drawn code
    that is none of them stands for as many as its weight says. So the denominator is right on average, and with all codes
    drawn the loss is the full one. `rows_of`: codes [n] -> output rows [n, hidden]. Jean et al., "On using very large
    target vocabulary for neural machine translation", ACL 2015.
    """
    exact = codes[:, None] if expected is None else torch.cat([codes[:, None], expected.codes], 1)
    known, place = torch.cat([drawn.codes, exact.flatten()]).unique(return_inverse=True)
    rows = rows_of(known)
    of_drawn = (hidden @ rows[place[: len(drawn.codes)]].T).float()
    of_exact = _products(hidden, rows, place[len(drawn.codes) :].view_as(exact))
    counts = _counted(codes, expected)
    stands_for = of_drawn + drawn.log_weights
    listed = stands_for.masked_fill(_among(exact, drawn.codes, counts), -torch.inf)
    whole = torch.cat([of_exact.masked_fill(~counts, -torch.inf), listed], 1).logsumexp(1)
    taught = whole.new_zeros(len(whole))
    if expected is not None:
        taught = (of_exact[:, 1:] * expected.probabilities).sum(1)
    mean = of_drawn @ drawn.log_weights.exp() / size if smoothing else whole
    return _mixed(whole, of_exact[:, 0], mean, taught, smoothing, expected)


def _products(hidden: Tensor, rows: Tensor, places: Tensor) -> Tensor:
    """Return the scores [labels, n] of rows at places [labels, n], not too many at once."""
    step = max(SCORES_AT_ONCE // max(places.shape[1] * hidden.shape[1], 1), 1)
    parts = zip(hidden.split(step), places.split(step), strict=True)
    return torch.cat([torch.bmm(rows[place], part[:, :, None])[..., 0] for part, place in parts]).float()


def _counted(codes: Tensor, expected: Expected | None) -> Tensor:
    """Return bool [labels, 1 + most]: which of the code that came and of the expected ones count, each code once."""
    came = torch.ones_like(codes[:, None], dtype=torch.bool)
    if expected is None:
        return came
    return torch.cat([came, (expected.probabilities > 0) & (expected.codes != codes[:, None])], 1)


def _among(exact: Tensor, drawn: Tensor, counts: Tensor) -> Tensor:
    """Return bool [labels, drawn]: which of the drawn codes are among those that count for themselves."""
    place = torch.searchsorted(drawn, exact).clamp_max(len(drawn) - 1)
    place = torch.where((drawn[place] == exact) & counts, place, len(drawn))
    among = torch.zeros(len(exact), len(drawn) + 1, dtype=torch.bool, device=exact.device)
    return among.scatter_(1, place, True)[:, :-1]


def _mixed(
    whole: Tensor, of_labels: Tensor, mean: Tensor, taught: Tensor, smoothing: float, expected: Expected | None
) -> Tensor:
    """Return losses [labels] from the log of the denominator and the scores that stand in the numerator."""
    losses = whole - of_labels
    if smoothing:
        losses = (1 - smoothing) * losses + smoothing * (whole - mean)
    if expected is None:
        return losses
    share = expected.probabilities.sum(1)
    mixed = (1 - expected.weight) * losses + expected.weight * (share * whole - taught)
    return torch.where(share > 0, mixed, losses)
