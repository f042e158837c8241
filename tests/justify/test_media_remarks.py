"""What media show is said where the model, asked again without them, scores lower; in both languages, and never guessed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recommender import prompts
from recommender.encoders.labels import TOP, Label, MediaLabels
from recommender.encoders.picture_kinds import NAMES
from recommender.engine import Recommender, Request
from recommender.justify import Evidence, Influence, Style
from recommender.justify.media_remarks import LEAST, MediaRemark, alone, find_remarks, remark_text
from tests.conftest import ITEMS

DOG, CAT = NAMES.index("dog"), NAMES.index("cat")
HISTORY = np.array([2, 5, 7])


def labels_of(sure: dict[int, int], unsure: dict[int, int] | None = None) -> MediaLabels:
    kinds, confidences = np.full((ITEMS, TOP), -1, np.int16), np.zeros((ITEMS, TOP), np.float16)
    for confidence, items in ((0.75, sure), (0.45, unsure or {})):
        for item, kind in items.items():
            kinds[item], confidences[item] = (kind, 0, 1), (confidence, 0.1, 0.0)
    return MediaLabels(NAMES, {"image": kinds}, {"image": confidences})


@pytest.fixture
def model(make_checkpoint):
    """A model to which a missing picture matters: it is better for some items and worse for others."""
    checkpoint = make_checkpoint()
    null = checkpoint.model.projectors["image"].null
    with torch.no_grad():
        null.add_(0.03 * torch.randn(null.shape, generator=torch.Generator().manual_seed(2)))
    return Recommender(checkpoint)


def effects(model, items):
    """Return what each item's own picture adds, each measured in a pass of its own."""
    whole = model.score([HISTORY], items)[0]
    return whole - np.array([model.score_without(HISTORY, "image", [item], [item])[0] for item in items])


def test_effects_of_items_that_lose_their_pictures_together_are_those_of_each_alone(model):
    items = [0, 1, 4, 9]
    whole, together = model.score([HISTORY], items)[0], model.score_without(HISTORY, "image", items, items)
    expected = effects(model, items)
    np.testing.assert_allclose(whole - alone(whole, together), expected, atol=1e-5)
    assert np.abs((whole - together) - expected).max() > 0.01  # which is why it is worked out


@pytest.mark.parametrize("items", [[0, 3, 8, 9, 12, 13], [i for i in range(ITEMS) if i not in HISTORY]])
def test_what_is_said_is_what_leaving_out_costs(model, items):
    # also where the recommended items are nearly all that there is
    found = find_remarks(
        labels_of(dict.fromkeys(items, DOG)), list(map(Evidence, items)), HISTORY.tolist(), scoring(model)
    )
    expected = effects(model, items)
    assert [bool(remarks) for remarks in found] == [effect >= LEAST for effect in expected]
    assert any(found) and not all(found)
    for remarks, effect in zip(found, expected, strict=True):
        for remark in remarks:
            assert remark.effect == pytest.approx(effect, abs=1e-4) and remark.labels[0] == Label("dog", 0.75)


def scoring(model):
    return lambda modality, items, candidates: model.score_without(HISTORY, modality, items, candidates)


def test_nothing_is_said_of_unsure_and_of_absent_pictures_and_of_what_was_seen(model):
    items = [0, 1, 4, 9]
    everything = list(map(Evidence, items))
    unsure = find_remarks(labels_of({}, dict.fromkeys(items, DOG)), everything, HISTORY.tolist(), refuse)
    absent = find_remarks(labels_of({}), everything, HISTORY.tolist(), refuse)
    assert unsure == absent == [()] * 4
    seen = find_remarks(labels_of({5: DOG}), [Evidence(5)], HISTORY.tolist(), refuse)
    assert seen == [()]
    cannot = find_remarks(labels_of(dict.fromkeys(items, DOG)), everything, HISTORY.tolist(), lambda *_: None)
    assert cannot == [()] * 4


def refuse(*_):
    raise AssertionError("nothing could be said, so nothing need be computed")


def strongest(model) -> int:
    items = [i for i in range(ITEMS) if i not in HISTORY and i != 3]
    return items[int(np.argmax(effects(model, items)))]


