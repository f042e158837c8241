"""The training examples and batches of each epoch; they depend on seed, stage and epoch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from recommender.config import Modality, StageConfig
from recommender.data.histories import Split
from recommender.encoders.features import Views
from recommender.model.soft_targets import SoftTargets
from recommender.prompting.builder import ExampleBuilder
from recommender.prompting.example import IGNORE, Example
from recommender.prompting.packing import Batch, collate, pack
from recommender.training.augmentation import crops, masked, reordered

FAVOURITES = (1, 1, 2, 3, 5)
"""How many favourites are named; one is the hardest to learn from."""
HELD_OUT_EVERY = 20
"""Every 20th example of a stage that learns text is held out for validation."""
#: of conversations that no epoch has: those have three numbers for a seed
_OTHER_SEED = 20
#: history [n], generator -> a query and which items of the history match it, bool [n]; None: no query was found
DrawQuery = Callable[[np.ndarray, np.random.Generator], tuple[str, np.ndarray] | None]


class Conversations(Protocol):
    """Makes conversations to listen to. `identity`: what they depend on besides the generator; `prefix`: token ids of the
    instruction that most of them share."""

    identity: str

    @property
    def prefix(self) -> np.ndarray:
        """Token ids [positions]."""
        ...

    def examples(self, count: int, random: np.random.Generator) -> list[Example]:
        """Return so many conversations, no two of which need be alike."""
        ...


@dataclass(frozen=True)
class TrainingData:
    """What the stages learn from.

    `explanations`: (prompt, completion) pairs for the stage `explain`. `teacher`: soft targets of the stage `rank`.
    `query`: draws a query in words for a history. `views`: changed views of the media, for `align` and `rank`.
    `sources`: modality -> a hash of the texts or files that were encoded; a run resumes with the same ones only.
    `conversations`: for the stage `converse`. `start`: a hash of the checkpoint that training goes on from. `learned`: which
    interactions of the histories the stage `rank` learns, bool [interactions]; the others are only read; None: all.
    """

    builder: ExampleBuilder
    split: Split
    explanations: Sequence[tuple[str, str]] = field(default=())
    teacher: SoftTargets | None = None
    query: DrawQuery | None = None
    views: Views = field(default_factory=dict)
    sources: Mapping[Modality, str] = field(default_factory=dict)
    conversations: Conversations | None = None
    start: str | None = None
    learned: np.ndarray | None = None


def generator(seed: int, stage: int, epoch: int) -> np.random.Generator:
    """Return the random generator of one epoch of one stage."""
    return np.random.default_rng([seed, stage, epoch])


def examples(
    data: TrainingData, stage: StageConfig, random: np.random.Generator, starts: np.ndarray | None = None
) -> list[Example]:
    """Return one epoch's examples in the order in which they are packed.

    `starts`: the number of each user's first interaction [users], of users that are a part of all.
    """
    if stage.stage == "rank":
        return _ranking_examples(data, stage, random, starts)
    if stage.stage == "converse":
        return _conversations(data, stage.conversations, random)
    learned, _ = _text_examples(data, stage)
    return [learned[i] for i in random.permutation(len(learned))]


def held_out(data: TrainingData, stage: StageConfig) -> list[Example]:
    """Return the examples that a text stage never trains on; none for the stage `rank`, which is validated by NDCG."""
    if stage.stage == "converse":
        return _conversations(data, max(stage.conversations // HELD_OUT_EVERY, 1), np.random.default_rng(_OTHER_SEED))
    return [] if stage.stage == "rank" else _text_examples(data, stage)[1]


def _conversations(data: TrainingData, count: int, random: np.random.Generator) -> list[Example]:
    assert data.conversations is not None
    return data.conversations.examples(count, random)


def _ranking_examples(
    data: TrainingData, stage: StageConfig, random: np.random.Generator, starts: np.ndarray | None
) -> list[Example]:
    config = data.builder.config
    size = stage.crop or config.history + 1
    pieces = list(_pieces(_histories(data, stage, starts), size, random, starts))
    order = random.permutation(len(pieces))
    share = stage.titled_share if config.titled else 0.0
    known = [int(random.integers(1, len(p))) if len(p) > 1 and random.random() < share else 0 for p, _, _ in pieces]
    # without a share no random number is drawn, so recipes without augmentation keep their results
    if stage.reorder_share:
        for i in np.flatnonzero(random.random(len(pieces)) < stage.reorder_share):
            pieces[i] = (*reordered(*pieces[i][:2], random), pieces[i][2])
    ranking = [data.builder.ranking(pieces[i][0], known[i], pieces[i][2], pieces[i][1]) for i in order]
    if data.query is not None and stage.query_share:
        queried = [
            _query_example(data, pieces[i][0], share, random) for i in order if random.random() < stage.query_share
        ]
        ranking += [example for example in queried if example is not None]
        ranking = [ranking[i] for i in random.permutation(len(ranking))]
    if stage.favourites:
        ranking += _favourites(data, stage.favourites, share, random)
        ranking = [ranking[i] for i in random.permutation(len(ranking))]
    if data.learned is not None:
        ranking = [only_learned(example, data.learned) for example in ranking]
    return [masked(example, stage.mask_share, random) for example in ranking] if stage.mask_share else ranking


def _histories(data: TrainingData, stage: StageConfig, starts: np.ndarray | None) -> Sequence[np.ndarray]:
    """Return the histories to learn; those of a teacher that tells how they go on end with its likeliest item."""
    items, teacher = data.split.train.items, data.teacher
    if teacher is None or not teacher.with_ends:
        return items
    lengths = np.array([len(history) for history in items], dtype=np.int64)
    first = np.cumsum(lengths + 1) - lengths - 1 if starts is None else starts
    targets = teacher.targets.numpy()
    if not stage.teacher:  # nothing else says what comes next
        return items
    return [np.append(history, targets[start + len(history)]) for history, start in zip(items, first, strict=True)]


def only_learned(example: Example, learned: np.ndarray) -> Example:
    """Return an example of which only some interactions are learned, bool [all]; those without an id are not."""
    known = example.interaction_ids >= 0
    keep = known & learned[np.where(known, example.interaction_ids, 0)]
    return replace(example, labels=np.where(keep, example.labels, IGNORE))


def _favourites(
    data: TrainingData, every_hundred: float, titled_share: float, random: np.random.Generator
) -> list[Example]:
    """Return examples in which an item follows one to five of those before it in random order."""
    chosen = []
    for history in data.split.train.items:
        if len(history) < 2:
            continue
        for _ in range(max(round(every_hundred * len(history) / 100), 1)):
            target = int(random.integers(1, len(history)))
            named = history[max(target - int(random.choice(FAVOURITES)), 0) : target]
            known = len(named) if titled_share and random.random() < titled_share else 0
            items = np.append(random.permutation(named), history[target])
            chosen.append(data.builder.ranking(items, known, begins=False))
    return chosen


def _query_example(
    data: TrainingData, piece: np.ndarray, titled_share: float, random: np.random.Generator
) -> Example | None:
    """Return an example that begins with a query, over a random part of a piece: users with queries are often new."""
    assert data.query is not None
    start = int(random.integers(0, len(piece)))
    part = piece[start : start + int(random.integers(1, len(piece) + 1))]
    query = data.query(part, random)
    if query is None:
        return None
    text, matches = query
    known = int(random.choice(np.flatnonzero(matches))) if random.random() < titled_share else 0
    return data.builder.queried(part, text, matches, known)


def _pieces(
    histories: Sequence[np.ndarray], size: int, random: np.random.Generator, starts: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Cut histories into pieces; yields each with its interaction ids, and whether it begins a history."""
    offset = 0
    for user, items in enumerate(histories):
        start = 0
        offset = offset if starts is None else int(starts[user])
        for piece in crops(items, size, random):
            yield piece, offset + start + np.arange(len(piece)), start == 0
            start += len(piece) - 1  # pieces share one item
        offset += len(items)


