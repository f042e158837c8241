"""What was said, of what Whisper wrote: of noise, music and silence it makes dots, annotations and stock phrases."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recommender.data.media import SILENT_PEAK

#: seconds; no word is shorter
SHORTEST = 0.1
#: Whisper's own bound (`compression_ratio_threshold`): text that repeats itself so is no speech
MOST_REPETITIVE = 2.4
#: nats a token. Below the first Whisper guesses; below the second it does so whether or not it hears speech.
DOUBTFUL, GUESSED = -1.0, -2.0
#: probability that nothing is said, from which a doubtful text or a stock phrase is not believed. Whisper itself asks for
#: .6; of its tiny model music has .3 to .5, clear speech less than .2, and single words up to .7.
UNHEARD = 0.3
#: one that is not closed goes on to the end of its segment
_ANNOTATION = re.compile(r"<\|[^|]*\|>|\[[^\[\]]*(?:\]|$)|\([^()]*(?:\)|$)|\*[^*]*\*|[♩♪♫♬]+")
_STOCK_PHRASES = re.compile(
    r"you|(thanks|thank you)( so much| very much)?( for (watching|listening|viewing))?"
    r"|(please |don't forget to |remember to )?(like and )?subscribe( to (my|our|the|this) channel)?( and like)?( for more)?"
    r"|see you (next time|later|soon|in the next (one|video|episode))|bye|goodbye|bye bye|the end|so|oh|i'm sorry"
    r"|((upbeat|soft|gentle|dramatic|tense|suspenseful|light|slow|calm|ominous|eerie|somber|sad|happy|cheerful|epic|intense"
    r"|piano|guitar|classical|electronic|instrumental|background|rock) )*music( playing| continues| fades)?"
    r"|applause|silence|laughter|beep|blank audio"
    r"|(subtitles|subtitled|captions|captioned|captioning|closed captioning|transcription|transcript|transcribed|translated"
    r"|translation)( provided| made)? by .+"
)


def has_sound(samples: np.ndarray, rate: int) -> bool:
    """Return whether a sound [samples] may hold words: long enough, and not silent, whatever constant it lies at."""
    if len(samples) < SHORTEST * rate:
        return False
    return bool(np.abs(samples - np.median(samples)).max() >= SILENT_PEAK)


def spoken(segments: Sequence[Mapping[str, Any]]) -> str:
    """Return the words of Whisper's segments ("text", "no_speech_prob", "avg_logprob", "compression_ratio"); "" for none.

    Left out are annotations such as "[BLANK_AUDIO]" and "(music)", texts without a letter or digit, texts that repeat
    themselves, guesses where it hears no speech, and a stock phrase that is all there is and was hardly heard.
    """
    heard = [(text, segment) for segment in segments if (text := _words(segment))]
    if heard and all(_is_stock_phrase(text) and segment["no_speech_prob"] > UNHEARD for text, segment in heard):
        return ""
    texts = [text for text, _ in heard]
    return " ".join(text for place, text in enumerate(texts) if place == 0 or text != texts[place - 1])


def _words(segment: Mapping[str, Any]) -> str:
    """Return what a segment says, "" if that is not to be believed."""
    if segment["compression_ratio"] > MOST_REPETITIVE or segment["avg_logprob"] < GUESSED:
        return ""
    if segment["avg_logprob"] < DOUBTFUL and segment["no_speech_prob"] > UNHEARD:
        return ""
    text = " ".join(_ANNOTATION.sub(" ", segment["text"]).split())
    return text if any(char.isalnum() for char in text) else ""


def _is_stock_phrase(text: str) -> bool:
    """Return whether a text is a stock phrase, or several, or one of them over and over."""
    return bool(_STOCK_PHRASES.fullmatch(_plain(text))) or all(
        _STOCK_PHRASES.fullmatch(part) for part in map(_plain, re.split(r"[.!?,;]+", text)) if part
    )


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower().replace("’", "'")).split())
