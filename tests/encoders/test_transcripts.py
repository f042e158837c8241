"""Of what Whisper writes, only what was said is kept."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.encoders.audio import SAMPLE_RATE, AudioEncoder
from recommender.encoders.transcripts import has_sound, spoken
from recommender.errors import DataError


def segment(text, no_speech_prob=0.1, avg_logprob=-0.5, compression_ratio=0.9):
    return {
        "text": text,
        "no_speech_prob": no_speech_prob,
        "avg_logprob": avg_logprob,
        "compression_ratio": compression_ratio,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" ......", ""),
        (" . .", ""),
        ("♪♪", ""),
        ("♪ Let it be ♪", "Let it be"),
        ("[BLANK_AUDIO]", ""),
        (" (music)", ""),
        ("*coughs*", ""),
        ("[MUSIC] Toy  Story (1995)", "Toy Story"),
        (" ?!", ""),
        (" Thank you.", "Thank you."),
        (" No, no, no.", "No, no, no."),
        (" 12", "12"),
        (" 七人の侍", "七人の侍"),
    ],
)
def test_only_words_are_said(text, said):
    assert spoken([segment(text)]) == said


@pytest.mark.parametrize(
    "heard",
    [
        # as measured with tiny.en: of music, of a tone, of faint noise
        segment(" Music", 0.32, -1.47, 0.38),
        segment(" Music", 0.40, -0.95, 0.38),
        segment(" Thank you.", 0.34, -1.10, 0.56),
        segment(" Thank you.", 0.49, -1.02, 0.56),
        segment(" you", 0.74, -0.83, 0.27),
        segment(" Thanks for watching!", 0.5, -0.3),
        segment(" Beep beep beep beep beep", 0.69, -0.04, 29.32),
        segment(" a month, a month, a month,", 0.54, -0.6, 4.45),
        segment(" The", 0.53, -2.23, 0.27),
        segment(" and", 0.05, -2.28, 0.27),
    ],
)
def test_what_was_not_heard_is_not_said(heard):
    assert spoken([heard]) == ""
    assert spoken([heard, segment(" .")]) == ""


@pytest.mark.parametrize(
    "text",
    [
        " Thank you. Thank you.",
        " Thank you, bye!",
        " Please subscribe to my channel.",
        " Don’t forget to like and subscribe!",
        " Thanks for watching. See you next time.",
        " Thank you for listening.",
        " Transcription by CastingWords",
        " Subtitles by the Amara.org community",
        " Captioned by Some Name, London",
        "<|nospeech|>",
        "<|startoftranscript|> you",
        " (upbeat music",
        " [Music",
        " upbeat music)",
        " Soft piano music playing",
    ],
)
def test_stock_phrases_that_were_hardly_heard_are_not_said(text):
    assert spoken([segment(text, 0.9)]) == ""


@pytest.mark.parametrize(
    "text", ["The Sound of Music", "Thank You for Smoking", "Bye Bye Birdie", "Music of the Heart"]
)
def test_titles_are_said(text):
    assert spoken([segment(text, 0.1)]) == text
    assert spoken([segment(text, 0.4)]) == text


def test_what_was_heard_is_said_once():
    parts = [segment(" Monty Python."), segment(" Comedy.", 0.36, -0.77), segment(" Comedy."), segment(" you", 0.7)]
    assert spoken(parts) == "Monty Python. Comedy. you"
    assert spoken([]) == ""


@pytest.mark.parametrize(
    ("samples", "may"),
    [
        (np.zeros(SAMPLE_RATE), False),
        (np.full(SAMPLE_RATE, 0.3), False),
        (np.full(SAMPLE_RATE, -1.0) + 1e-5 * np.sin(np.arange(SAMPLE_RATE)), False),
        (0.5 * np.sin(np.arange(800)), False),
        (0.01 * np.sin(np.arange(SAMPLE_RATE)), True),
        (0.4 + 0.1 * np.sin(np.arange(SAMPLE_RATE)), True),
    ],
)
def test_silence_at_any_level_and_clicks_hold_no_words(samples, may):
    assert has_sound(samples.astype(np.float32), SAMPLE_RATE) is may


def test_samples_that_are_no_numbers_are_refused(audio_file):
    encoder = AudioEncoder(str(audio_file))
    for wrong in (np.nan, np.inf):
        with pytest.raises(DataError, match="no numbers"):
            encoder.prepare(np.array([0.1, wrong, 0.2]))


@pytest.mark.slow
@pytest.mark.assets
def test_noise_tones_and_silence_say_nothing():
    encoder = AudioEncoder("whisper-tiny.en")
    noise = np.random.default_rng(0).standard_normal(4 * SAMPLE_RATE)
    time = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    for sound in (0.1 * noise, 1e-3 * noise, 0.3 * np.sin(2 * np.pi * 440 * time), 0 * time, 0 * time + 0.3):
        assert encoder.transcript(encoder.prepare(sound)) == ""
