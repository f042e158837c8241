"""What listens: reads conversations with the first layers of the language model, and scores all items behind them.

Items are scored by what is known of them: a linear map of their content meets a linear map of the hidden state, and each has
a bias. So an item needs no conversation of its own, and a served copy is one table of rows and a bias.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recommender.model.language_model import first_layers
from recommender.numerics.vectors import unit_rows

#: width in which hidden states and items meet
WIDTH = 256
#: components of what the base reads in an item's text, and tokens of it that are read
TEXT_WIDTH, TEXT_TOKENS = 192, 128
_FIRST_SCALE, _FIRST_QUERY = 4.0, 0.005
_AT_ONCE = 16


class Listener(nn.Module):
    """Scores of items behind hidden states, and what an item adds to its position in a conversation.

    `content` [items, known + hidden]: what is known of the items, see `with_items`. The output of an item is linear in the
    hidden state: `rows()` and `offsets()` are all that serving needs.
    """

    known: Tensor
    content: Tensor
    embedded: Tensor
    read_mean: Tensor
    read_basis: Tensor

    def __init__(
        self,
        norm: nn.Module,
        hidden: int,
        known: np.ndarray,
        read_mean: np.ndarray,
        read_basis: np.ndarray,
        bias: np.ndarray | None = None,
        sentence_width: int = 0,
    ) -> None:
        """Begin to listen.

        `norm`: the base's last one, copied. `known` [items, width]: unit vectors of content, side by side; `read_mean`,
        `read_basis`: of `reduced`, by which its last part was made. `bias` [items]: where the scores start.
        `sentence_width`: how much of `known`, at its beginning, is of a sentence encoder.
        """
        super().__init__()
        self.sentence_width = sentence_width
        self.norm = copy.deepcopy(norm).float().requires_grad_(True)
        width = known.shape[1] + hidden
        self.query, self.key, self.enter = nn.Linear(hidden, WIDTH), nn.Linear(width, WIDTH), nn.Linear(width, hidden)
        self.scale = nn.Parameter(torch.tensor(math.log(_FIRST_SCALE)))
        start = torch.zeros(len(known)) if bias is None else torch.from_numpy(bias - bias.mean()).float()
        self.bias = nn.Parameter(start)
        nn.init.normal_(self.key.weight, 0, 0.1)
        nn.init.normal_(self.query.weight, 0, _FIRST_QUERY)
        nn.init.zeros_(self.query.bias)
        nn.init.zeros_(self.enter.weight)
        nn.init.zeros_(self.enter.bias)
        self.register_buffer("known", torch.from_numpy(known).float())
        self.register_buffer("read_mean", torch.from_numpy(read_mean).float())
        self.register_buffer("read_basis", torch.from_numpy(read_basis).float())
        self.register_buffer("content", torch.zeros(0), persistent=False)
        self.register_buffer("embedded", torch.zeros(0), persistent=False)

    @torch.no_grad()
    def with_items(self, embedded: Tensor) -> None:
        """Take the embeddings [items, hidden] of the items as the ranker has them: a part of their content, and what stands
        at their positions."""
        centred = embedded - embedded.mean(0)
        unit = centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-6)
        self.embedded = embedded.detach().clone()
        self.content = torch.cat([self.known, unit.to(self.known)], 1)

    def positions(self, items: Tensor) -> Tensor:
        """Return the embeddings [n, hidden] of items [n] that stand in a conversation."""
        return self.embedded[items] + self.enter(self.content[items])

    def rows(self) -> Tensor:
        """Return the output rows [items, hidden]: their products with a hidden state, plus `offsets`, are the scores."""
        return self._keys() @ self.query.weight

    def offsets(self) -> Tensor:
        """Return what is added to the scores [items]."""
        return self._keys() @ self.query.bias + self.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the scores [n, items] behind hidden states [n, hidden]."""
        return hidden @ self.rows().T + self.offsets()

    def _keys(self) -> Tensor:
        return nn.functional.normalize(self.key(self.content), dim=-1) * self.scale.exp()


def listening_view(llm: Any, layers: int, norm: nn.Module) -> Any:
    """Return the decoder that listens: the first layers of the LLM and the norm of the listener."""
    return first_layers(llm.model, min(layers, len(llm.model.layers)), norm)


def listening_loss(scores: Tensor, items: Tensor, probabilities: Tensor) -> Tensor:
    """Return the summed cross-entropy of scores [n, items] against the likeliest `items` [n, most] with `probabilities`."""
    chosen = torch.log_softmax(scores, -1).gather(1, items)
    return -(probabilities / probabilities.sum(1, keepdim=True) * chosen).sum()


@torch.no_grad()
def read_texts(llm: Any, tokenizer: Any, texts: Sequence[str], layers: int, progress: Any = None) -> np.ndarray:
    """Return what the first layers of the base read in each text, the mean of its hidden states, float32 [texts, hidden]."""
    view = listening_view(llm, layers, nn.Identity())
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"][:TEXT_TOKENS] or [0] for text in texts]
    means = np.zeros((len(texts), llm.config.hidden_size), np.float32)
    order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
    for start in range(0, len(order), _AT_ONCE):
        part = order[start : start + _AT_ONCE]
        longest = max(len(ids[i]) for i in part)
        padded = torch.tensor([ids[i] + [0] * (longest - len(ids[i])) for i in part], device=llm.device)
        lengths = torch.tensor([len(ids[i]) for i in part], device=llm.device)
        states = view(input_ids=padded, use_cache=False).last_hidden_state.float()
        there = (torch.arange(longest, device=llm.device) < lengths[:, None]).float()
        # the first position is the same in every text, and a thousand times larger than others
        there[:, 0] = torch.where(lengths > 1, 0.0, 1.0)
        means[part] = ((states * there[..., None]).sum(1) / there.sum(1, keepdim=True)).cpu().numpy()
        if progress:
            progress("reading the items' texts", min(start + _AT_ONCE, len(order)), len(order))
    return means


def reduced(
    states: np.ndarray, width: int = TEXT_WIDTH, by: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the whitened components [texts, width] of what was read, at unit length, and mean and basis for others.

    `by`: a mean and a basis that were made for other texts.
    """
    if by is not None:
        return unit_rows((states - by[0]) @ by[1]), *by
    mean = states.mean(0)
    _, strength, axes = np.linalg.svd(states - mean, full_matrices=False)
    kept = min(width, int((strength > 1e-4 * strength[0]).sum())) if len(strength) else 0
    basis = axes[:kept].T / np.maximum(strength[:kept], 1e-9) * len(states) ** 0.5
    return unit_rows((states - mean) @ basis), mean, basis.astype(np.float32)
