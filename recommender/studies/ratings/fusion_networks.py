"""Five networks that fuse modalities: blocks of features in, logits of the ratings out.

Each returns a list of logits [n, classes]: the last is its prediction, all of them are trained.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from recommender.studies.ratings.settings import RatingsSettings

Widths = Mapping[str, int]
Tensors = Mapping[str, torch.Tensor]


def head(width: int, classes: int, settings: RatingsSettings) -> nn.Sequential:
    """Return the classifier: an MLP with one hidden layer and dropout before each layer."""
    return nn.Sequential(
        nn.Dropout(settings.dropout),
        nn.Linear(width, settings.hidden),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.hidden, classes),
    )


class Concatenation(nn.Module):
    """(a) All blocks side by side."""

    def __init__(self, widths: Widths, classes: int, settings: RatingsSettings) -> None:
        super().__init__()
        self.head = head(sum(widths.values()), classes, settings)

    def forward(self, blocks: Tensors) -> list[torch.Tensor]:
        """Return one set of logits."""
        return [self.head(torch.cat(list(blocks.values()), dim=1))]


class Average(nn.Module):
    """(b) The mean of all blocks, each projected to the same width."""

    def __init__(self, widths: Widths, classes: int, settings: RatingsSettings) -> None:
        super().__init__()
        self.project = nn.ModuleDict({name: nn.Linear(width, settings.joint) for name, width in widths.items()})
        self.head = head(settings.joint, classes, settings)

    def projected(self, blocks: Tensors) -> torch.Tensor:
        """Return the projections [n, modalities, joint width]."""
        return torch.stack([torch.tanh(self.project[name](block)) for name, block in blocks.items()], dim=1)

    def forward(self, blocks: Tensors) -> list[torch.Tensor]:
        """Return one set of logits."""
        return [self.head(self.projected(blocks).mean(dim=1))]


class Gating(Average):
    """(c) A weighted mean with weights that depend on the row: attention over modalities.

    A modality's weight is computed from its block in this row (Bahdanau, Cho and Bengio, "Neural machine translation by
    jointly learning to align and translate", 2015, over modalities instead of words).
    """

    def __init__(self, widths: Widths, classes: int, settings: RatingsSettings) -> None:
        super().__init__(widths, classes, settings)
        self.attend = nn.ModuleDict({name: nn.Linear(settings.joint, 1) for name in widths})

    def shares(self, projected: torch.Tensor) -> torch.Tensor:
        """Return the weight of each modality [n, modalities] of projections [n, modalities, width]; rows sum to 1."""
        scores = [attend(projected[:, at]) for at, attend in enumerate(self.attend.values())]
        return torch.softmax(torch.cat(scores, dim=1), dim=1)

    def weights(self, blocks: Tensors) -> torch.Tensor:
        """Return the weight of each modality in each row, [n, modalities]."""
        return self.shares(self.projected(blocks))

    def forward(self, blocks: Tensors) -> list[torch.Tensor]:
        """Return one set of logits."""
        projected = self.projected(blocks)
        return [self.head((self.shares(projected)[:, :, None] * projected).sum(dim=1))]


class Cascade(nn.Module):
    """(d) One modality after another, each correcting the prediction of those before it.

    A stage reads its block and the logits of the stage before, through which no gradient flows back, as in boosting
    (Friedman, 2001).
    """

    def __init__(self, widths: Widths, classes: int, settings: RatingsSettings) -> None:
        super().__init__()
        self.classes = classes
        self.stages = nn.ModuleDict({name: head(w + classes, classes, settings) for name, w in widths.items()})

    def forward(self, blocks: Tensors) -> list[torch.Tensor]:
        """Return the logits after each stage."""
        first = next(iter(blocks.values()))
        outputs = [first.new_zeros(len(first), self.classes)]
        for name, block in blocks.items():
            before = outputs[-1].detach()
            outputs.append(before + self.stages[name](torch.cat([block, before], dim=1)))
        return outputs[1:]


class Parallel(nn.Module):
    """(e) Late fusion: a classifier for each modality, and a learned weighted mean of their logits."""

    def __init__(self, widths: Widths, classes: int, settings: RatingsSettings) -> None:
        super().__init__()
        self.branches = nn.ModuleDict({name: head(width, classes, settings) for name, width in widths.items()})
        self.shares = nn.Parameter(torch.zeros(len(widths)))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, blocks: Tensors) -> list[torch.Tensor]:
        """Return the logits of each branch, then the joint ones; a branch learns from its own logits alone."""
        branches = [self.branches[name](block) for name, block in blocks.items()]
        shares = torch.softmax(self.shares, dim=0)
        joint = torch.einsum("m,mnc->nc", shares, torch.stack([logits.detach() for logits in branches]))
        return [*branches, self.scale * joint]


FUSIONS: dict[str, type[nn.Module]] = {
    "concatenation": Concatenation,
    "average": Average,
    "learned weights": Gating,
    "cascade": Cascade,
    "parallel": Parallel,
}
