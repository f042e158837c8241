"""The route that adds items to the served model, and the items that it is sent."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from recommender.data.cleaning import clean_text, clean_title
from recommender.data.id_fields import ItemId, ValueText
from recommender.data.item_rows import Item
from recommender.data.media import keep_bytes
from recommender.errors import DataError
from recommender.pipelines.add_items import add_items, media_folder
from recommender.pipelines.left_out import NamedStore

_DATA_URL = re.compile(r"data:(image|audio|video)/([\w.+-]+);base64,")
_SUFFIXES = {"jpeg": ".jpg", "mpeg": ".mp3", "x-wav": ".wav", "wave": ".wav", "svg+xml": ".svg", "quicktime": ".mov"}
#: items of one body
MOST_ITEMS = 1000


def _listed(values: Any) -> Any:
    return values if isinstance(values, list | tuple) else [values]


Values = Annotated[tuple[ValueText, ...], BeforeValidator(_listed)]


class NewItem(BaseModel):
    """An item as a row of the items table."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    item_id: ItemId = Field(max_length=200)
    title: str = Field(min_length=1, max_length=300)
    text: str = Field("", max_length=20_000)
    attributes: dict[str, Values] = Field(default_factory=dict, max_length=200)
    image: str | None = Field(None, description="the picture itself, as data:image/...;base64,...; nothing is fetched")
    audio: str | None = Field(None, description="the sound itself, as data:audio/...;base64,...")

    video: str | None = Field(
        None, description="a video itself, as data:video/...;base64,...: for an item without picture or sound"
    )

    @field_validator("title")
    @classmethod
    def _says_something(cls, title: str) -> str:
        if not clean_title(title).strip():
            raise ValueError("is blank")
        return clean_title(title)

    @field_validator("image", "audio", "video")
    @classmethod
    def _holds_the_medium(cls, url: str | None, info: Any) -> str | None:
        found = _DATA_URL.match(url or "")
        if url is not None and (found is None or found[1] != info.field_name):
            raise ValueError(f"send the medium itself, as data:{info.field_name}/...;base64,...: nothing is fetched")
        try:
            base64.b64decode((url or "").partition(",")[2], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("not base64") from None
        return url

    def item(self, sent: SentMedia) -> Item:
        """Return it as an item, its media kept as files."""
        image, audio, video = (sent.keep(name, getattr(self, name)) for name in ("image", "audio", "video"))
        return Item(self.item_id, self.title, clean_text(self.text), image, audio, self.attributes, video=video)


class NewItemsBody(BaseModel):
    """Body of POST /v1/items."""

    model_config = ConfigDict(extra="forbid")
    items: list[NewItem] = Field(min_length=1, max_length=MOST_ITEMS)


class SentMedia:
    """The media of one body, kept as files of a folder: those that were not there before go again if it is refused."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = set(folder.iterdir()) if folder.is_dir() else set()
        self._kept: dict[Path, str] = {}

    def keep(self, name: str, url: str | None) -> Path | None:
        """Keep a data: URL, if there is one, and return its file. `name`: of the field that it came in."""
        if url is None:
            return None
        head, _, data = url.partition(",")
        found = _DATA_URL.match(f"{head},")
        assert found is not None
        path = keep_bytes(base64.b64decode(data), self._folder, _SUFFIXES.get(found[2], f".{found[2]}"))
        self._kept[path] = name
        return path

    def remove(self) -> None:
        """Remove what this body brought: no table names it."""
        for path in self._kept.keys() - self._before:
            path.unlink(missing_ok=True)

    def without_paths(self, error: DataError) -> DataError:
        """Return an error as whoever sent the media is told it: by the field, not by a file of this machine."""
        message = error.message
        for path, name in self._kept.items():
            message = message.replace(str(path), name)
        return DataError(message, error.hint)


def add_to_model(model: str, store: NamedStore | None, items: Sequence[NewItem]) -> dict[str, Any]:
    """Put a version of a checkpoint that knows these items in its place. `store`, and what it raises: as of `add_items`."""
    sent = SentMedia(media_folder(model))
    try:
        added = add_items(model, [item.item(sent) for item in items], store=store)
    except BaseException as error:
        sent.remove()
        if isinstance(error, DataError):
            raise sent.without_paths(error) from None
        raise
    return {"object": "items", "added": list(added.ids), "items": added.items, "share_of_lists": added.share}