def _text_examples(data: TrainingData, stage: StageConfig) -> tuple[list[Example], list[Example]]:
    if stage.stage == "explain":
        return _divide([data.builder.writing(*pair) for pair in data.explanations])
    # only descriptions are held out: each row has to be found by its title
    described, held_out = _divide([data.builder.describing(item) for item in range(len(data.builder.catalogue))])
    finding = [data.builder.finding(item) for item in range(len(data.builder.catalogue))]
    return [*described, *finding], held_out


def _divide(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Return the examples to learn from, and the held-out ones."""
    is_held_out = [number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 for number in range(len(examples))]
    learned = [example for example, out in zip(examples, is_held_out, strict=True) if not out]
    return learned, [example for example, out in zip(examples, is_held_out, strict=True) if out]


def shared_prefix(data: TrainingData, stage: StageConfig) -> np.ndarray:
    """Return the token ids [positions] of the instruction that the examples of a row share; none for texts."""
    if stage.stage == "converse" and data.conversations is not None:
        return data.conversations.prefix
    return data.builder.prefix if stage.stage == "rank" else data.builder.prefix[:0]


def batches(examples: Sequence[Example], stage: StageConfig, prefix: np.ndarray) -> list[list[list[Example]]]:
    """Pack examples into rows and rows into batches; a batch either ranks or learns text, never both."""
    packed: list[list[list[Example]]] = []
    for writes in (False, True):
        alike = [example for example in examples if example.writes is writes]
        rows = [[alike[i] for i in row] for row in pack(alike, stage.row_tokens, len(prefix))]
        size = max(stage.batch_tokens // stage.row_tokens, 1)
        packed += [rows[start : start + size] for start in range(0, len(rows), size)]
    return packed


def as_batch(rows: Sequence[Sequence[Example]], prefix: np.ndarray) -> Batch:
    """Collate one batch; its rows begin with the shared instruction, if there is one."""
    return collate(rows, prefix if len(prefix) else None)
