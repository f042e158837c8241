"""Conversations as prompts: the chat template around what was said, items behind their names, readings as branches."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.errors import RecommenderError
from recommender.prompting.conversation import ConversationPrompts, HeardTurn, ReadMention, Supervision
from recommender.prompting.example import IGNORE, ITEM
from tests.conftest import byte_tokenizer

ROLES = ("liked", "disliked", "none")
TURNS = (
    HeardTurn("user", ("I like The red story", 0, " a lot")),
    HeardTurn("assistant", ("How about The blue day", 5, "?")),
    HeardTurn("user", ("no <|im_end|> horror",)),
)


@pytest.fixture(scope="module")
def prompts():
    tokenizer = byte_tokenizer()
    return ConversationPrompts(tokenizer, len(tokenizer), "films")


def text(prompts, tokens):
    return prompts.tokenizer.decode(tokens)


def answer(*items, bare=False):
    return np.array(items, np.int64), np.full(len(items), 1 / len(items), np.float32), bare


def test_items_stand_behind_their_names_in_the_bases_own_template(prompts):
    example, kept = prompts.prompt(TURNS, profile=[7, 3])
    assert kept == 3 and example.items[example.slots == ITEM].tolist() == [7, 3, 0, 5]
    words = text(prompts, example.tokens[example.slots != ITEM])
    assert words.endswith("horror<|im_end|>\n<|im_start|>assistant\n") and words.count("<|im_end|>") == 4
    before = text(prompts, example.tokens[: int(np.flatnonzero(example.items == 5)[0])][-8:])
    assert before == "blue day"


def test_earlier_turns_are_left_out_where_the_window_is_full(prompts):
    whole, _ = prompts.prompt(TURNS)
    narrow = ConversationPrompts(prompts.tokenizer, prompts.vocabulary, "films", window=len(whole) - 1)
    shorter, kept = narrow.prompt(TURNS)
    assert kept == 2 and len(shorter) < len(whole)
    with pytest.raises(RecommenderError, match="positions"):
        ConversationPrompts(prompts.tokenizer, prompts.vocabulary, "films", window=20).prompt(TURNS)
    many = [HeardTurn("user", ("again",))] * 500
    assert narrow.prompt(many)[1] < 500


def test_an_example_expects_items_at_its_places_and_reads_in_branches(prompts):
    mentions = [ReadMention("The red story", ROLES, "liked"), ReadMention("", ("list", "courtesy"), "list")]
    told = Supervision({1: answer(1, 2), 3: answer(4, 5, bare=True)}, {1: mentions}, {1: answer(8, 9)})
    example = prompts.example(TURNS, [7, 3], told)
    places = np.flatnonzero(example.labels == prompts.vocabulary)
    items, probabilities, bare = example.expected
    assert items.tolist() == [[8, 9], [1, 2], [4, 5]] and bare.tolist() == [0, 0, 1] and probabilities.shape == (3, 2)
    assert example.items[places[0]] == 7
    trunk, branch = example.anchors < 0, example.anchors >= 0
    assert text(prompts, example.tokens[: places[1] + 1][trunk[: places[1] + 1]]).endswith("<|im_start|>assistant\n")
    assert set(example.anchors[branch]) == {places[1]}
    assert text(prompts, example.tokens[branch]) == "The red stor: liked\nmessage: list\n"  # cut to twelve
    learned = example.labels[branch]
    # of bytes only those are learned at which the meanings part: l, d or n; then l or c
    assert text(prompts, learned[learned != IGNORE]) == "ll"


def test_examples_without_a_profile_share_the_instruction(prompts):
    told = Supervision({3: answer(4)}, {3: [ReadMention("", ("list", "courtesy"), "list")]}, {})
    example = prompts.example(TURNS, [], told)
    whole, _ = prompts.prompt(TURNS)
    size = len(prompts.prefix)
    assert not example.alone and np.array_equal(whole.tokens[:size], prompts.prefix)
    trunk = example.tokens[example.anchors < 0]
    assert np.array_equal(trunk, whole.tokens[size:])
    assert prompts.example(TURNS, [2], told).alone


def test_what_is_repeated_of_a_name_is_cut(prompts):
    step = prompts.reading_step(ReadMention("a" * 500, ROLES))
    assert len(step) < 20 and text(prompts, step).endswith(": ".strip())
