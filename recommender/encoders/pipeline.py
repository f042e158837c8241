"""A catalogue -> raw matrices of its texts, images and sounds -> reduced features; also for single items."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recommender.config import MODALITIES, EncodersConfig, Modality, VectorsConfig
from recommender.data.catalogue import Catalogue
from recommender.encoders.audio import AudioEncoder
from recommender.encoders.cached_batches import Computing, Source, Tally, Work, run
from recommender.encoders.encoder import Encoder
from recommender.encoders.encoding_cache import EncodingCache, cache_folder
from recommender.encoders.features import Features, Views
from recommender.encoders.given_vectors import BLOCK, GivenVectors, check_identity, matched
from recommender.encoders.image import ImageEncoder
from recommender.encoders.knowledge import KnowledgeEncoder
from recommender.encoders.media_sources import encoded, media_sources, preparing
from recommender.encoders.music import audio_encoder, is_music
from recommender.encoders.parts import InParts, in_parts, whole
from recommender.encoders.reduction import Reduction, bounded
from recommender.encoders.text import TextEncoder
from recommender.encoders.vector_files import open_vectors
from recommender.encoders.views import VERSION, VIEWS
from recommender.errors import ConfigError
from recommender.progress import Progress

log = logging.getLogger(__name__)
#: items whose vectors are reduced together; all of a catalogue of up to so many
PART = 65_536


@dataclass(frozen=True)
class RawFeatures:
    """What the encoders return: [items, raw width] float32 of each modality that any item has, absent rows zero.

    Vectors that were made elsewhere are read when they are asked for: see `GivenVectors`.
    """

    items: int
    vectors: Mapping[Modality, np.ndarray | GivenVectors]
    present: dict[Modality, np.ndarray]
    """[items] bool."""
    encoders: dict[Modality, str]
    """Identity of the encoder of each modality."""
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    """What was cached and what computed, for each modality that is switched on (and for transcripts)."""
    sources: Mapping[Modality, str] = field(default_factory=dict)
    """Modality -> a hash of the encoder and of the content of all texts or files that it read."""
    parts: Mapping[Modality, int] = field(default_factory=dict)
    """Of how many parts the vectors of a medium consist, where it is more than one."""


class Encoders:
    """The frozen encoders of a configuration. Models are loaded when something has to be encoded."""

    #: where that is done; None: here
    computing: Computing | None = None

    def __init__(
        self,
        encoders: Mapping[Modality, Encoder],
        config: EncodersConfig,
        given: Mapping[Modality, VectorsConfig] | None = None,
    ) -> None:
        """`given`: files of vectors that were made elsewhere, in the place of encoders."""
        self.encoders = dict(encoders)
        self.config = config
        self.given = dict(given or {})

    @classmethod
    def from_config(cls, config: EncodersConfig) -> Encoders:
        """Choose the encoders that are not switched off. Raises ConfigError on settings that conflict."""
        encoders: dict[Modality, Encoder] = {}
        if (text := config.named("text")) is not None:
            encoders["text"] = TextEncoder(text)
        if (knowledge := config.named("knowledge")) is not None:
            encoders["knowledge"] = KnowledgeEncoder(knowledge)
        if (image := config.named("image")) is not None:
            encoders["image"] = in_parts(ImageEncoder(image), "image", config.image_parts)
        if (audio := config.named("audio")) is not None:
            encoders["audio"] = in_parts(audio_encoder(audio, config.window_seconds), "audio", config.audio_parts)
        if config.transcript and (audio is None or text is None):
            message = "encoders.transcript needs both encoders.audio and encoders.text"
            raise ConfigError(message, "name the two encoders or set encoders.transcript to false")
        if config.transcript and audio is not None and is_music(audio):
            message = f"encoders.transcript: {audio} hears music and writes down no words"
            raise ConfigError(message, "name a Whisper model in encoders.audio or set encoders.transcript to false")
        return cls(encoders, config, config.given)

    def encode(self, catalogue: Catalogue, progress: Progress | None = None) -> RawFeatures:
        """Encode all items, through the cache, and take the vectors that are given.

        Raises DataError naming the item and file that cannot be read, and for files of vectors that do not fit.
        """
        # before anything is encoded, for that takes minutes
        given = {m: matched(open_vectors(config), m, catalogue) for m, config in self.given.items()}
        cache = EncodingCache(cache_folder(self.config.cache))
        media = self._media(catalogue)
        tallies: dict[str, Tally] = {}
        transcripts: Mapping[int, str] = {}
        if self.config.transcript:
            transcripts, tallies["transcript"] = self._transcripts(media["audio"], cache, progress)
        sources: dict[Modality, list[Source | None]] = {}
        if "text" in self.encoders:
            sources["text"] = _text_sources(catalogue, transcripts)
        if "knowledge" in self.encoders:
            sources["knowledge"] = [_text_source(item.item_id, item.title) for item in catalogue]
        vectors: dict[Modality, np.ndarray | GivenVectors] = {}
        present: dict[Modality, np.ndarray] = {}
        for modality, item_sources in (sources | media).items():
            table, tallies[modality] = self._encode_modality(self._work(modality), item_sources, cache, progress)
            if table is not None:
                vectors[modality] = table
                present[modality] = np.array([source is not None for source in item_sources], bool)
            log.info("%s: %s", modality, tallies[modality])
        identities = {m: self.encoders[m].identity for m in vectors}
        read = {m: _digest(identities[m], (sources | media)[m]) for m in vectors}
        for modality, file in given.items():
            vectors[modality], present[modality] = file, file.present
            identities[modality], read[modality] = file.identity, file.digest
        return RawFeatures(len(catalogue), _in_order(vectors), present, identities, tallies, read, self._parts)

    def encode_views(self, catalogue: Catalogue, progress: Progress | None = None) -> list[RawFeatures]:
        """Encode each view of all pictures and sounds, through the cache; identities are those of the plain vectors."""
        cache, media = EncodingCache(cache_folder(self.config.cache)), self._media(catalogue)
        present = {m: np.array([source is not None for source in sources], bool) for m, sources in media.items()}
        identities = {m: self.encoders[m].identity for m in media}
        views = []
        for number in range(1, self.config.views + 1):
            tables = {
                m: self._encode_modality(self._view_work(m, number), sources, cache, progress)[0]
                for m, sources in media.items()
            }
            vectors = {m: table for m, table in tables.items() if table is not None}
            views.append(RawFeatures(len(catalogue), vectors, present, identities))
        return views

    def encode_item(
        self,
        text: str | None = None,
        image: Path | Image.Image | None = None,
        audio: Path | np.ndarray | None = None,
        title: str | None = None,
    ) -> RawFeatures:
        """Encode one new item without the cache. Raises DataError.

        `audio` as an array is 16 kHz mono; `title` is for the knowledge encoder.
        """
        inputs: dict[Modality, Any] = {"text": text, "knowledge": title, "image": image, "audio": audio}
        prepared = {m: encoder.prepare(inputs[m]) for m, encoder in self.encoders.items() if inputs[m] is not None}
        if self.config.transcript and audio is not None and "audio" in prepared:
            prepared["text"] = _with_transcript(text or "", self._audio.transcript(self._audio.prepare(audio)))
        if not prepared.get("text", True):
            del prepared["text"]
        vectors = {m: self.encoders[m].encode([source]) for m, source in prepared.items()}
        ones = {m: np.ones(1, bool) for m in vectors}
        return RawFeatures(1, vectors, ones, {m: self.encoders[m].identity for m in vectors})

    def work(self, key: tuple[str, int]) -> Work:
        """Return the work of a key: (modality, 0), (modality, number of a view) or ("transcript", 0)."""
        name, number = key
        if name == "transcript":
            return self._transcript_work()
        modality = next(m for m in self.encoders if m == name)
        return self._view_work(modality, number) if number else self._work(modality)

    @property
    def _parts(self) -> dict[Modality, int]:
        return {m: encoder.parts for m, encoder in self.encoders.items() if isinstance(encoder, InParts)}

    @property
    def _audio(self) -> AudioEncoder:
        encoder = whole(self.encoders["audio"])
        assert isinstance(encoder, AudioEncoder)
        return encoder

    def _media(self, catalogue: Catalogue) -> dict[Modality, list[Source | None]]:
        return {m: media_sources(catalogue, m, self.config) for m in VIEWS if m in self.encoders}

    def _work(self, modality: Modality) -> Work:
        encoder = self.encoders[modality]
        prepare, compute = preparing(encoder, modality), _vectors(encoder)
        return Work(f"encoding {modality}", encoder.identity, encoder.load, prepare, compute, (modality, 0))

    def _view_work(self, modality: Modality, number: int) -> Work:
        work = self._work(modality)
        return replace(
            work,
            name=f"{work.name}, view {number}",
            identity=f"{work.identity} view-{VERSION}-{number}",
            prepare=preparing(self.encoders[modality], modality, number),
            key=(modality, number),
        )

    def _encode_modality(
        self, work: Work, sources: Sequence[Source | None], cache: EncodingCache, progress: Progress | None
    ) -> tuple[np.ndarray | None, Tally]:
        """Return the vectors [items, raw width] that `work` makes of the sources, None if no item has any."""
        present = {row: source for row, source in enumerate(sources) if source is not None}
        if not present:
            return None, Tally(0, 0, 0, 0.0)
        values, tally = run(work, list(present.values()), cache, self.config.batch_size, progress, self.computing)
        rows = np.stack([np.frombuffer(values[source.content], np.float32) for source in present.values()])
        table = np.zeros((len(sources), rows.shape[1]), np.float32)
        table[list(present)] = rows
        return table, tally

    def _transcripts(
        self, sources: Sequence[Source | None], cache: EncodingCache, progress: Progress | None
    ) -> tuple[dict[int, str], Tally]:
        """Return what is said in each item's sound, by position."""
        work = self._transcript_work()
        present = {index: source for index, source in enumerate(sources) if source is not None}
        values, tally = run(work, list(present.values()), cache, self.config.batch_size, progress, self.computing)
        return {index: values[source.content].decode() for index, source in present.items()}, tally

    def _transcript_work(self) -> Work:
        audio = self._audio
        prepare = preparing(audio, "audio")

        def compute(sounds: Sequence[np.ndarray]) -> list[bytes | None]:
            return [audio.transcript(sound).encode() for sound in sounds]

        identity = f"transcript-2 {audio.weights_identity}"
        return Work("transcribing", identity, audio.load, prepare, compute, ("transcript", 0))