def test_a_history_item_is_named_for_the_same_label_if_its_picture_counts(model):
    items = [i for i, effect in enumerate(effects(model, range(ITEMS))) if effect >= LEAST and i not in HISTORY]
    whole = model.score([HISTORY], items)[0]
    table = np.stack([whole - model.score_without(HISTORY, "image", [o], items) for o in HISTORY])
    column = int(table.max(0).argmax())
    item, falls = items[column], dict(zip(HISTORY.tolist(), table[:, column].tolist(), strict=True))
    assert min(falls.values()) < LEAST <= max(falls.values()), falls
    evidence = [Evidence(item, tuple(Influence(int(other), 1.0) for other in HISTORY))]
    for other, fall in falls.items():
        (remarks,) = find_remarks(labels_of({item: DOG, other: DOG}), evidence, HISTORY.tolist(), scoring(model))
        assert remarks[0].items == ((other,) if fall >= LEAST else ())
        (unlike,) = find_remarks(labels_of({item: DOG, other: CAT}), evidence, HISTORY.tolist(), scoring(model))
        (replaced,) = find_remarks(
            labels_of({item: DOG, other: DOG}), evidence, HISTORY.tolist(), scoring(model), {(other, "image")}
        )
        assert unlike[0].items == replaced[0].items == ()


def test_few_passes_are_made(model):
    items = [i for i in range(ITEMS) if i not in HISTORY][:6]
    evidence = [Evidence(i, tuple(Influence(int(o), 1.0) for o in HISTORY[: 1 + i % 3])) for i in items]
    labels, muted, plain = labels_of(dict.fromkeys((*items, *HISTORY.tolist()), DOG)), [], []

    def counted(modality, without, candidates):
        (muted if modality else plain).append(without)
        return model.score_without(HISTORY, modality, without, candidates)

    find_remarks(labels, evidence, HISTORY.tolist(), counted)
    assert len(muted) == 2 and len(plain) == 1


def test_an_engine_says_it_and_gives_it_as_evidence(model):
    item = strongest(model)
    item_id, title = model.catalogue[item].item_id, model.catalogue[item].title
    request = Request(history=tuple(model.catalogue[i].item_id for i in HISTORY), k=1, only={item_id})
    (silent,) = model.answer(request).items
    assert "poster" not in silent.justification and "media" not in silent.evidence
    model.setup.labels = labels_of({item: DOG})
    (said,) = model.answer(request).items
    assert said.justification == f"{silent.justification} Its poster counts here too: it seems to show a dog."
    (media,) = said.evidence["media"]
    assert media["modality"] == "image" and media["items"] == [] and title in said.justification
    assert media["labels"][0] == {"label": "dog", "confidence": 0.75}
    assert media["effect"] == pytest.approx(effects(model, [item])[0], abs=1e-3)
    assert said.score == silent.score
    explained = model.explain_item([model.catalogue[i].item_id for i in HISTORY], item_id)
    assert explained["justification"].endswith("seems to show a dog.") and explained["evidence"]["media"]
    model.setup.config = model.config.updated({"justify.media": False})
    (switched_off,) = model.answer(request).items
    assert switched_off == silent


def test_with_codes_that_a_picture_has_no_part_in_nothing_is_said(make_checkpoint):
    model = Recommender(make_checkpoint(3))
    model.setup.labels = labels_of(dict.fromkeys(range(ITEMS), DOG))
    items = model.answer(Request(history=("102", "105"), k=5)).items
    assert items and not any("media" in item.evidence for item in items)


@pytest.mark.parametrize(
    ("noun", "language", "said"),
    [
        ("films", "en", 'Its poster counts here too: it seems to show an elephant, as that of "The red story" does.'),
        ("books", "en", 'Its cover counts here too: it seems to show an elephant, as that of "The red story" does.'),
        ("toys", "en", 'Its picture counts here too: it seems to show an elephant, as that of "The red story" does.'),
        ("films", "de", 'Auch das Bild zählt hier: es scheint einen Elefanten zu zeigen, wie bei "The red story".'),
    ],
)
def test_the_sentence(catalogue, noun, language, said):
    remark = MediaRemark("image", 0.5, (Label("elephant", 0.75),), (0,))
    assert remark_text([remark], catalogue, Style(noun, language)) == said
    assert remark_text([], catalogue, Style(noun, language)) == ""
    assert remark_text([remark], catalogue, Style(noun, language, "short")) == ""
    two = remark_text([replace(remark, items=(0, 1))], catalogue, Style(noun))
    assert two.endswith('as those of "The red story" and "The blue story" do.')
    assert remark_text([replace(remark, labels=(Label("<b>", 0.9),))], catalogue, Style(noun)) == ""


@pytest.mark.parametrize("language", prompts.media_languages())
def test_each_kind_has_words(language):
    words = [prompts.render_block(f"media/{language}", "label", kind=kind) for kind in NAMES]
    assert all(words) and len(set(words)) == len(words)
