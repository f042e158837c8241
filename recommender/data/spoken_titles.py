"""Spoken titles: a synthesised sound for an item that has none."""

from __future__ import annotations

import _ctypes
import ctypes
import io
import math
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import soundfile

from recommender.data.standin_text import StandinText, text_digest
from recommender.errors import RecommenderError
from recommender.numerics.resampling import resampled

SAMPLE_RATE = 16_000
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
_SPEED, _PITCH = 1, 3
_VOICES = ("", "+m3", "+m5", "+m7", "+f1", "+f2", "+f3", "+f4")


class Speaker(Protocol):
    """Speaks text: (text, voice, pitch 0..99, words a minute) -> (samples [n] float32 in -1..1, hertz)."""

    def __call__(self, text: str, voice: str, pitch: int, speed: int) -> tuple[np.ndarray, int]:
        """Return the samples and their rate."""


def say_title(speak: Speaker, text: StandinText) -> bytes:
    """Speak title and categories, in a voice that the first category decides: a FLAC file, 16 kHz mono."""
    digest = text_digest(text.categories[0] if text.categories else "")
    voice = "en-us" + _VOICES[digest[0] % len(_VOICES)]
    utterance = ". ".join([text.title, *([", ".join(text.categories)] if text.categories else [])])
    samples, rate = speak(utterance, voice, 25 + digest[1] % 50, 150 + digest[2] % 50)
    common = math.gcd(rate, SAMPLE_RATE)
    buffer = io.BytesIO()
    samples = resampled(samples, SAMPLE_RATE // common, rate // common)
    soundfile.write(buffer, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def speaker() -> Speaker:
    """Return the speech synthesiser that is installed: the library of espeakng-loader, else the espeak-ng program.

    The library comes first because its version, and with it the sound, is the same on every machine.
    Raises RecommenderError if there is none.
    """
    try:
        import espeakng_loader
    except ImportError:
        program = shutil.which("espeak-ng")
        if program is None:
            raise RecommenderError(
                "there is no speech synthesiser for stand-in sounds",
                'install one with: pip install "recommender[demo]", or set data.standin_media to false',
            ) from None
        return _Program(program)
    return _Library(espeakng_loader.get_library_path(), espeakng_loader.get_data_path())


@dataclass(frozen=True)
class _Program:
    """The espeak-ng program, one process an utterance."""

    path: str

    def __call__(self, text: str, voice: str, pitch: int, speed: int) -> tuple[np.ndarray, int]:
        command = [self.path, "--stdout", "-v", voice, "-p", str(pitch), "-s", str(speed), "--stdin"]
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
        if done.returncode:
            reason = " ".join(done.stderr.decode(errors="replace").split())
            raise RecommenderError(f"{self.path} failed: {reason}", "install espeakng-loader in its place")
        samples, rate = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
        return samples, rate


@dataclass(frozen=True)
class _Library:
    """The espeak-ng library through ctypes (names and numbers from espeak-ng's speak_lib.h).

    It is loaded anew for each utterance, which takes milliseconds: it keeps the phases of its oscillators in
    static variables, and a title must sound the same whatever was spoken before it.
    """

    library: str
    data: str

    def __call__(self, text: str, voice: str, pitch: int, speed: int) -> tuple[np.ndarray, int]:
        chunks: list[np.ndarray] = [np.zeros(1, dtype=np.int16)]

        def collect(samples: Any, count: int, events: int | None) -> int:
            if samples and count > 0:
                chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
            return 0

        espeak = self._load()
        try:
            rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, self.data.encode(), _DONT_EXIT)
            if rate <= 0:
                raise RecommenderError(f"{self.library}: espeak-ng does not start", "reinstall espeakng-loader")
            callback = _CALLBACK(collect)
            espeak.espeak_SetSynthCallback(callback)
            espeak.espeak_ng_SetRandSeed(ctypes.c_long(0))
            espeak.espeak_SetVoiceByName(voice.encode())
            espeak.espeak_SetParameter(_SPEED, speed, 0)
            espeak.espeak_SetParameter(_PITCH, pitch, 0)
            encoded = text.encode() + b"\0"
            espeak.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 1, 0, _UTF8, None, None)
            espeak.espeak_Terminate()
        finally:
            _unload(espeak)
        return np.concatenate(chunks).astype(np.float32) / 32768, rate

    def _load(self) -> ctypes.CDLL:
        try:
            return ctypes.CDLL(self.library)
        except OSError as error:
            raise RecommenderError(f"espeak-ng cannot be loaded: {error}", "reinstall espeakng-loader") from None


def _unload(library: ctypes.CDLL) -> None:
    if sys.platform == "win32":
        _ctypes.FreeLibrary(library._handle)
    else:
        _ctypes.dlclose(library._handle)
