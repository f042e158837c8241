"""Listening: scores are linear in the state, items are told by their content, and the loss is the teacher's."""

from __future__ import annotations

import numpy as np
import torch

from recommender.model.listening import listening_loss, read_texts, reduced
from recommender.prompting.conversation import ConversationPrompts, HeardTurn
from recommender.prompting.packing import collate


def test_scores_are_rows_times_states_plus_offsets(listening_checkpoint):
    listener = listening_checkpoint.model.listener
    hidden = torch.randn(3, listening_checkpoint.model.hidden_size)
    assert torch.allclose(listener(hidden), hidden @ listener.rows().T + listener.offsets(), atol=1e-5)
    assert listener(hidden).shape == (3, len(listening_checkpoint.catalogue))


def test_a_conversation_is_heard_by_what_was_said_and_named(listening_checkpoint):
    model = listening_checkpoint.model
    prompts = ConversationPrompts(listening_checkpoint.tokenizer, model.vocabulary, "films")

    def state(*parts, profile=()):
        model.use_adapter("converse")
        try:
            return model.hear(collate([[prompts.prompt([HeardTurn("user", parts)], profile)[0]]]))[0, -1]
        finally:
            model.use_adapter("rank")

    plain = state("I like it")
    assert torch.allclose(plain, state("I like it"))
    for other in (state("I hate it"), state("I like it", 3), state("I like it", 4), state("I like it", profile=[3])):
        assert not torch.allclose(plain, other, atol=1e-4)


def test_the_ranking_of_histories_does_not_change(listening_checkpoint):
    model, builder = listening_checkpoint.model, listening_checkpoint.builder
    batch = collate([[builder.prompt([1, 2, 3])]])
    before = model.read(model.embed(batch), batch.positions, batch.mask)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".converse." in name or name.startswith("listener."):
                parameter.add_(1.0)
    assert torch.equal(before, model.read(model.embed(batch), batch.positions, batch.mask))


def test_the_loss_is_the_cross_entropy_of_what_is_expected():
    scores = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    items, probabilities = torch.tensor([[2, 0], [1, 2]]), torch.tensor([[0.6, 0.2], [0.5, 0.5]])
    log = torch.log_softmax(scores, -1)
    wanted = -(0.75 * log[0, 2] + 0.25 * log[0, 0] + 0.5 * log[1, 1] + 0.5 * log[1, 2])
    assert torch.allclose(listening_loss(scores, items, probabilities), wanted)


def test_texts_are_read_by_the_first_layers_whatever_stands_beside_them(listening_checkpoint):
    model, tokenizer = listening_checkpoint.model, listening_checkpoint.tokenizer
    texts = ["a red story", "a blue day, and more of it", ""]
    together = read_texts(model.llm, tokenizer, texts, 2)
    alone = np.concatenate([read_texts(model.llm, tokenizer, [one], 2) for one in texts])
    assert together.shape == (3, model.hidden_size) and np.allclose(together, alone, atol=1e-4)


def test_components_of_new_texts_follow_from_the_basis():
    states = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
    components, mean, basis = reduced(states, width=5)
    assert components.shape == (30, 5) and np.allclose(np.linalg.norm(components, axis=1), 1, atol=1e-5)
    projected = (states - mean) @ basis
    assert np.allclose(projected / np.linalg.norm(projected, axis=1, keepdims=True), components, atol=1e-4)
