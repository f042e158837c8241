"""What a training step changes of the items that it reads: content mixed with neighbours', dropout by what is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recommender.model.augmenting import Augmenting, Mix
from recommender.prompting.example import ITEM
from recommender.prompting.packing import collate
from tests.conftest import ITEMS

NEIGHBOURS = torch.stack([(torch.arange(ITEMS) + 1) % ITEMS, torch.full((ITEMS,), -1)], 1)
ALL = torch.arange(ITEMS)


def mixing(share=1.0, neighbours=NEIGHBOURS[:, :1]):
    return Augmenting(share, neighbours)


def by_activity(counts, half):
    return Augmenting(trust=counts / (counts + half), half=half)


def test_an_item_keeps_the_larger_share_of_itself_and_only_a_share_of_items_is_mixed():
    torch.manual_seed(0)
    many = torch.zeros(20_000, dtype=torch.long)
    mix = mixing(0.3).mix(many)
    assert (mix.partners == 1).all() and ((mix.shares >= 0.5) & (mix.shares <= 1)).all()
    assert (mix.shares < 1).float().mean().item() == pytest.approx(0.3, abs=0.02)
    mixed = mix.shares[mix.shares < 1]
    assert mixed.mean() > 0.75 and mixed.min() < 0.6  # Beta(.4, .4): mostly near the end


def test_an_item_without_a_neighbour_is_not_mixed():
    mix = mixing(neighbours=NEIGHBOURS[:, 1:]).mix(ALL)
    assert (mix.shares == 1).all() and (mix.partners == 0).all()
    assert Augmenting(1.0, None).mix(ALL) is None and mixing(0.0).mix(ALL) is None


def test_content_is_read_mixed_where_both_have_it_and_scored_as_it_is(make_checkpoint, features):
    model = make_checkpoint().model.train()
    mix = Mix((ALL + 1) % ITEMS, torch.full((ITEMS,), 0.75))
    with torch.no_grad():
        rows = model._rows_at(model.codes[ALL]).mean(1)
        read = model.embedded(rows, ALL, mix=mix)
        expected = features
        for m in ("text", "image", "audio"):
            table, has = features.vectors[m], features.present[m]
            both = has & np.roll(has, -1)
            changed = np.where(both[:, None], 0.75 * table + 0.25 * np.roll(table, -1, 0), table)
            expected = expected.with_rows(m, np.flatnonzero(has), changed[has])
        scored = model.all_embeddings()
        with model._with_augmenting(mixing()):
            assert torch.equal(model.all_embeddings(), scored)
            assert not torch.equal(model.read_items(ALL, 0.0)[0], scored)
        assert torch.equal(model.read_items(ALL, 0.0)[0], scored)
        model.set_features(expected)
        for found, known in zip(read, model.item_embeddings(ALL), strict=True):
            torch.testing.assert_close(found, known)


def test_of_a_rare_item_what_came_of_interactions_is_dropped_and_content_stays():
    modalities = ("text", "image", "collaborative")
    rates = by_activity(torch.tensor([0.0, 10.0, 990.0]), 10).rates(torch.tensor([0, 1, 2]), 0.4, modalities)
    torch.testing.assert_close(rates, torch.tensor([[0, 0, 0.4, 0.4], [0.2] * 4, [0.396, 0.396, 0.004, 0.004]]))
    assert by_activity(torch.ones(3), 10).rates(ALL[:3], 0.0, modalities) == 0.0
    assert Augmenting().rates(ALL, 0.4, modalities) == 0.4


def test_the_parts_of_items_are_dropped_by_their_rates(make_checkpoint):
    model = make_checkpoint().model.train()
    counts = torch.where(ALL < 10, 0.0, 1e9)
    with torch.no_grad(), model._with_augmenting(by_activity(counts, 1.0)):
        found = model.read_items(ALL, 1.0)[0]
        rare, common = ALL[:10], ALL[10:]
        with model.muted("collaborative"):
            expected = model.embedded(torch.zeros(10, model.hidden_size), rare)[0]
        torch.testing.assert_close(found[:10], expected)
        with model.muted("text", "image", "audio"):
            torch.testing.assert_close(found[10:], model.item_embeddings(common)[0])


def test_a_longer_history_is_thinned_more():
    segments = torch.tensor([[0] * 2 + [1] * 2 + [2] * 30 + [-1] * 2])
    slots = torch.full_like(segments, ITEM)
    slots[0, :2] = slots[0, -2:] = slots[0, 2] = (
        0  # the instruction, padding and a word of the first example are no items
    )
    at, values = torch.ones_like(slots, dtype=torch.bool), torch.ones(36, 50_000)
    torch.manual_seed(0)
    thinned = by_activity(torch.ones(2), 10).thinned(values, 0.4, slots, segments, at)
    gone = (thinned == 0).float().mean(1)
    assert not gone[:3].any() and not gone[-2:].any()
    assert gone[3].item() == pytest.approx(0.4 / 11, abs=0.005)
    assert gone[4:34].mean().item() == pytest.approx(0.3, abs=0.005)
    torch.testing.assert_close(thinned.mean(1), torch.ones(36), atol=0.02, rtol=0)


@pytest.mark.parametrize("memory", [0, 4])
def test_a_step_reads_what_is_augmented_and_draws_nothing_without(make_checkpoint, config, memory):
    checkpoint = make_checkpoint(1, config.updated({"base.memory": memory}))
    model, batch = checkpoint.model.train(), collate([[checkpoint.builder.ranking([3, 1, 4, 5, 9, 2])]])

    def loss(augmenting, modality=0.0, row=0.0):
        torch.manual_seed(0)
        return model(batch, modality, row, augmenting=augmenting)[0].item()

    plain, lots = loss(None), by_activity(torch.full((ITEMS,), 1e9), 1e-6)
    assert loss(Augmenting()) == plain and loss(lots) == plain
    assert abs(loss(mixing()) - plain) > 1e-6
    assert loss(lots, row=0.5) != loss(None, row=0.5)
    assert loss(by_activity(torch.ones(ITEMS), 1e9), row=0.5) == pytest.approx(plain, abs=1e-4)  # hardly any dropout
    model.eval()  # LoRA's own dropout draws, too
    before = torch.get_rng_state()
    model(batch, augmenting=lots)
    assert torch.equal(torch.get_rng_state(), before)
    assert model(batch, 0.0, 0.5, augmenting=lots)[0].item() == pytest.approx(plain, abs=1e-4)
