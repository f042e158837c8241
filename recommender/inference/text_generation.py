"""Greedy generation of several texts at once, over layers that are laid out for inference.

`transformers` converts each matrix at each step and computes padding; that takes twice as long as the products. Here prompts
are packed in one row, and a step reads each matrix once for all texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from recommender.inference.attention import Group, PromptAttention, PromptCache
from recommender.inference.layers import Stack
from recommender.inference.matrices import Matrix
from recommender.model.attention_traits import PLAIN, Traits, attend_masked

#: For how many tokens keys and values have room at first, and by how many they grow.
ROOM = 64
#: Called before each layer of a prefill. It may wait, or raise to give the texts up.
Pause = Callable[[], None]


class TextGeneration:
    """The texts of several prompts while they are written: `logits` tells what may come next, `append` writes it."""

    @torch.no_grad()
    def __init__(
        self, stack: Stack, embed: nn.Module, head: Matrix, prompts: Sequence[np.ndarray], pause: Pause
    ) -> None:
        """Read the prompts, token ids [positions] each.

        `embed` maps token ids [T] to embeddings [T, hidden], `head` normalised hidden states [T, hidden] to logits
        [T, vocabulary].
        """
        self.tokens: list[list[int]] = [[] for _ in prompts]
        self._stack, self._embed, self._head = stack, embed, head
        device = next(embed.parameters()).device
        self._lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        cache = PromptCache(_groups(prompts))
        packed = torch.from_numpy(np.concatenate(prompts)).to(device)
        positions = torch.cat([torch.arange(len(prompt), device=device) for prompt in prompts])
        prefill = _Pausing(PromptAttention(cache), pause)
        hidden = stack(embed(packed), positions, prefill, self._lengths.cumsum(0) - 1)
        self._attention = _TextAttention(cache, self._lengths)
        self.logits = head(hidden)
        """What may come next [texts, vocabulary]; a constraint may change it in place."""

    @torch.no_grad()
    def append(self, tokens: Sequence[int]) -> None:
        """Append one token to each text, and compute what may follow."""
        positions = self._lengths + len(self.tokens[0])
        for text, token in zip(self.tokens, tokens, strict=True):
            text.append(token)
        self._attention.begin_step()
        embedded = self._embed(torch.tensor(tokens, device=positions.device))
        self.logits = self._head(self._stack(embedded, positions, self._attention))


def _groups(prompts: Sequence[np.ndarray]) -> list[Group]:
    starts = np.cumsum([0, *map(len, prompts)]).tolist()
    return [Group(start, 1, len(prompt)) for start, prompt in zip(starts[:-1], prompts, strict=True)]


class _Pausing:
    """An attention that calls `pause` in each layer first."""

    def __init__(self, attention: PromptAttention, pause: Pause) -> None:
        self.attention, self.pause = attention, pause

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, last: bool = False, traits: Traits = PLAIN
    ) -> Tensor:
        """See Attention."""
        self.pause()
        return self.attention(layer, q, k, v, scale, last, traits)


class _TextAttention:
    """The newest token of each text attends to its prompt and to the tokens before it.

    Keys and values of each layer, [texts, key heads, room, width], hold prompts up to the longest one's end, the shorter
    ones followed by a gap that is not seen, and then the texts.
    """

    def __init__(self, cache: PromptCache, lengths: Tensor) -> None:
        """Begin behind prompts of `lengths` [texts], whose keys and values `cache` holds."""
        self.lengths, self.longest, self.written = lengths, int(lengths.max()), 0
        self.keys = [self._room(layer) for layer in cache.keys]
        self.values = [self._room(layer) for layer in cache.values]
        self.bias = torch.empty(0)

    def begin_step(self) -> None:
        """Make room for one more token of each text."""
        self.written += 1
        total = self.longest + self.written
        if total > self.keys[0].shape[2]:
            self.keys = [nn.functional.pad(keys, (0, 0, 0, ROOM)) for keys in self.keys]
            self.values = [nn.functional.pad(values, (0, 0, 0, ROOM)) for values in self.values]
        places = torch.arange(total, device=self.lengths.device)
        gap = (places >= self.lengths[:, None]) & (places < self.longest)
        self.bias = torch.zeros(gap.shape, dtype=self.keys[0].dtype, device=gap.device)
        self.bias = self.bias.masked_fill_(gap, -torch.inf)[:, None, None]

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, last: bool = False, traits: Traits = PLAIN
    ) -> Tensor:
        """See Attention; heads that share a key head are rows of one product."""
        end = self.longest + self.written
        keys, values = self.keys[layer], self.values[layer]
        keys[:, :, end - 1], values[:, :, end - 1] = k, v
        if not traits.plain(end):
            visible = self._visible(end, traits.window)
            out, lse = attend_masked(q[:, None], keys[:, :, :end], values[:, :, :end], scale, visible, traits)
            return traits.drained(out, lse)[:, 0].to(q.dtype)
        folded = q.unflatten(1, (keys.shape[1], -1))
        out = nn.functional.scaled_dot_product_attention(
            folded, keys[:, :, :end], values[:, :, :end], attn_mask=self.bias, scale=scale
        )
        return out.flatten(1, 2)

    def _visible(self, end: int, window: int | None) -> Tensor:
        """Return which of the first `end` keys each text's newest token sees, bool [texts, 1, end]."""
        visible = self.bias[:, 0] == 0
        if window is None:
            return visible
        places, lengths = torch.arange(end, device=self.lengths.device), self.lengths[:, None]
        positions = torch.where(places < self.longest, places, places - self.longest + lengths)
        return visible & (positions > lengths + self.written - 1 - window)[:, None]

    def _room(self, prompts: Sequence[Tensor]) -> Tensor:
        """Return prompts' keys or values [1, key heads, positions, width] as one tensor with room behind them."""
        room = self.longest + ROOM
        return torch.cat([nn.functional.pad(one, (0, 0, 0, room - one.shape[2])) for one in prompts])
