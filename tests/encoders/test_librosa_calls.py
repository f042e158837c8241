"""The first call of librosa in a process is alone; later ones are not held up."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from recommender.encoders import librosa_calls
from recommender.encoders.librosa_calls import call_librosa

SOUND = np.zeros(8, np.float32)


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    pytest.importorskip("librosa", reason="needs the extra sound")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(librosa_calls, "_called", set())


def test_only_the_first_call_of_a_process_holds_the_lock(tmp_path):
    def held(librosa, sound):
        return librosa.__name__, len(sound), len(list(tmp_path.glob(".recommender-librosa-*.lock")))

    assert [call_librosa(held, SOUND, "a test") for _ in range(2)] == [("librosa", 8, 1), ("librosa", 8, 0)]


def test_a_call_that_fails_is_still_the_first_one(tmp_path):
    def fails(librosa, sound):
        raise ValueError(len(list(tmp_path.glob(".recommender-librosa-*.lock"))))

    for _ in range(2):
        with pytest.raises(ValueError, match="1"):
            call_librosa(fails, SOUND, "a test")


def test_another_process_waits_for_the_first_call():
    context = multiprocessing.get_context("fork")
    inside, leave, done = context.Event(), context.Event(), context.Event()

    def slow(librosa, sound):
        inside.set()
        return leave.wait(20)

    def quick(librosa, sound):
        done.set()

    first = context.Process(target=call_librosa, args=(slow, SOUND, "a test"), daemon=True)
    second = context.Process(target=call_librosa, args=(quick, SOUND, "a test"), daemon=True)
    first.start()
    assert inside.wait(20)
    second.start()
    assert not done.wait(1)
    leave.set()
    assert done.wait(20)
    first.join(10)
    second.join(10)
