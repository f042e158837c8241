"""What music is, in words: the tags that musicnn is surest of, such as a genre, an instrument, a voice or a mood.

The words are facts that `data.facts` joins beside those of `sound_words`, so that texts, filters and justifications of songs
without any description know them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recommender.config import EncodersConfig
from recommender.data.catalogue import Catalogue
from recommender.data.standins import without_standins
from recommender.encoders.cached_batches import Work, run
from recommender.encoders.encoding_cache import EncodingCache, cache_folder
from recommender.encoders.media_sources import media_sources, preparing
from recommender.encoders.music import MusicEncoder, is_music
from recommender.errors import ConfigError, DataError
from recommender.progress import Progress

#: a tag below this confidence is not said, and of those above it so many. Tags of the network are rare: of songs that people
#: had given one, its confidence is often .2.
LEAST, MOST = 0.15, 5
#: the name of the column
TAGS = "tags"


def tag_sounds(
    catalogue: Catalogue,
    name: str,
    config: EncodersConfig,
    least: float = LEAST,
    progress: Progress | None = None,
) -> list[tuple[str, ...]]:
    """Return the surest tags of each item's sound or of its video's, best first; none without one, or with a stand-in.

    `name`: of a musicnn. `config`: how videos are read, and where confidences are kept. Raises ConfigError for another
    encoder, DataError and AssetError.
    """
    encoder = tagger(name)
    sources = media_sources(without_standins(catalogue), "audio", config)
    present = {row: source for row, source in enumerate(sources) if source is not None}

    def compute(sounds: Sequence[np.ndarray]) -> list[bytes | None]:
        return [row.tobytes() if np.isfinite(row).all() else None for row in encoder.tag(sounds)]

    found: list[tuple[str, ...]] = [()] * len(sources)
    if present:
        prepare = preparing(encoder, "audio")
        work = Work("tagging sounds", f"tags-1 {encoder.identity}", encoder.load, prepare, compute)
        cache = EncodingCache(cache_folder(config.cache))
        values, _ = run(work, list(present.values()), cache, config.batch_size, progress)
        for row, source in present.items():
            found[row] = surest(np.frombuffer(values[source.content], np.float32), encoder.tags, least)
    return found


def tagger(name: str) -> MusicEncoder:
    """Return the musicnn of a name. Raises ConfigError for another encoder."""
    if not is_music(name):
        raise ConfigError(f"{name}: is no tagger of music", "name musicnn-msd, musicnn-mtt or a folder with one")
    return MusicEncoder(name)


def surest(confidences: np.ndarray, tags: Sequence[str], least: float) -> tuple[str, ...]:
    """Return the tags whose confidence [tags] is at least `least`, best first, at most `MOST`."""
    order = np.argsort(-confidences, kind="stable")[:MOST].tolist()
    return tuple(tags[index] for index in order if confidences[index] >= least)


def check_vocabulary(path: Path, tags: Sequence[str] | None) -> None:
    """Raise DataError if a table that is to be written anew has tags of another vocabulary: models know these words.

    tags: the words of the tagger, None where the table would be written without any.
    """
    if not path.is_file():
        return
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        written = [tag for row in rows for tag in row.get(TAGS, ())]
    except (OSError, ValueError, AttributeError, TypeError):
        return  # no table of ours; whether it may be replaced is not asked here
    if tags is None and written:
        raise DataError(
            f"{path}: holds tags, such as {written[0]!r}, and would be written without any",
            "name the tagger that wrote them: --tags, or write another file",
        )
    if unknown := next((tag for tag in written if tag not in (tags or ())), None):
        raise DataError(
            f"{path}: holds tags of another vocabulary, such as {unknown!r}, which this tagger does not know",
            "name the tagger that wrote it, or write another file and train again with it",
        )