def encode_catalogue(catalogue: Catalogue, config: EncodersConfig, progress: Progress | None = None) -> RawFeatures:
    """Encode all items with the configured encoders, through the cache. Raises DataError, AssetError, ConfigError."""
    return Encoders.from_config(config).encode(catalogue, progress)


def encode_views(
    catalogue: Catalogue, config: EncodersConfig, features: Features, progress: Progress | None = None
) -> Views:
    """Encode `config.views` views of every picture and sound, reduced like those of `features`; without views, nothing.

    Raises DataError, AssetError, ConfigError.
    """
    if not config.views:
        return {}
    reductions = {m: reduction for m, reduction in features.reductions.items() if m in VIEWS}
    views = [reduce(raw, reductions) for raw in Encoders.from_config(config).encode_views(catalogue, progress)]
    return {m: np.stack([features.vectors[m], *(_views_of(features, m, view) for view in views)]) for m in reductions}


def _views_of(features: Features, modality: Modality, view: Features) -> np.ndarray:
    """Return a view [items, width]; what is imputed looks the same in each."""
    own: np.ndarray = view.vectors[modality]
    if modality not in features.imputed:
        return own
    return np.where(features.imputed[modality][:, None], features.vectors[modality], own)


def fit_reductions(raw: RawFeatures, width: int, collaborative: int | None = None) -> dict[Modality, Reduction]:
    """Fit one reduction a modality on the items that have it; `collaborative`: the width of given collaborative vectors."""
    widths = {m: width if m != "collaborative" or collaborative is None else collaborative for m in raw.vectors}
    return {m: _fitted(raw, m, widths[m]) for m in raw.vectors}


