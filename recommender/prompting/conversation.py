"""Conversations as prompts: what was said, with the position of each named item behind its name, and readings of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from transformers import PreTrainedTokenizerBase

from recommender import prompts
from recommender.constraints.choice import decisions
from recommender.errors import RecommenderError
from recommender.prompting.chat_template import render_chat
from recommender.prompting.example import (
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

#: tokens of a name or value that a reading repeats
MENTION_TOKENS = 12
#: characters that a token has at most, for an estimate of what fits
_LONGEST_TOKEN = 16
Positions = tuple[np.ndarray, np.ndarray, np.ndarray]
Expected = tuple[np.ndarray, np.ndarray, bool]
"""Likeliest items [most] of one place, their probabilities [most], and whether these leave popularity out."""


@dataclass(frozen=True)
class HeardTurn:
    """What one of the two said: words, and catalogue indices of items right behind their names."""

    role: str
    parts: tuple[str | int, ...]


@dataclass(frozen=True)
class ReadMention:
    """A name or value, and how it is meant: one of `choices`."""

    text: str
    choices: tuple[str, ...]
    meant: str = ""


@dataclass(frozen=True)
class Supervision:
    """What is learned at the places of a conversation, where the assistant would speak next: a place is the number of turns
    before it. `items`: what suits there. `readings`: the mentions before it, the last one being the act of the message.
    `profile`: what suits behind so many of the items that are known beforehand."""

    items: Mapping[int, Expected]
    readings: Mapping[int, Sequence[ReadMention]]
    profile: Mapping[int, Expected]


class ConversationPrompts:
    """Makes prompts and examples of conversations for one tokenizer."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        vocabulary: int,
        noun: str,
        window: int | None = None,
        with_words: bool = True,
        with_items: bool = True,
    ) -> None:
        """`vocabulary`: size of the language model's; `noun`: what is recommended; `window`: most positions it reads.

        `with_words`, `with_items`: to leave a part of the messages out, for studies.
        """
        self.tokenizer, self.vocabulary, self.noun, self.window = tokenizer, vocabulary, noun, window
        self.with_words, self.with_items = with_words, with_items

    def prompt(self, turns: Sequence[HeardTurn], profile: Sequence[int] = (), room: int = 0) -> tuple[Example, int]:
        """Return the prompt up to where the assistant would speak, and how many of the turns it holds, from the last on.

        `profile`: items known beforehand. `room`: positions that must stay free behind it. Earlier turns are left out where
        the model's window has no room for them. Raises RecommenderError where the last turn alone has none.
        """
        for first in range(self._fitting(turns), len(turns)):
            example = unlabelled_example(join_positions(*self._segments(turns[first:], profile).values()))
            if self.window is None or len(example) + room <= self.window:
                return example, len(turns) - first
        raise RecommenderError(f"the message has more than {self.window} positions", "say it in fewer words")

    def example(self, turns: Sequence[HeardTurn], profile: Sequence[int], told: Supervision) -> Example:
        """Return a training example of a whole conversation. Its labels are `vocabulary` where an item is expected."""
        segments = self._segments(turns, profile)
        lengths = [len(segment[0]) for segment in segments.values()]
        ends = dict(zip(segments, np.cumsum(lengths) - 1, strict=True))
        trunk = unlabelled_example(join_positions(*segments.values()))
        labels, expected = trunk.labels.copy(), dict[int, Expected]()
        known = np.flatnonzero(trunk.slots == ITEM)
        for count, answer in told.profile.items():
            expected[int(known[count - 1])] = answer
        for place, answer in told.items.items():
            expected[int(ends[place])] = answer
        labels[list(expected)] = self.vocabulary
        answers = _stacked([expected[at] for at in sorted(expected)])
        example = replace(trunk, labels=labels, expected=answers, alone=True)
        for place, mentions in told.readings.items():
            example = self._with_reading(example, int(ends[place]), mentions)
        return example if profile else self._without_prefix(example)

    @cached_property
    def prefix(self) -> np.ndarray:
        """Token ids [positions] of the instruction, which examples without a profile share; none if it is no part."""
        whole = self._rendered([self._system(""), {"role": "user", "content": "?"}])
        head = render_chat(self.tokenizer, [self._system("")], add_generation_prompt=False)
        return self._words(head) if whole.startswith(head) else np.zeros(0, np.int64)

    def _without_prefix(self, example: Example) -> Example:
        """Return an example that attends to the instruction of its row in the place of its own."""
        size = len(self.prefix)
        if not size or not np.array_equal(example.tokens[:size], self.prefix):
            return example
        anchors = np.where(example.anchors >= 0, example.anchors - size, -1)[size:]
        names = ("tokens", "items", "slots", "labels", "interaction_ids")
        return replace(example, **{n: getattr(example, n)[size:] for n in names}, anchors=anchors, alone=False)

    def reading_step(self, mention: ReadMention) -> np.ndarray:
        """Return the token ids [n] behind which the model says how a mention is meant."""
        block = "mention" if mention.text else "act"
        ids = self.tokenizer(clean(mention.text, self.tokenizer), add_special_tokens=False)["input_ids"]
        text = self.tokenizer.decode(ids[:MENTION_TOKENS])
        return self._words(prompts.render_block("converse", block, text=text))

    def options(self, mention: ReadMention) -> dict[str, list[int]]:
        """Return the token ids of each meaning that a mention may have."""
        return {meant: self._words(f" {meant}").tolist() for meant in mention.choices}

    @cached_property
    def line_end(self) -> np.ndarray:
        """The token ids [n] behind a meaning."""
        return self._words("\n")

    def _with_reading(self, example: Example, anchor: int, mentions: Sequence[ReadMention]) -> Example:
        """Append a reading as a branch of `anchor`: a reading is no part of what is said afterwards."""
        tokens: list[int] = []
        labels: list[int] = []
        for mention in mentions:
            step, options = self.reading_step(mention).tolist(), self.options(mention)
            meaning, learned = options[mention.meant], set(decisions(options, mention.meant))
            following = [*meaning, *self.line_end.tolist()]
            tokens += [*step, *following]
            labels += [IGNORE] * (len(step) - 1)
            labels += [token if place in learned else IGNORE for place, token in enumerate(meaning)]
            labels += [IGNORE] * (len(following) + 1 - len(meaning))
        parts = join_positions(
            (example.tokens, example.items, example.slots), word_positions(np.array(tokens, np.int64))
        )
        anchors = np.concatenate([example.anchors, np.full(len(tokens), anchor, np.int64)])
        ids = np.concatenate([example.interaction_ids, np.full(len(tokens), -1, np.int64)])
        return replace(
            example,
            tokens=parts[0],
            items=parts[1],
            slots=parts[2],
            anchors=anchors,
            labels=np.concatenate([example.labels, np.array(labels, np.int64)]),
            interaction_ids=ids,
        )

    def _fitting(self, turns: Sequence[HeardTurn]) -> int:
        """Return which turn is the first that may fit the window: no token is longer than a word."""
        room = math.inf if self.window is None else self.window * _LONGEST_TOKEN
        for first in range(len(turns) - 1, -1, -1):
            room -= sum(1 if isinstance(part, int) else len(part) for part in turns[first].parts)
            if room < 0:
                return min(first + 1, len(turns) - 1)
        return 0

    def _segments(self, turns: Sequence[HeardTurn], profile: Sequence[int]) -> dict[int, Positions]:
        """Return the positions of a conversation by the place that they lead to: tokens never reach across a place.

        Where a chat template renders the beginning of a conversation otherwise than the whole, the last place is left.
        """
        messages = [self._system("".join(marker(item) for item in profile))]
        messages += [{"role": turn.role, "content": self._content(turn)} for turn in turns]
        whole, segments, start = self._rendered(messages), dict[int, Positions](), 0
        for place in _places(turns):
            head = self._rendered(messages[: place + 1])
            if whole.startswith(head) or place == len(turns):
                segments[place] = tokenised(whole[start : len(head)], self.tokenizer)
                start = len(head)
        return segments

    def _system(self, known: str) -> dict[str, str]:
        return {"role": "system", "content": prompts.render_block("converse", "system", noun=self.noun, known=known)}

    def _rendered(self, messages: Sequence[dict[str, str]]) -> str:
        return render_chat(self.tokenizer, messages)

    def _content(self, turn: HeardTurn) -> str:
        parts = [part for part in turn.parts if (self.with_items if isinstance(part, int) else self.with_words)]
        said = [marker(part) if isinstance(part, int) else clean(part, self.tokenizer) for part in parts]
        return "".join(said).strip()

    def _words(self, text: str) -> np.ndarray:
        return np.array(self.tokenizer(text, add_special_tokens=False)["input_ids"], np.int64)


def _places(turns: Sequence[HeardTurn]) -> list[int]:
    """Return where the assistant speaks, or would speak next."""
    return [*(place for place, turn in enumerate(turns) if turn.role == "assistant"), len(turns)]


def _stacked(answers: Sequence[Expected]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    items, probabilities, bare = zip(*answers, strict=True)
    return np.stack(items), np.stack(probabilities), np.array(bare, np.float32)
