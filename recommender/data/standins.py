"""Stand-in media for a catalogue without any: a drawn title card and a spoken title for each item.

They let every part that reads images and sound be tried on a table of titles. They are not real media, and
the folder they are written to says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from recommender.data.catalogue import Catalogue
from recommender.data.spoken_titles import say_title, speaker
from recommender.data.standin_text import standin_text
from recommender.data.title_cards import draw_card
from recommender.errors import DataError
from recommender.files import write_bytes
from recommender.progress import Progress

_README = """# Stand-in media

The pictures and sounds in this folder are stand-ins, not real media. `recommender` drew the title cards and
spoke the titles from what its table says of each item: title, genres (or categories) and year. Colours and
patterns of a card, and pitch, pace and voice of a sound, follow from the genres. Nothing here shows or lets
hear the item itself; a model that learns from these files learns nothing that the table does not say.
"""


def make_standins(
    catalogue: Catalogue,
    folder: str | Path,
    progress: Progress | None = None,
    sounds: bool = True,
    pictures: bool = True,
) -> Catalogue:
    """Give each item without image a title card and each item without audio a spoken title, kept in `folder`.

    `sounds`: whether titles are spoken, which takes a speech synthesiser; `pictures`: whether cards are drawn.
    An item with a video gets neither.
    Cards are 224 x 224 JPEG files, sounds 16 kHz mono FLAC files. Files that exist are kept, so a broken run
    continues where it stopped. Raises DataError if the folder cannot be written and RecommenderError if there
    are titles to speak and no speech synthesiser.
    """
    folder = Path(folder)
    texts = [standin_text(catalogue, index) for index in range(len(catalogue))]
    bare = [i for i in range(len(texts)) if not catalogue[i].video]
    images = {i: folder / "images" / f"{texts[i].stem}.jpg" for i in bare if pictures and not catalogue[i].image}
    audio = {i: folder / "audio" / f"{texts[i].stem}.flac" for i in bare if sounds and not catalogue[i].audio}
    try:
        write_bytes(folder / "README.md", _README.encode())
        _make_absent(images, lambda i: draw_card(texts[i]), "drawing title cards", progress)
        if not all(path.exists() for path in audio.values()):
            speak = speaker()
            _make_absent(audio, lambda i: say_title(speak, texts[i]), "speaking titles", progress)
    except OSError as error:
        problem = f"{folder}: stand-in media cannot be written ({error.strerror or error})"
        raise DataError(problem, "choose another folder") from None
    return catalogue.with_media(images, audio)


def without_standins(catalogue: Catalogue) -> Catalogue:
    """Return a copy in which items have only media of their own; a folder of stand-ins is known by the README in it."""
    known: dict[Path, bool] = {}

    def own(path: Path | None) -> Path | None:
        if path is None:
            return None
        folder = path.parent.parent
        if folder not in known:
            known[folder] = _says_standins(folder / "README.md")
        return None if known[folder] else path

    items = [replace(item, image=own(item.image), audio=own(item.audio)) for item in catalogue]
    return Catalogue(items, catalogue.report)


def _says_standins(path: Path) -> bool:
    try:
        return path.read_bytes() == _README.encode()
    except OSError:
        return False


def _make_absent(paths: Mapping[int, Path], make: Callable[[int], bytes], what: str, progress: Progress | None) -> None:
    """Write what `make` returns for each index whose file does not exist yet."""
    absent = [index for index, path in paths.items() if not path.exists()]
    for done, index in enumerate(absent, start=1):
        write_bytes(paths[index], make(index))
        if progress is not None:
            progress(what, done, len(absent))
