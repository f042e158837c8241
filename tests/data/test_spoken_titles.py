"""Spoken titles: what is said in which voice, and the synthesisers."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from recommender.data import spoken_titles
from recommender.data.spoken_titles import say_title, speaker
from recommender.data.standin_text import StandinText
from recommender.errors import RecommenderError


def test_sound_follows_title_and_genre():
    def said(title, genres):
        spoken = []

        def speak(text, *voice):
            spoken.append((text, voice))
            return np.zeros(100, dtype=np.float32), 22_050

        say_title(speak, StandinText("1", title, genres, None))
        return spoken[0]

    assert said("Heat", ("Action", "Crime"))[0] == "Heat. Action, Crime"
    assert said("Heat", ())[0] == "Heat"
    assert said("Heat", ("Action",))[1] == said("Ronin", ("Action",))[1]
    assert said("Heat", ("Action",))[1] != said("Heat", ("Romance",))[1]


def test_without_synthesiser_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(spoken_titles.shutil, "which", lambda name: None)
    with pytest.raises(RecommenderError) as caught:
        speaker()
    assert "recommender[demo]" in caught.value.hint


def test_the_program_stands_in_for_the_library(monkeypatch):
    if spoken_titles.shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    samples, rate = speaker()("Toy Story", "en-us+f3", 50, 170)
    assert rate == 22_050
    assert 0.3 < len(samples) / rate < 3


_SPEAK = """
import hashlib, multiprocessing
from recommender.data.spoken_titles import say_title, speaker
from recommender.data.standin_text import StandinText

def said(titles):
    for title in titles:
        last = say_title(speaker(), StandinText("1", title, ("Comedy",), None))
    return hashlib.sha256(last).hexdigest()

runs = [["Heat"], ["Toy Story", "Heat"], ["Heat", "Heat"]]
with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:  # each in a process that said nothing yet
    print(*pool.map(said, runs, chunksize=1))
"""


def test_the_library_says_the_same_after_whatever_it_said_before():
    pytest.importorskip("espeakng_loader")
    done = subprocess.run([sys.executable, "-c", _SPEAK], capture_output=True, check=True, text=True)
    hashes = done.stdout.split()
    assert len(hashes) == 3 and len(set(hashes)) == 1


def test_the_library_speaks_for_as_long_as_there_is_to_say():
    pytest.importorskip("espeakng_loader")
    short, long = (
        soundfile.info(io.BytesIO(say_title(speaker(), StandinText("1", title, ("Comedy",), None)))).duration
        for title in ("Heat", "Much Ado About Nothing by William Shakespeare")
    )
    assert 0.5 < short < long < 6
