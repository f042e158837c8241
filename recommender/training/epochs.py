"""What a stage trains on: the batches of each epoch, a function of seed, stage and epoch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from recommender.config import StageConfig
from recommender.data.histories import Split
from recommender.encoders.features import Views
from recommender.model.network import SoftTargets
from recommender.prompting.builder import ExampleBuilder
from recommender.prompting.example import Example
from recommender.prompting.packing import Batch, collate, pack
from recommender.training.augmentation import crops, masked, reordered

HELD_OUT_SHARE = 20
"""Every 20th example of a stage that learns text is held out to measure its loss."""
DrawQuery = Callable[[np.ndarray, np.random.Generator], tuple[str, np.ndarray] | None]


@dataclass(frozen=True)
class TrainingData:
    """What the stages learn from. `explanations`: (prompt, completion) pairs for the stage `explain`. `teacher`: what the
    stage `rank` is told to expect beside what came. `query`: says in words what one of the items of a history is like, and
    which of them are like that, bool [history]; None where nothing is known of the one it drew. `views`: those of the
    media that `align` and `rank` draw from."""

    builder: ExampleBuilder
    split: Split
    explanations: Sequence[tuple[str, str]] = field(default=())
    teacher: SoftTargets | None = None
    query: DrawQuery | None = None
    views: Views = field(default_factory=dict)


def generator(seed: int, stage: int, epoch: int) -> np.random.Generator:
    """Return the random generator of one epoch of one stage."""
    return np.random.default_rng([seed, stage, epoch])


def examples(data: TrainingData, stage: StageConfig, random: np.random.Generator) -> list[Example]:
    """Return one epoch's examples in the order in which they are packed."""
    if stage.stage == "rank":
        return _ranking(data, stage, random)
    learned, _ = _texts(data, stage)
    return [learned[i] for i in random.permutation(len(learned))]


def held_out(data: TrainingData, stage: StageConfig) -> list[Example]:
    """Return the examples that a text stage never trains on; none for the stage `rank`, which is validated by NDCG."""
    return [] if stage.stage == "rank" else _texts(data, stage)[1]


def _ranking(data: TrainingData, stage: StageConfig, random: np.random.Generator) -> list[Example]:
    config = data.builder.config
    size = stage.crop or config.history + 1
    pieces = list(_pieces(data.split.train.items, size, random))
    order = random.permutation(len(pieces))
    share = stage.titled_share if config.titled else 0.0
    known = [int(random.integers(1, len(p))) if len(p) > 1 and random.random() < share else 0 for p, _, _ in pieces]
    # without a share nothing is drawn, so that a recipe without augmentation goes on as it always did
    if stage.reorder_share:
        for i in np.flatnonzero(random.random(len(pieces)) < stage.reorder_share):
            pieces[i] = (*reordered(*pieces[i][:2], random), pieces[i][2])
    every = [data.builder.ranking(pieces[i][0], known[i], pieces[i][2], pieces[i][1]) for i in order]
    if data.query is not None and stage.query_share:
        queried = [_wished(data, pieces[i][0], share, random) for i in order if random.random() < stage.query_share]
        every += [example for example in queried if example is not None]
        every = [every[i] for i in random.permutation(len(every))]
    return [masked(example, stage.mask_share, random) for example in every] if stage.mask_share else every


def _wished(data: TrainingData, piece: np.ndarray, titled: float, random: np.random.Generator) -> Example | None:
    """Return an example that begins with a query, over a part of a piece: whoever says what they want is often new."""
    assert data.query is not None
    start = int(random.integers(0, len(piece)))
    part = piece[start : start + int(random.integers(1, len(piece) + 1))]
    drawn = data.query(part, random)
    if drawn is None:
        return None
    text, wanted = drawn
    known = int(random.choice(np.flatnonzero(wanted))) if random.random() < titled else 0
    return data.builder.queried(part, text, wanted, known)


def _pieces(
    histories: Sequence[np.ndarray], size: int, random: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Cut histories; yields each piece, which of all interactions its items are, and whether it begins a history."""
    offset = 0
    for items in histories:
        start = 0
        for piece in crops(items, size, random):
            yield piece, offset + start + np.arange(len(piece)), start == 0
            start += len(piece) - 1  # pieces share one item
        offset += len(items)


def _texts(data: TrainingData, stage: StageConfig) -> tuple[list[Example], list[Example]]:
    if stage.stage == "explain":
        every = [data.builder.writing(*pair) for pair in data.explanations]
        return _divide(every)
    # an item is held out of describing only: every row has to be found by its title
    described, kept = _divide([data.builder.describing(item) for item in range(len(data.builder.catalogue))])
    found = [data.builder.finding(item) for item in range(len(data.builder.catalogue))]
    return [*described, *found], kept


def _divide(every: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    kept = [example for number, example in enumerate(every) if number % HELD_OUT_SHARE == HELD_OUT_SHARE - 1]
    return [e for number, e in enumerate(every) if number % HELD_OUT_SHARE != HELD_OUT_SHARE - 1], kept


def batches(every: Sequence[Example], stage: StageConfig, prefix: np.ndarray) -> list[list[list[Example]]]:
    """Pack examples into rows and rows into batches; those that learn text and those that rank are kept apart."""
    laid: list[list[list[Example]]] = []
    for writes in (False, True):
        chosen = [example for example in every if example.writes is writes]
        shared = prefix if _shares_prefix(stage) else prefix[:0]
        rows = [[chosen[i] for i in row] for row in pack(chosen, stage.row_tokens, len(shared))]
        size = max(stage.batch_tokens // stage.row_tokens, 1)
        laid += [rows[start : start + size] for start in range(0, len(rows), size)]
    return laid


def as_batch(rows: Sequence[Sequence[Example]], stage: StageConfig, prefix: np.ndarray) -> Batch:
    """Lay out one batch; ranking rows begin with the shared instruction."""
    return collate(rows, prefix if _shares_prefix(stage) else None)


def _shares_prefix(stage: StageConfig) -> bool:
    return stage.stage == "rank"
