import json

import numpy as np
import pytest
import torch

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.errors import CheckpointError, ConfigError
from recommender.inference import beam_search
from recommender.inference.weight_cache import WeightCache
from recommender.model import RecommenderModel, load_llm, resolve_dtype
from recommender.model.checkpoint import from_pretrained, save_pretrained
from recommender.model.network import is_adapter_parameter
from recommender.model.soft_targets import SoftTargets
from recommender.prompting.example import IGNORE, ITEM
from recommender.prompting.packing import collate
from recommender.training.validation import rank_histories
from tests.conftest import ITEMS


def scores(checkpoint, history):
    prompts = [checkpoint.builder.prompt(history)]
    return beam_search.score(WeightCache(checkpoint.model), prompts, range(len(checkpoint.catalogue)))[0]


@pytest.mark.parametrize("levels", [1, 3])
def test_gradients_reach_every_projector_row_and_adapter(make_checkpoint, levels):
    checkpoint = make_checkpoint(levels)
    model, builder = checkpoint.model.train(), checkpoint.builder
    loss, count = model(collate([[builder.ranking([3, 1, 4, 5, 9, 2], known=2)]], builder.prefix))
    (loss / count).backward()
    assert int(count) == 4 * levels
    for name in model.modalities:
        assert model.projectors[name].enter.weight.grad.abs().sum() > 0, name
    assert model.projectors["image"].null.grad.abs().sum() > 0  # item 3 has no image
    assert model.rows.grad.abs().sum() > 0
    touched = {n for n, p in model.named_parameters() if ".rank." in n and p.grad is not None}
    assert touched and not any(".layers.2." in n for n in touched)  # ranks at depth 2 of 3
    assert all(p.grad is None for n, p in model.named_parameters() if not is_adapter_parameter(n))


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_another_items_vector_changes_the_scores(make_checkpoint, features, modality):
    checkpoint = make_checkpoint()
    with torch.no_grad():
        for projector in checkpoint.model.projectors.values():
            projector.leave.weight.mul_(20)
    before = scores(checkpoint, [4, 5])
    checkpoint.model.set_features(features.swapped(modality, 5, 6))
    after = scores(checkpoint, [4, 5])
    assert np.abs(before - after).max() > 1e-3
    checkpoint.model.set_features(features.without(modality))
    assert np.isfinite(scores(checkpoint, [4, 5])).all()


def test_muted_is_the_same_as_absent(make_checkpoint, features):
    checkpoint = make_checkpoint()
    with checkpoint.model.muted("audio"):
        muted = scores(checkpoint, [1, 2])
    whole = scores(checkpoint, [1, 2])
    checkpoint.model.set_features(features.without("audio"))
    np.testing.assert_allclose(muted, scores(checkpoint, [1, 2]), atol=1e-5)
    assert np.abs(muted - whole).max() > 0


@pytest.mark.parametrize("levels", [1, 3])
def test_a_saved_checkpoint_ranks_the_same(make_checkpoint, catalogue, tmp_path, levels):
    checkpoint = make_checkpoint(levels)
    save_pretrained(checkpoint, tmp_path / "saved")
    loaded = from_pretrained(tmp_path / "saved", catalogue)
    np.testing.assert_allclose(scores(checkpoint, [1, 2, 3]), scores(loaded, [1, 2, 3]), atol=2e-2)
    save_pretrained(loaded, tmp_path / "again")
    again = from_pretrained(tmp_path / "again", catalogue)
    np.testing.assert_array_equal(scores(loaded, [1, 2, 3]), scores(again, [1, 2, 3]))


def test_the_card_says_what_it_was_made_from(make_checkpoint, tmp_path):
    checkpoint = make_checkpoint()
    checkpoint.metrics = {"name": "tiny", "stages": [{"stage": "rank", "steps": 3, "minutes": 0.5, "validation": 0.1}]}
    save_pretrained(checkpoint, tmp_path / "saved")
    card = (tmp_path / "saved" / "README.md").read_text()
    for part in ("# tiny", "| rank | 3 | 0.5 | 0.1000 |", "MovieLens: research", "one token an item", "20 films"):
        assert part in card


def test_a_missing_or_damaged_file_is_named(make_checkpoint, catalogue, tmp_path):
    save_pretrained(make_checkpoint(), tmp_path / "saved")
    (tmp_path / "saved" / "features.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="features.safetensors is damaged"):
        from_pretrained(tmp_path / "saved", catalogue)
    (tmp_path / "saved" / "features.safetensors").unlink()
    with pytest.raises(CheckpointError, match="features.safetensors is missing"):
        from_pretrained(tmp_path / "saved", catalogue)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        from_pretrained(tmp_path / "nowhere", catalogue)


def test_another_catalogue_is_refused(make_checkpoint, catalogue, tmp_path):
    save_pretrained(make_checkpoint(), tmp_path / "saved")
    with pytest.raises(CheckpointError, match="another catalogue"):
        from_pretrained(tmp_path / "saved", Catalogue(catalogue[:19]))


def _with_prompts(folder, known):
    facts = json.loads((folder / "checkpoint.json").read_text())
    (folder / "checkpoint.json").write_text(json.dumps(facts | {"prompts": known}))


def test_a_checkpoint_that_learned_other_sentences_still_ranks(make_checkpoint, catalogue, tmp_path):
    folder = tmp_path / "saved"
    save_pretrained(make_checkpoint(), folder)
    assert from_pretrained(folder, catalogue).writes
    _with_prompts(folder, prompts.template_hashes() | {"explain": "0" * 64})
    stale = from_pretrained(folder, catalogue)
    assert not stale.writes
    save_pretrained(stale, folder)  # what was learned is not made newer by saving it
    assert not from_pretrained(folder, catalogue).writes


@pytest.mark.parametrize("known", [{"rank": "0" * 64}, "0" * 64, None])
def test_other_prompts_of_ranking_are_refused(make_checkpoint, catalogue, tmp_path, known):
    folder = tmp_path / "saved"
    save_pretrained(make_checkpoint(), folder)
    _with_prompts(folder, known)
    with pytest.raises(CheckpointError, match="other prompts"):
        from_pretrained(folder, catalogue)


def test_an_interrupted_save_leaves_the_old_checkpoint(make_checkpoint, tmp_path, monkeypatch):
    checkpoint = make_checkpoint()
    save_pretrained(checkpoint, tmp_path / "saved")
    before = json.loads((tmp_path / "saved" / "checkpoint.json").read_text())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recommender.model.checkpoint.write_card", full)
    with pytest.raises(OSError, match="No space"):
        save_pretrained(checkpoint, tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "checkpoint.json").read_text()) == before
    assert [p.name for p in tmp_path.iterdir()] == ["saved"]


