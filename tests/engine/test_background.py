"""Work that is left ends between two of its groups, and lists pass between them."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from recommender.engine import Recommender
from recommender.engine.background import AbandonedError, check_stop, current_stop, in_background
from recommender.engine.requests import make_request
from recommender.inference.attention import PromptAttention
from recommender.justify.evidence import find_evidence


def left():
    stop = threading.Event()
    stop.set()
    return stop


def test_a_thread_knows_who_waits_for_its_work():
    stop = threading.Event()
    assert current_stop() is None
    with in_background(stop):
        check_stop()
        with in_background(None):
            assert current_stop() is stop
        stop.set()
        with pytest.raises(AbandonedError):
            check_stop()
        seen = []
        thread = threading.Thread(target=lambda: seen.append(current_stop()))
        thread.start()
        thread.join()
        assert seen == [None]
    check_stop()


@pytest.mark.parametrize("levels", [1, 3])
def test_nothing_is_scored_or_written_for_who_has_left(make_checkpoint, levels):
    model = Recommender(make_checkpoint(levels))
    histories = [np.arange(n + 1) for n in range(5)]
    with in_background(left()):
        with pytest.raises(AbandonedError):
            model.score_all(histories)
        with pytest.raises(AbandonedError):
            model.rank(histories, 3)
        assert model.write(["what next", "red film"]) == ["", ""]
    assert model.write(["what next"], stop=left()) == [""]


def test_evidence_ends_between_two_items(catalogue):
    asked = []

    def between():
        asked.append(len(asked))
        if len(asked) == 3:
            raise AbandonedError

    def score(histories, items):
        return np.zeros((len(histories), len(items)))

    with pytest.raises(AbandonedError):
        find_evidence(catalogue, np.array([1, 2]), range(3, 10), score, 4, 2, between=between)
    assert len(asked) == 3


@pytest.mark.parametrize("together", [False, True])
def test_a_long_list_is_explained_in_groups_and_a_list_passes_in_between(make_checkpoint, monkeypatch, together):
    model = Recommender(make_checkpoint())
    monkeypatch.setattr("recommender.engine.list_justifying.EXPLAINED_AT_ONCE", 4)
    request = make_request(history=("103", "107", "111"), k=12)
    items = model.answer(request.model_copy(update={"explain": False})).items
    whole = list(model.stream_justifications(request, items, threading.Event(), together))
    assert [item.item_id for item in whole] == [item.item_id for item in items]
    assert all(item.justification for item in whole)
    stop, seen = threading.Event(), []
    for item in model.stream_justifications(request, items, stop, together):
        seen.append(item)
        stop.set()
    assert 1 <= len(seen) <= 4 and not list(model.stream_justifications(request, items, left(), together))


def test_a_text_that_is_being_read_gives_way_between_two_layers_and_changes_nothing(make_checkpoint):
    model = Recommender(make_checkpoint())
    prompts = ["red film what next " * 20, "which one"]
    expected, lists = model.write(prompts), []
    ended = threading.Event()

    def rank():
        while not ended.is_set():
            lists.append([item.item_id for item in model.recommend(["103"], k=3, explain=False)])

    alone = [item.item_id for item in model.recommend(["103"], k=3, explain=False)]
    thread = threading.Thread(target=rank)
    thread.start()
    try:
        assert [model.write(prompts) for _ in range(3)] == [expected] * 3
    finally:
        ended.set()
        thread.join(30)
    assert lists and all(each == alone for each in lists)


def test_who_leaves_during_the_reading_of_a_prompt_ends_it(make_checkpoint, monkeypatch):
    model = Recommender(make_checkpoint())
    stop, layers = threading.Event(), []
    attend = PromptAttention.__call__

    def leave(self, layer, *rest):
        layers.append(layer)
        stop.set()
        return attend(self, layer, *rest)

    assert model.write(["red"]) != [""]
    monkeypatch.setattr(PromptAttention, "__call__", leave)
    assert model.write(["red film what next " * 20], stop=stop) == [""]
    assert layers == [0]  # none after the one in which the client had left


def test_beams_of_a_group_are_bounded_and_lists_the_same(make_checkpoint, monkeypatch):
    model = Recommender(make_checkpoint(3))
    requests = [make_request(history=(str(100 + n),), k=5, explain=False) for n in range(6)]
    whole = [[item.item_id for item in answer.items] for answer in model.answer_many(requests)]
    monkeypatch.setattr("recommender.engine.embedded.BEAMS_AT_ONCE", 60)
    assert model._fitting(50) == 1
    assert [[item.item_id for item in answer.items] for answer in model.answer_many(requests)] == whole


def test_lists_do_not_wait_for_evidence(make_checkpoint):
    """What is left may be scored in the background while lists are asked for: each list passes after one group at most."""
    model = Recommender(make_checkpoint())
    ended = threading.Event()

    def explain():
        with in_background(ended):
            try:
                while True:
                    model.score_all([np.arange(n % 6 + 1) for n in range(160)])
            except AbandonedError:
                return

    threads = [threading.Thread(target=explain) for _ in range(2)]
    for thread in threads:
        thread.start()
    slowest = 0.0
    for _ in range(10):
        began = time.monotonic()
        model.recommend(["103"], k=3, explain=False)
        slowest = max(slowest, time.monotonic() - began)
    ended.set()
    began = time.monotonic()
    for thread in threads:
        thread.join(10)
    assert time.monotonic() - began < 1 and slowest < 1
