"""Item embeddings: scale, cold items and views."""

from __future__ import annotations

import numpy as np
import torch

from recommender.prompting.example import ITEM
from recommender.prompting.packing import collate
from tests.conftest import ITEMS


def test_items_are_read_longer_by_their_scale_and_scored_as_before(make_checkpoint, config):
    plain, longer = make_checkpoint(), make_checkpoint(1, config.updated({"base.item_scale": 7.0}))
    batch = collate([[plain.builder.prompt([3, 1, 4])]])
    with torch.no_grad():
        short, long = plain.model.embed(batch), longer.model.embed(batch)
        item = batch.slots == ITEM
        torch.testing.assert_close(long[item], 7 * short[item])
        torch.testing.assert_close(long[~item], short[~item])
        torch.testing.assert_close(plain.model.output_rows(0), longer.model.output_rows(0))


def test_cold_items_are_read_and_scored_by_their_content_alone(make_checkpoint):
    checkpoint = make_checkpoint()
    model, batch = checkpoint.model.train(), collate([[checkpoint.builder.ranking([3, 1, 4, 5, 9, 2])]])

    def loss(cold_items):
        torch.manual_seed(0)
        return model(batch, cold_item_dropout=cold_items)[0]

    everyone = loss(1 - 1e-7)
    everyone.backward()
    assert not model.rows.grad.any()
    assert model.projectors["text"].leave.weight.grad.any()
    assert model.projectors["collaborative"].null.grad.any()
    assert not model.projectors["collaborative"].enter.weight.grad.any()
    with torch.no_grad():
        model.rows.zero_()
        with model.muted("collaborative"):
            torch.testing.assert_close(loss(0.0), everyone)


def test_with_shared_codes_no_item_is_cold(make_checkpoint):
    checkpoint = make_checkpoint(3)
    model, batch = checkpoint.model.train(), collate([[checkpoint.builder.ranking([3, 1, 4, 5])]])
    torch.manual_seed(0)
    plain = model(batch)[0]
    torch.manual_seed(0)
    torch.testing.assert_close(model(batch, cold_item_dropout=0.9)[0], plain)


def views_of(features, modality, count=3):
    random = np.random.default_rng(5)
    plain = features.vectors[modality]
    others = random.standard_normal((count, *plain.shape)) * features.present[modality][:, None]
    return torch.from_numpy(np.concatenate([plain[None], others]).astype(np.float32))


def test_each_item_is_read_and_scored_in_one_view_of_each_modality(make_checkpoint, features):
    checkpoint = make_checkpoint()
    model, batch = checkpoint.model.train(), collate([[checkpoint.builder.ranking([3, 1, 4, 5, 9, 2])]])
    views, known = {m: views_of(features, m) for m in ("image", "audio")}, model.all_items()
    torch.manual_seed(3)
    found = model(batch, views=views)[0]
    torch.manual_seed(3)  # the draws, as the forward pass makes them: one for each item and modality
    drawn = {m: torch.randint(4, (ITEMS,)) for m in views}
    assert all(set(d.tolist()) == {0, 1, 2, 3} for d in drawn.values()) and not torch.equal(*drawn.values())
    torch.testing.assert_close(model.all_items(), known)  # nothing of the views is left
    plain = model(batch)[0]
    seen = features
    for m, table in views.items():
        rows = np.flatnonzero(features.present[m])
        seen = seen.with_rows(m, rows, table[drawn[m], torch.arange(ITEMS)].numpy()[rows])
    model.set_features(seen)
    torch.testing.assert_close(found, model(batch)[0])
    assert (found - plain).abs() > 1e-4


def test_without_views_nothing_is_drawn(make_checkpoint):
    checkpoint = make_checkpoint()  # without dropout, which draws too
    model, batch = checkpoint.model, collate([[checkpoint.builder.ranking([3, 1, 4])]])
    before = torch.get_rng_state()
    model(batch, views={})
    model(batch)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_item_without_a_picture_has_none_in_any_view(make_checkpoint, features):
    model = make_checkpoint().model.train()
    items = torch.tensor([3])
    plain = model.item_embeddings(items)
    with model._with_views({"image": views_of(features, "image")}):
        for seen, known in zip(model.item_embeddings(items), plain, strict=True):
            assert torch.equal(seen, known)