def test_more_ranking_layers_than_the_model_has(config):
    with pytest.raises(ConfigError, match="has 3 layers"):
        load_llm(config.updated({"base.rank_layers": 4}).base)


def test_dtype_by_name():
    assert resolve_dtype("float32") is torch.float32
    assert resolve_dtype("bfloat16") is torch.bfloat16
    assert resolve_dtype("auto") in (torch.float32, torch.bfloat16)


def test_bfloat16_ranks_nearly_the_same(make_checkpoint, config, histories):
    exact = make_checkpoint()
    rough = make_checkpoint(settings=config.updated({"base.dtype": "bfloat16"}))
    difference = np.abs(scores(exact, [1, 2, 3]) - scores(rough, [1, 2, 3]))
    assert 0 < difference.max() < 0.2


@pytest.mark.parametrize("levels", [1, 3])
def test_bfloat16_learns_nearly_the_same(make_checkpoint, config, levels):
    def learned(dtype):
        checkpoint = make_checkpoint(levels, config.updated({"base.dtype": dtype}))
        model = checkpoint.model.train()
        loss, count = model(collate([[checkpoint.builder.ranking([3, 1, 4, 5, 9, 2])]], checkpoint.builder.prefix))
        (loss / count).backward()
        return float(loss.detach() / count), model.rows.grad, model.projectors["image"].enter.weight.grad

    (loss, *gradients), (expected, *exact) = learned("bfloat16"), learned("float32")
    assert loss == pytest.approx(expected, rel=0.02)
    for got, wanted in zip(gradients, exact, strict=True):
        assert got.dtype == torch.float32  # what is trained keeps its precision
        assert torch.cosine_similarity(got.flatten(), wanted.flatten(), 0) > 0.95


def test_four_bit_base_trains_on_the_cpu(make_checkpoint, config):
    pytest.importorskip("bitsandbytes")
    checkpoint = make_checkpoint(settings=config.updated({"base.load_in_4bit": True}))
    assert any("4bit" in type(m).__name__ for m in checkpoint.model.llm.modules())
    builder = checkpoint.builder
    loss, _ = checkpoint.model.train()(collate([[builder.ranking([3, 1, 4])]], builder.prefix))
    loss.backward()
    grads = [p.grad for n, p in checkpoint.model.named_parameters() if ".rank." in n]
    assert any(g is not None and g.abs().sum() > 0 for g in grads)


def test_rows_of_like_items_start_alike(make_checkpoint, features):
    model: RecommenderModel = make_checkpoint().model
    rows = torch.nn.functional.normalize(model.rows.detach(), dim=1)
    joined = np.concatenate([
        v / np.linalg.norm(v, axis=1, keepdims=True) for v in (features.vectors["text"], features.vectors["collaborative"])
    ], 1)  # fmt: skip
    expected = joined @ joined.T / 2
    np.testing.assert_allclose((rows @ rows.T).numpy(), expected, atol=1e-4)


def test_rank_histories_removes_the_seen(make_checkpoint, histories):
    checkpoint = make_checkpoint()
    for history, items in zip(
        histories, rank_histories(checkpoint.model, checkpoint.builder, histories, 5, 8), strict=True
    ):
        assert len(items) == 5 and not set(items) & set(history)


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


def test_what_no_teacher_was_asked_about_is_learned_from_what_came(leveled):
    model, builder = leveled
    batch = collate([[builder.ranking(np.array([3, 7, 1, 12]))]])
    teacher = SoftTargets(
        torch.zeros(1, dtype=torch.long), torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2) / 2, 1.0
    )
    with torch.no_grad():
        assert float(model(batch, teacher=teacher)[0]) == pytest.approx(float(model(batch)[0]), rel=1e-6)


def test_items_are_read_longer_by_their_scale_and_scored_as_before(make_checkpoint, config):
    plain, longer = make_checkpoint(), make_checkpoint(1, config.updated({"base.item_scale": 7.0}))
    batch = collate([[plain.builder.prompt([3, 1, 4])]])
    with torch.no_grad():
        short, long = plain.model.embed(batch), longer.model.embed(batch)
        item = batch.slots == ITEM
        torch.testing.assert_close(long[item], 7 * short[item])
        torch.testing.assert_close(long[~item], short[~item])
        torch.testing.assert_close(plain.model.output_rows(0), longer.model.output_rows(0))


def test_newcomers_are_read_and_scored_by_their_content_alone(make_checkpoint):
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


def test_codes_that_others_share_are_no_newcomers(make_checkpoint):
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