def _fitted(raw: RawFeatures, modality: Modality, width: int) -> Reduction:
    table, present, encoder = raw.vectors[modality], raw.present[modality], raw.encoders[modality]
    if isinstance(table, np.ndarray):  # where all items have it the table itself, which may be a file
        rows = table if present.all() else table[present]
        return Reduction.fit(rows, width, encoder, raw.parts.get(modality, 1))
    if present.sum() <= BLOCK:
        return Reduction.fit(table[present], width, encoder)
    return Reduction.fit_in_blocks(lambda: (vectors for _, vectors in table.blocks()), width, encoder)


def reduce(raw: RawFeatures, reductions: Mapping[Modality, Reduction]) -> Features:
    """Reduce raw vectors to features, bounded in length and rounded as a checkpoint keeps them.

    What `raw` lacks is absent; what has no reduction is left out. Raises ConfigError if another encoder made
    the vectors than the reduction was fitted for.
    """
    vectors, present = {}, {}
    for m, reduction in reductions.items():
        vectors[m] = np.zeros((raw.items, reduction.width), np.float32)
        present[m] = raw.present.get(m, np.zeros(raw.items, bool))
        if m in raw.vectors:
            check_identity(m, raw.encoders[m], reduction.encoder)
            table = raw.vectors[m]
            parts = table.blocks() if isinstance(table, GivenVectors) else _parts(table, present[m])
            for items, rows in parts:
                vectors[m][items] = bounded(reduction.apply(rows))
    return Features(vectors, present, dict(reductions)).rounded()


def _parts(table: np.ndarray, present: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the items that have a modality, as indices, and their vectors, so many at a time."""
    items = np.flatnonzero(present)
    for start in range(0, len(items), PART):
        yield items[start : start + PART], table[items[start : start + PART]]


def _in_order(vectors: Mapping[Modality, np.ndarray | GivenVectors]) -> dict[Modality, np.ndarray | GivenVectors]:
    return {m: vectors[m] for m in MODALITIES if m in vectors}


def _vectors(encoder: Encoder) -> Callable[[Sequence[Any]], list[bytes | None]]:
    def compute(batch: Sequence[Any]) -> list[bytes | None]:
        return [row.tobytes() if np.isfinite(row).all() else None for row in encoded(encoder, batch)]

    return compute


def _with_transcript(text: str, transcript: str) -> str:
    return f"{text} {transcript}".strip()


def _digest(identity: str, sources: Sequence[Source | None]) -> str:
    contents = [None if source is None else source.content for source in sources]
    return hashlib.sha256(repr((identity, contents)).encode()).hexdigest()


def _text_sources(catalogue: Catalogue, transcripts: Mapping[int, str]) -> list[Source | None]:
    return [
        _text_source(item.item_id, _with_transcript(catalogue.document(index), transcripts.get(index, "")))
        for index, item in enumerate(catalogue)
    ]


def _text_source(item_id: str, text: str) -> Source | None:
    encoded = text.encode()
    return Source(item_id, text, hashlib.sha256(encoded).hexdigest(), len(encoded)) if text else None
