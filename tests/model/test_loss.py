"""The losses: beside their definitions computed by hand, and beside plain torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recommender.model.loss import distillation_loss, ranking_loss, word_loss
from recommender.model.soft_targets import SoftTargets
from recommender.prompting.example import IGNORE
from recommender.prompting.packing import collate
from tests.conftest import ITEMS


def test_a_teacher_is_mixed_into_the_loss_as_by_hand(leveled):
    model, builder = leveled
    levels = model.ids.codes.shape[1]
    histories = [np.array([3, 7, 1, 12]), np.array([5, 0, 9])]
    own = torch.from_numpy(np.concatenate(histories))
    random = np.random.default_rng(0)
    items = torch.from_numpy(np.stack([random.permutation(ITEMS)[:6] for _ in own]))
    probabilities = torch.from_numpy(random.dirichlet(np.ones(6), len(own)).astype(np.float32))
    interaction_ids = np.arange(4), 4 + np.arange(3)
    batch = collate([[builder.ranking(h, interaction_ids=p)] for h, p in zip(histories, interaction_ids, strict=True)])

    def loss(weight):
        return float(model(batch, teacher=SoftTargets(own, items, probabilities, weight))[0])

    with torch.no_grad():
        plain = float(model(batch)[0])
        assert loss(0.0) == pytest.approx(plain, rel=1e-5)
        expected = 0.0
        hidden = model.read(model.embed(batch), batch.positions, batch.mask)
        for row, at in torch.nonzero(batch.labels != IGNORE).tolist():
            code, place = int(batch.labels[row, at]) - model.vocabulary, int(batch.interaction_ids[row, at])
            level = int(np.searchsorted(model.offsets, code, side="right")) - 1
            logp = torch.log_softmax(model.code_logits(hidden[row, at], level), -1)
            prefix = model.ids.codes[own[place], :level]
            found = {}
            for item, chance in zip(items[place].tolist(), probabilities[place].tolist(), strict=True):
                if (model.ids.codes[item, :level] == prefix).all():
                    found[item] = chance
            target = code - int(model.offsets[level])
            if found:
                total = sum(found.values())
                expected -= sum(c / total * float(logp[model.ids.codes[i, level]]) for i, c in found.items())
            else:
                assert levels > 1
                expected -= float(logp[target])
        assert loss(1.0) == pytest.approx(expected, rel=1e-4)
        assert loss(0.25) == pytest.approx(0.75 * plain + 0.25 * expected, rel=1e-4)


def test_without_a_prediction_of_the_teacher_the_loss_is_the_plain_one(leveled):
    model, builder = leveled
    batch = collate([[builder.ranking(np.array([3, 7, 1, 12]))]])
    teacher = SoftTargets(
        torch.zeros(1, dtype=torch.long), torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2) / 2, 1.0
    )
    with torch.no_grad():
        assert float(model(batch, teacher=teacher)[0]) == pytest.approx(float(model(batch)[0]), rel=1e-6)


def test_words_cost_what_torch_says():
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 7), torch.tensor([0, 6, 3, 3, 1])
    expected = torch.nn.CrossEntropyLoss(reduction="sum")(logits, labels)
    torch.testing.assert_close(word_loss(logits, labels), expected)
    assert word_loss(logits.bfloat16(), labels).dtype == torch.float32


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_each_code_is_compared_with_those_of_its_level(smoothing):
    torch.manual_seed(0)
    hidden, codes, offsets = torch.randn(4, 3), torch.tensor([1, 4, 0, 2]), [0, 2, 5]
    tables = [torch.randn(2, 3), torch.randn(3, 3)]
    loss = ranking_loss(lambda states, level: states @ tables[level].T, hidden, codes, offsets, smoothing)
    expected = 0.0
    for state, code in zip(hidden, codes.tolist(), strict=True):
        level = int(code >= 2)
        logp = torch.log_softmax(tables[level] @ state, 0)
        expected -= (1 - smoothing) * logp[code - offsets[level]] + smoothing * logp.mean()
    torch.testing.assert_close(loss, expected)


def test_without_labels_there_is_no_loss():
    nothing = ranking_loss(lambda s, _: s, torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), [0, 3])
    assert float(nothing) == 0.0


def test_a_teacher_that_agrees_with_the_label_changes_nothing():
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 5), torch.tensor([4, 0, 2])
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    sure = distillation_loss(losses, logits, labels[:, None], torch.ones(3, 1), 0.6)
    torch.testing.assert_close(sure, losses)
    silent = distillation_loss(losses, logits, labels[:, None], torch.zeros(3, 1), 0.6)
    torch.testing.assert_close(silent, losses)


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.floats(0, 1))
def test_distillation_is_the_cross_entropy_against_mixed_targets(raw, weight):
    logits = torch.tensor([[0.3, -1.0, 2.0, 0.5]])
    probabilities = torch.tensor([raw]) / sum(raw)
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor([1]), reduction="none")
    mixed = distillation_loss(losses, logits, torch.tensor([[0, 1, 3]]), probabilities, weight)
    targets = torch.zeros(1, 4)
    targets[0, [0, 1, 3]] += weight * probabilities[0]
    targets[0, 1] += 1 - weight
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=1e-5)
