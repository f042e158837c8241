"""Conversations as examples: what is expected suits, names have positions, and an epoch is a function of its numbers."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.conversations.making import ConversationMaker
from recommender.conversations.mentions import MentionFinder
from recommender.conversations.taste import Taste
from recommender.prompting.conversation import ConversationPrompts
from recommender.training.conversations import LONGEST, MadeExamples
from tests.conftest import byte_tokenizer
from tests.conversations.test_making import CATALOGUE, HISTORIES


@pytest.fixture(scope="module")
def examples():
    taste, tokenizer = Taste.learned(CATALOGUE, HISTORIES), byte_tokenizer()
    maker = ConversationMaker(taste, HISTORIES, "films")
    prompts = ConversationPrompts(tokenizer, len(tokenizer), "films")

    def likeness(texts):
        return np.tile(np.linspace(0, 0.1, len(CATALOGUE), dtype=np.float32), (len(texts), 1))

    return MadeExamples(maker, MentionFinder(CATALOGUE), prompts, likeness, "test")


def test_an_epoch_is_a_function_of_its_generator(examples):
    def tokens(seed):
        return [e.tokens.tolist() for e in examples.examples(30, np.random.default_rng(seed))]

    assert tokens(1) == tokens(1) != tokens(2)


def test_what_is_expected_is_a_distribution_at_each_place(examples):
    made = examples.examples(120, np.random.default_rng(0))
    vocabulary = examples.builder.vocabulary
    assert made and all(len(example) <= LONGEST for example in made)
    for example in made:
        items, probabilities, bare = example.expected
        assert len(items) == len(bare) == int((example.labels == vocabulary).sum())
        assert np.allclose(probabilities.sum(1), 1, atol=1e-5) and (probabilities >= 0).all()
        assert all(len(set(row)) == len(row) for row in items.tolist())
        assert ((example.labels < vocabulary) | (example.labels == vocabulary)).all()
    assert any(example.expected[2].any() for example in made) and any(example.alone for example in made)
    assert any((example.items >= 0).any() for example in made)
