"""Teaches the writing adapter to prefer one text to another one, and to write everything else as before.

The log-probability of the chosen text is to lie above that of the rejected one by a margin, without a reference model, as in
SimPO (Meng et al., NeurIPS 2024); here of whole texts, for the likelier one is written, however long it is. The chosen text
is learned beside it, as by Pang et al., "Iterative reasoning preference optimization" (NeurIPS 2024): else both fall. Other
texts are learned again in every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recommender.adapters.lora import EXPLAIN
from recommender.config import StageConfig, UpdateConfig
from recommender.model import RecommenderModel
from recommender.progress import Progress
from recommender.prompting.builder import ExampleBuilder
from recommender.prompting.example import IGNORE, Example
from recommender.prompting.packing import collate
from recommender.training.parameter_groups import parameter_groups

#: how steep the preference is, and by how many nats a word (of the mean of both texts) the chosen one is to be ahead
_STEEPNESS, AHEAD = 2.5, 0.25
#: preferences, and other texts, that a step learns
_AT_ONCE = 4
#: passes over those that are not ahead, until all are looked at again
_PASSES = 4
_MOST_NORM = 1.0


@dataclass(frozen=True)
class Preference:
    """Two answers to one prompt, of which one is to be written and the other one is not."""

    prompt: str
    chosen: str
    rejected: str


@torch.no_grad()
def likelihoods(model: RecommenderModel, examples: Sequence[Example]) -> Tensor:
    """Return the mean log-probability of a word of each text, as the writing adapter writes it, [examples]."""
    model.use_adapter(EXPLAIN)
    parts = [_likelihoods(model, examples[at : at + _AT_ONCE]) for at in range(0, len(examples), _AT_ONCE)]
    return torch.cat(parts) if parts else torch.zeros(0)


def ahead(model: RecommenderModel, builder: ExampleBuilder, preferences: Sequence[Preference]) -> Tensor:
    """Return by how many nats each chosen text is likelier than the rejected one, by a word of them, [preferences]."""
    chosen, rejected = _examples(builder, preferences)
    return _ahead(likelihoods(model, chosen), likelihoods(model, rejected), chosen, rejected)


def learn_preferences(
    model: RecommenderModel,
    builder: ExampleBuilder,
    preferences: Sequence[Preference],
    others: Sequence[tuple[str, str]],
    settings: UpdateConfig,
    progress: Progress | None = None,
    may_go_on: Callable[[], bool] = lambda: True,
) -> None:
    """Train the writing adapter in place until every chosen text is ahead by `AHEAD`, or `settings.writing_steps` are over.

    `others`: (prompt, text) pairs that are written as before. `may_go_on`: asked after every few steps. Nothing is drawn by
    chance.
    """
    chosen, rejected = _examples(builder, preferences)
    beside = [builder.writing(*pair) for pair in others]
    model.eval()
    model.use_adapter(EXPLAIN)
    groups = parameter_groups(model, StageConfig(stage="explain", learning_rate=settings.writing_rate))
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)
    parameters = [parameter for group in groups for parameter in group["params"]]
    taken = 0
    while taken < settings.writing_steps:
        behind = torch.nonzero(ahead(model, builder, preferences) < AHEAD).flatten().tolist()
        for step in _steps(behind)[: settings.writing_steps - taken]:
            right, wrong = [chosen[n] for n in step], [rejected[n] for n in step]
            _loss(model, right, wrong, _share(beside, taken * _AT_ONCE)).backward()
            nn.utils.clip_grad_norm_(parameters, _MOST_NORM)
            optimizer.step()
            optimizer.zero_grad()
            taken += 1
            if progress:
                progress("what was called wrong", taken, settings.writing_steps)
        if not behind or not may_go_on():
            break


def _steps(behind: Sequence[int]) -> list[Sequence[int]]:
    """Return the preferences of each step until all are looked at again."""
    once = [behind[at : at + _AT_ONCE] for at in range(0, len(behind), _AT_ONCE)]
    return once * _PASSES


def _share(examples: Sequence[Example], start: int) -> list[Example]:
    """Return the next few examples, going round."""
    few = min(_AT_ONCE, len(examples))
    return [examples[(start + place) % len(examples)] for place in range(few)]


def _loss(
    model: RecommenderModel, chosen: Sequence[Example], rejected: Sequence[Example], again: Sequence[Example]
) -> Tensor:
    right, wrong = _likelihoods(model, chosen), _likelihoods(model, rejected)
    preferred = nn.functional.softplus(_STEEPNESS * (AHEAD - _ahead(right, wrong, chosen, rejected))).mean()
    loss = preferred - right.mean()
    return loss - _likelihoods(model, again).mean() if again else loss


def _ahead(right: Tensor, wrong: Tensor, chosen: Sequence[Example], rejected: Sequence[Example]) -> Tensor:
    """Return the difference of the log-probabilities of whole texts, given those of a mean word, by the mean length."""
    lengths = [
        right.new_tensor([float((example.labels != IGNORE).sum()) for example in examples])
        for examples in (chosen, rejected)
    ]
    return 2 * (right * lengths[0] - wrong * lengths[1]) / (lengths[0] + lengths[1])


def _likelihoods(model: RecommenderModel, examples: Sequence[Example]) -> Tensor:
    batch = collate([[example] for example in examples]).to(model.device)
    hidden, labelled = model.final_states(batch), batch.labels != IGNORE
    head = model.llm.get_output_embeddings()
    scores = model.word_scores(head(hidden[labelled].to(head.weight.dtype))).float()
    losses = nn.functional.cross_entropy(scores, batch.labels[labelled], reduction="none")
    rows = torch.arange(len(examples), device=model.device)[:, None].expand_as(labelled)[labelled]
    summed = losses.new_zeros(len(examples)).index_add(0, rows, losses)
    return -summed / labelled.sum(1)


def _examples(builder: ExampleBuilder, preferences: Sequence[Preference]) -> tuple[list[Example], list[Example]]:
    chosen = [builder.writing(one.prompt, one.chosen) for one in preferences]
    return chosen, [builder.writing(one.prompt, one.rejected) for one in preferences]
