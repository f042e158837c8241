"""Hearing: what inference lays out computes what the network computes, in batches of any lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.inference.hearing import Hearing
from recommender.prompting.conversation import ConversationPrompts, HeardTurn, ReadMention
from recommender.prompting.packing import collate

SAID = (
    [HeardTurn("user", ("hi",))],
    [HeardTurn("user", ("like The red story", 0, "?")), HeardTurn("assistant", ("yes",)), HeardTurn("user", ("more",))],
    [HeardTurn("user", ("no drama", 7))],
)


@pytest.fixture
def parts(listening_checkpoint):
    model = listening_checkpoint.model
    words = ConversationPrompts(listening_checkpoint.tokenizer, model.vocabulary, "films")
    return model, words, Hearing(model)


def state(model, example):
    model.use_adapter("converse")
    try:
        return model.hear(collate([[example]]))[0, -1]
    finally:
        model.use_adapter("rank")


def test_scores_are_those_of_the_network(parts):
    model, words, hearing = parts
    prompts = [words.prompt(turns, [3] * n)[0] for n, turns in enumerate(SAID)]
    with hearing, torch.no_grad():
        found = hearing.scores(prompts)
        expected = torch.stack([torch.log_softmax(model.listener(state(model, p)), -1) for p in prompts])
    assert np.allclose(found, expected.numpy(), atol=1e-3) and np.allclose(np.exp(found).sum(1), 1, atol=1e-4)


def test_a_reading_is_the_greedy_one_among_its_choices(parts):
    """Written anew by brute force: each whole text scored by the network, letter by letter."""
    model, words, hearing = parts
    prompt = words.prompt(SAID[1])[0]
    mentions = [ReadMention("The red story", ("liked", "likely", "none")), ReadMention("", ("list", "courtesy"))]
    with hearing, torch.no_grad():
        found = hearing.read(prompt, mentions, words)
    written = prompt.tokens.tolist()
    head = model.llm.get_output_embeddings()
    for mention, (meant, share) in zip(mentions, found, strict=True):
        written += words.reading_step(mention).tolist()
        options, text, expected = words.options(mention), [], 1.0
        while len(options) > 1:
            following = sorted({ids[len(text)] for ids in options.values()})
            example, _ = words.prompt(SAID[1])
            tokens = np.array(written + text, np.int64)
            more = len(tokens) - len(example)
            example = type(example)(
                tokens,
                np.concatenate([example.items, np.full(more, -1)]),
                np.concatenate([example.slots, np.zeros(more, np.int64)]),
                np.full(len(tokens), -1),
                np.full(len(tokens), -100),
                np.full(len(tokens), -1),
            )
            with torch.no_grad():
                logits = head(state(model, example))[following]
            best = int(logits.argmax())
            if len(following) > 1:
                expected *= float(torch.softmax(logits, -1)[best])
            text.append(following[best])
            options = {name: ids for name, ids in options.items() if ids[: len(text)] == text}
        assert meant == next(iter(options)) and share == pytest.approx(expected, abs=1e-3)
        written += [*words.options(mention)[meant], *words.line_end.tolist()]


def test_changed_weights_are_noticed(parts):
    model, words, hearing = parts
    prompts = [words.prompt(SAID[0])[0]]
    with hearing:
        before = hearing.scores(prompts)
        with torch.no_grad():
            model.listener.bias[4] += 5
        after = hearing.scores(prompts)
    assert after[0, 4] > before[0, 4] + 1
