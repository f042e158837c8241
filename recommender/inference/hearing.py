"""The model as a listener: its first layers with the adapter `converse`, laid out for inference until weights change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recommender.adapters.lora import CONVERSE, RANK
from recommender.constraints.choice import choose
from recommender.inference.attention import BeamAttention, PromptAttention, PromptCache
from recommender.inference.layers import FusedStack, Stack, make_stack
from recommender.inference.prompt_packing import groups_of, pack_prompts, padded
from recommender.inference.weight_cache import version_of
from recommender.model.listening import Listener, listening_view
from recommender.model.network import RecommenderModel
from recommender.prompting.conversation import ConversationPrompts, ReadMention
from recommender.prompting.example import Example

_AT_ONCE = 16


@dataclass(frozen=True)
class _LaidOut:
    """The layers, the positions of items [items, hidden], their output rows [items, hidden] and offsets [items]."""

    stack: Stack
    positions: Tensor
    rows: Tensor
    offsets: Tensor


class Hearing:
    """Listens with one model. Only who holds the model may let it: see `Writer`."""

    def __init__(self, model: RecommenderModel) -> None:
        """Listen with `model`, which has learned to; nothing is computed yet."""
        self._model = model
        self._version: tuple[Any, ...] = ()
        self._layers: _LaidOut | None = None

    @torch.no_grad()
    def scores(self, prompts: Sequence[Example]) -> np.ndarray:
        """Return the log-probabilities of all items behind conversations, float32 [prompts, items]."""
        found = np.zeros((len(prompts), len(self._model.codes)), np.float32)
        for start in range(0, len(prompts), _AT_ONCE):
            part = prompts[start : start + _AT_ONCE]
            hidden = _Heard(self, part)
            laid_out = self.laid_out()
            scores = torch.log_softmax(hidden.states.float() @ laid_out.rows.T + laid_out.offsets, -1)
            found[[start + index for index in hidden.order]] = scores.cpu().numpy()
        return found

    @torch.no_grad()
    def read(
        self, prompt: Example, mentions: Sequence[ReadMention], words: ConversationPrompts
    ) -> list[tuple[str, float]]:
        """Return what is meant by each mention, and how sure that is, one after the other, greedily.

        The text is held to its form: what is mentioned is copied, and only its choices may follow.
        """
        heard, head = _Heard(self, [prompt]), self._model.llm.get_output_embeddings()
        answers = []
        for mention in mentions:
            start, written = heard.append(words.reading_step(mention)), 0

            def likely(prefix: Sequence[int], tokens: Sequence[int], start: Tensor = start) -> list[float]:
                nonlocal written
                state = heard.append(np.array(prefix[written:])) if len(prefix) > written else start
                written = len(prefix)
                logits = self._model.word_scores(head(state.to(head.weight.dtype)).float()[0, list(tokens)])
                return torch.softmax(logits, -1).tolist()

            meant, share = choose(options := words.options(mention), likely)
            heard.append(np.concatenate([np.array(options[meant][written:], np.int64), words.line_end]))
            answers.append((meant, share))
        return answers

    def laid_out(self) -> _LaidOut:
        """Return what inference needs, for the weights as they are now."""
        model, listener = self._model, self._listener
        version = version_of([*model.llm.parameters(), *listener.parameters(), *listener.buffers()])
        if self._layers is None or version != self._version:
            model.use_adapter(CONVERSE)
            view = listening_view(model.llm, model.listening_layers, listener.norm)
            stack = make_stack(view, listener.norm, model.llm, CONVERSE)
            model.use_adapter(RANK)
            everything = torch.arange(len(model.codes), device=model.device)
            positions = model.as_input(listener.positions(everything) * model.config.base.item_scale)
            self._layers = _LaidOut(stack, positions, listener.rows(), listener.offsets())
            self._version = version
        if not isinstance(self._layers.stack, FusedStack):
            model.use_adapter(CONVERSE)
        return self._layers

    def __enter__(self) -> Hearing:
        """Begin to listen."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the model rank."""
        if self._layers is not None and not isinstance(self._layers.stack, FusedStack):
            self._model.use_adapter(RANK)

    @property
    def _listener(self) -> Listener:
        if self._model.listener is None:
            raise RuntimeError("the model has not learned to listen")
        return self._model.listener

    def embedded(self, tokens: Tensor, items: Tensor, laid_out: _LaidOut) -> Tensor:
        """Return the embeddings [T, hidden] of positions: token ids [T], and items [T] or -1."""
        words = self._model.llm.get_input_embeddings()(tokens).float()
        is_item = items >= 0
        return words.masked_scatter(is_item[:, None], laid_out.positions[items[is_item]]) if is_item.any() else words


class _Heard:
    """The states behind prompts, and what is written behind a single one. `order`: of the prompts, by length."""

    def __init__(self, hearing: Hearing, prompts: Sequence[Example]) -> None:
        self.hearing, self.laid_out = hearing, hearing.laid_out()
        device = self.laid_out.rows.device
        self.order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        ordered = [prompts[i] for i in self.order]
        groups = list(groups_of([len(prompt) for prompt in ordered], device, padded(device)))
        self._cache = PromptCache(groups)
        batch, positions, last = pack_prompts(ordered, groups, 0, device)
        embedded = hearing.embedded(batch.tokens[0], batch.items[0], self.laid_out)
        #: [prompts, hidden]
        self.states = self.laid_out.stack(embedded, positions, PromptAttention(self._cache), last)
        self._beams, self._length = BeamAttention(self._cache), len(ordered[-1])

    def append(self, tokens: np.ndarray) -> Tensor:
        """Write tokens behind the single prompt; returns the state behind the last one, [1, hidden]."""
        state = self.states
        for token in torch.from_numpy(tokens).to(self.states.device):
            embedded = self.hearing.embedded(token[None], torch.full_like(token[None], -1), self.laid_out)
            position = torch.tensor([self._length], device=self.states.device)
            state = self.laid_out.stack(embedded, position, self._beams)
            self._length += 1
        return state
