"""Builds prompts and training examples from histories: token ids, item positions, soft-token slots and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from transformers import PreTrainedTokenizerBase

from recommender import prompts
from recommender.config import PromptConfig
from recommender.data.catalogue import Catalogue
from recommender.errors import RecommenderError
from recommender.prompting.chat_template import render_chat
from recommender.prompting.example import (
    FIRST_SOFT,
    IGNORE,
    ITEM,
    Example,
    clean,
    join_positions,
    marker,
    tokenised,
    unlabelled_example,
    word_positions,
)
from recommender.semantic_ids.codes import SemanticIds


class ExampleBuilder:
    """Turns histories and items into examples for one tokenizer, one catalogue and one set of semantic ids."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        vocabulary: int,
        catalogue: Catalogue,
        ids: SemanticIds,
        config: PromptConfig,
        soft_slots: int,
        window: int | None = None,
    ) -> None:
        """`vocabulary`: size of the language model's vocabulary; the codes are numbered behind it.

        `soft_slots`: how many soft tokens an item has. `window`: most positions that the model can read, an
        item's codes included; None: no known limit.
        """
        self.tokenizer = tokenizer
        self.catalogue = catalogue
        self.config = config
        self.vocabulary = vocabulary
        self.room = None if window is None else window - ids.levels
        offsets = vocabulary + np.concatenate([[0], np.cumsum(ids.sizes)[:-1]]).astype(np.int64)
        self.code_tokens = ids.codes + offsets[None, :]
        self.soft_slots = range(FIRST_SOFT, FIRST_SOFT + soft_slots)
        self._titles: dict[int, str] = {}
        instruction = self.instruction(None)
        #: the fixed instruction, which examples share; its last token opens each history
        self.prefix, self.start = instruction[:-1], instruction[-1:]

    def user_turn(self, text: str | None) -> str:
        """Return the user's turn: a query in words, or the default question."""
        query = clean(text, self.tokenizer) if text else None
        return prompts.render_block("rank", "user", query=query)

    def instruction(self, query: str | None) -> np.ndarray:
        """Return the token ids [positions] of the instruction with a query, up to where the history begins."""
        return self.chat(prompts.render_block("rank", "system", noun=self.config.noun), self.user_turn(query))

    def chat(self, system: str, user: str) -> np.ndarray:
        """Return the token ids [positions] of a chat up to where the assistant's turn begins.

        Item markers in `user` are dropped: only `positions` resolves them.
        """
        return self.positions(self._chat_text(system, user))[0]

    def _chat_text(self, system: str, user: str) -> str:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return render_chat(self.tokenizer, messages)

    def positions(self, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return `tokenised` positions of a rendered prompt."""
        return tokenised(text, self.tokenizer)

    def title(self, item: int) -> str:
        """Return the cleaned title of an item, cut to its first 80 characters to keep the prompt short.

        "item ID" where cleaning leaves nothing of it.
        """
        if item not in self._titles:
            entry = self.catalogue[item]
            title = clean(entry.title, self.tokenizer)
            self._titles[item] = (title if title.strip() else clean(f"item {entry.item_id}", self.tokenizer))[:80]
        return self._titles[item]

    def _soft_tokens(self, item: int) -> str:
        return "".join(marker(item, slot) for slot in self.soft_slots)

    def history(self, history: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the positions of a history, oldest item first, one position an item."""
        items = np.asarray(history, dtype=np.int64)
        return np.zeros_like(items), items, np.full(len(items), ITEM, dtype=np.int64)

    def recent(self, items: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the positions that spell items out: the title and soft tokens of each."""
        entries = [{"title": self.title(int(i)), "soft": self._soft_tokens(int(i))} for i in items]
        return self.positions(prompts.render_block("rank", "recent", entries=entries))

    def prompt(
        self, history: Sequence[int] | np.ndarray, query: str | None = None, titled: int | None = None
    ) -> Example:
        """Return the whole prompt for one history, which may be empty.

        The history is cut to the last items that the config and the model's window have room for; see `shown`. `titled`:
        how many of them are spelled out, as configured by default, if there are `titled_from`. Raises RecommenderError if
        the instruction and the spelled-out items alone exceed the window.
        """
        items = list(history)[-self.config.history :]
        titled = self.config.titled if titled is None else titled
        head = np.concatenate([self.prefix, self.start]) if query is None else self.instruction(query)
        parts = word_positions(head), self.recent(self._spelled(items, titled))
        needed = sum(len(part[0]) for part in parts)
        if self.room is not None and needed + len(items) > self.room:
            if needed > self.room:
                raise RecommenderError(
                    f"the prompt has {needed} positions without its history, and the model reads {self.room}",
                    "a shorter query, or less of prompt.titled",
                )
            items = items[needed + len(items) - self.room :]
        return unlabelled_example(join_positions(*parts, self.history(items)))

    def _spelled(self, history: Sequence[int] | np.ndarray, titled: int) -> Sequence[int] | np.ndarray:
        """Return the last items of a history that are spelled out: none where it is shorter than `titled_from`."""
        count = min(titled, len(history)) if len(history) >= self.config.titled_from else 0
        return history[len(history) - count :]

    @staticmethod
    def shown(prompt: Example) -> int:
        """Return how many items of its history a prompt holds."""
        return int((prompt.slots == ITEM).sum())

    def ranking(
        self,
        history: Sequence[int] | np.ndarray,
        known: int = 0,
        begins: bool = True,
        interaction_ids: np.ndarray | None = None,
    ) -> Example:
        """Return a training example without the instruction: each position of `history` predicts the next item.

        With `known` > 0 the example begins like a prompt made after so many items: the last of them are spelled out, and
        only later items are learned, because the spelled-out ones would give the earlier answers away. `begins`: whether
        `history` starts with the user's first item; if not, nothing predicts that item. `interaction_ids`: which of all
        training interactions each item of `history` is, -1 where the teacher has no answer.
        """
        items = np.asarray(history, dtype=np.int64)
        spelled = self._spelled(items[:known], self.config.titled)
        parts = join_positions(word_positions(self.start), self.recent(spelled), self.history(items[:-1]))
        # the first item is predicted at the start of the history, any other at the item before it
        anchors = np.append(0, len(parts[0]) - len(items) + 1 + np.arange(len(items) - 1))
        learned = slice(known if begins else max(known, 1), None)
        ids = None if interaction_ids is None else interaction_ids[learned]
        return _with_branches(unlabelled_example(parts), anchors[learned], self.code_tokens[items[learned]], ids)

    def queried(self, history: Sequence[int] | np.ndarray, query: str, wanted: np.ndarray, known: int = 0) -> Example:
        """Return a training example that begins with a query in words: only items that match it are learned.

        `wanted` bool [items of the history]: which match it, at least one at `known` or later. `known`: as in `ranking`.
        """
        items, head = np.asarray(history, dtype=np.int64), self.instruction(query)
        parts = join_positions(
            word_positions(head),
            self.recent(self._spelled(items[:known], self.config.titled)),
            self.history(items[:-1]),
        )
        anchors = len(parts[0]) - len(items) + np.arange(len(items))
        learned = known + np.flatnonzero(wanted[known:])
        example = _with_branches(unlabelled_example(parts), anchors[learned], self.code_tokens[items[learned]])
        return replace(example, alone=True)

    def finding(self, item: int) -> Example:
        """Return an example that asks for an item by its title and expects its codes."""
        user = prompts.render_block("align", "find", title=self.title(item))
        head = self._align_head(user)
        example = unlabelled_example(word_positions(head[0]))
        return _with_branches(example, np.array([len(example) - 1]), self.code_tokens[[item]])

    def describing(self, item: int) -> Example:
        """Return an example that shows an item and its soft tokens and expects title and attributes in words."""
        user = prompts.render_block("align", "describe", soft=self._soft_tokens(item), item=marker(item))
        facts = [(name, values[:4]) for name, values in list(self.catalogue.facts(item).items())[:4]]
        answer = prompts.render_block("align", "description", title=self.title(item), facts=facts)
        return self._answered(self._align_head(user), clean(answer, self.tokenizer))

    def writing(self, prompt: str, completion: str) -> Example:
        """Return an example of a chat turn: `prompt` by the user, `completion` to be learned."""
        return self._answered(word_positions(self.chat_turn(prompt)), clean(completion, self.tokenizer))

    def chat_turn(self, prompt: str) -> np.ndarray:
        """Return the token ids of a user's turn with the writing instruction, up to the assistant's turn."""
        return self.chat(prompts.render_block("rank", "system", noun=self.config.noun), clean(prompt, self.tokenizer))

    def _align_head(self, user: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        system = prompts.render_block("align", "system", noun=self.config.noun)
        return self.positions(self._chat_text(system, user))

    def _answered(self, head: tuple[np.ndarray, ...], answer: str) -> Example:
        words = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        end = self.tokenizer.eos_token_id
        body = np.array([*words, end], dtype=np.int64)
        parts = join_positions(head, word_positions(body[:-1]))
        labels = np.full(len(parts[0]), IGNORE, dtype=np.int64)
        labels[len(head[0]) - 1 :] = body
        return unlabelled_example(parts, labels, writes=True)


def _with_branches(
    trunk: Example, anchors: np.ndarray, targets: np.ndarray, interaction_ids: np.ndarray | None = None
) -> Example:
    """Label each anchor with its target's first code, and append the other codes as a branch of the anchor.

    `anchors` [n], `targets` [n, levels] code tokens, `interaction_ids` [n] of the targets among all training
    interactions. A branch attends to the trunk up to its anchor and to itself, as a beam does in decoding, so the history
    has one position an item whatever the number of levels.
    """
    labels, more = trunk.labels.copy(), targets.shape[1] - 1
    labels[anchors] = targets[:, 0]
    tokens, items, slots = join_positions(
        (trunk.tokens, trunk.items, trunk.slots), word_positions(targets[:, :-1].reshape(-1))
    )
    all_anchors = np.concatenate([trunk.anchors, np.repeat(anchors, more)])
    labels = np.concatenate([labels, targets[:, 1:].reshape(-1)])
    all_ids = np.concatenate([trunk.interaction_ids, np.full(len(all_anchors) - len(trunk), -1, dtype=np.int64)])
    if interaction_ids is not None:
        all_ids[anchors], all_ids[len(trunk) :] = interaction_ids, np.repeat(interaction_ids, more)
    return Example(tokens, items, slots, all_anchors, labels, all_ids, trunk.writes, alone=trunk.alone)
