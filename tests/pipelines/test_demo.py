"""The demo for real: raw media of all 1,682 films through the encoders, the language model, checked justifications."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group

from recommender.chat.demo_conversation import LISTED, SAID, demo_conversation
from recommender.cli.output import as_plain_text
from recommender.cli.result_views import demo_data, demo_view
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories, leave_one_out
from recommender.encoders.features import Features
from recommender.pipelines.demo import (
    FRESH_AND_SHIPPED_AGREE,
    _completed,
    _notes,
    can_speak,
    run_demo,
    well_known_user,
)


@pytest.fixture(scope="module")
def demo():
    return run_demo(talk=demo_conversation)


@pytest.mark.assets
def test_ten_unseen_films_with_checked_justifications(demo):
    seen = {item.item_id for item in demo.history}
    assert len({item.item_id for item in demo.items}) == 10 and not seen & {item.item_id for item in demo.items}
    assert [film.item_id for film in demo.films] == [item.item_id for item in demo.items]
    for item in demo.items:
        assert item.justification and all(claim["true"] for claim in item.evidence["claims"])
        assert {i["item_id"] for i in item.evidence["influences"]} <= seen


@pytest.mark.assets
def test_the_film_that_was_chosen_next_is_hidden_and_its_rank_is_told(demo):
    assert demo.next_item.item_id not in {item.item_id for item in demo.history}
    assert 1 <= demo.next_rank <= demo.ranked == 1682 - len(demo.history)
    if demo.next_rank <= 10:
        assert demo.items[demo.next_rank - 1].item_id == demo.next_item.item_id


@pytest.mark.assets
def test_vectors_encoded_here_are_those_of_the_adapter_and_every_modality_counts(demo):
    assert demo.agreement >= FRESH_AND_SHIPPED_AGREE and demo.fresh and can_speak()
    assert list(demo.effects) == ["text", "image", "audio", "collaborative"]
    for effect in demo.effects.values():
        assert effect.shape == (10,) and np.isfinite(effect).all() and np.abs(effect).max() > 1e-3


@pytest.mark.assets
def test_what_people_see(demo):
    shown = as_plain_text(Group(*demo_view(demo)), 80)
    for text in (demo.items[0].title, demo.history[-1].title, "stand-ins", "--details"):
        assert text in shown
    assert max(map(len, shown.splitlines())) <= 80 and f"{demo.items[0].score:.2f}" not in shown
    detailed = as_plain_text(Group(*demo_view(demo, details=True)), 160)
    assert all(text in detailed for text in ("Times", "collab", "model", f"{demo.items[0].score:.2f}"))
    said = {"history", "items", "next", "effects", "conversation", "agreement", "notes", "seconds"}
    assert said == set(demo_data(demo))


@pytest.mark.assets
def test_a_conversation_is_heard_and_its_conditions_are_kept(demo):
    assert [said for said, _ in demo.conversation] == list(SAID)
    first, second = (reply for _, reply in demo.conversation)
    assert "Toy Story" in first.opening and len(first.items) == len(second.items) == LISTED
    known = {item.item_id: item for item in (Catalogue.load("movielens-100k"))}
    for item in second.items:
        assert "Animation" not in known[item.item_id].attributes["genres"]
        assert int(known[item.item_id].attributes["year"][0]) >= 1990


def split_of(histories):
    return leave_one_out(Histories(tuple(map(str, range(len(histories)))), tuple(map(np.array, histories))))


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=9, unique=True), min_size=1, max_size=12))
def test_the_user_whose_least_known_recent_film_is_known_best(histories):
    split, recent = split_of(histories), 4
    counts = [sum(item in list(train) for train in split.train.items) for item in range(10)]
    least = [
        min(counts[item] for item in history[:-1][-recent:]) if len(history) - 1 >= recent else -1
        for history in histories
    ]
    assert well_known_user(split, 10, recent) == least.index(max(least))


def test_users_with_short_histories_are_not_shown():
    assert well_known_user(split_of([[0, 1, 2], [0, 1, 2], [3, 4, 5, 6, 7]]), 8, recent=4) == 2


def test_what_was_not_encoded_here_comes_from_the_adapter(features: Features):
    fresh = features.with_modality("audio", np.zeros_like(features.vectors["audio"]))
    completed = _completed(fresh, features, {"text", "image"})
    assert list(completed.vectors) == list(features.vectors)
    for modality in features.vectors:
        assert np.array_equal(completed.vectors[modality], features.vectors[modality])
    assert completed.present["audio"].all()


def test_notes_say_what_stands_in_for_what():
    assert "spoken titles" in _notes(speaks=True, fresh=True)[0] and len(_notes(speaks=True, fresh=True)) == 1
    silent = " ".join(_notes(speaks=False, fresh=False))
    assert "spoken" not in silent and "recommender[demo]" in silent and "those of the adapter were used" in silent


def test_speech_needs_both_of_its_packages(monkeypatch):
    monkeypatch.setattr("recommender.pipelines.demo.find_spec", lambda name: None if name == "whisper" else object())
    assert not can_speak()
