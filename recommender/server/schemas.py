"""The bodies that clients send. FastAPI checks them and describes them in the OpenAPI page."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from recommender.data.id_fields import HistoryIds, ItemIds, UserId, given_fields
from recommender.engine import Request
from recommender.engine.parts import PARTS, Part
from recommender.engine.requests import Domains
from recommender.server.http_errors import HttpError
from recommender.store.opinions import Feedback

_IMAGE_URL = re.compile(r"data:image/[\w.+-]+;base64,")
LARGEST_K = 1000


class RecommendationsBody(Request):
    """Body of /v1/recommendations: a request of the engine, and how it is answered."""

    k: int = Field(10, ge=1, le=LARGEST_K)
    explain: bool = Field(False, description="justify each item; with `stream` the justifications follow the list")
    stream: bool = Field(False, description="server-sent events: the list at once, then each justification")
    model: str | None = Field(None, description="the name of the served model, or NAME:ADAPTER")


class TextPart(BaseModel):
    """A part of a message that is text."""

    type: Literal["text"]
    text: str


class ImageUrl(BaseModel):
    """An image as a `data:` URL; nothing is fetched."""

    url: str

    @field_validator("url")
    @classmethod
    def _holds_the_image(cls, url: str) -> str:
        if not _IMAGE_URL.match(url):
            raise ValueError("send the picture itself, as data:image/...;base64,...: nothing is fetched")
        _decoded(url.partition(",")[2])
        return url


class ImagePart(BaseModel):
    """A part of a message that is an image: items that look like it are preferred."""

    type: Literal["image_url"]
    image_url: ImageUrl


class AudioData(BaseModel):
    """A sound in base64. Its bytes say which format it has."""

    data: str

    @field_validator("data")
    @classmethod
    def _is_base64(cls, data: str) -> str:
        _decoded(data)
        return data


class AudioPart(BaseModel):
    """A part of a message that is spoken."""

    type: Literal["input_audio"]
    input_audio: AudioData


#: parts of one message; whoever writes more can put them into one
MOST_PARTS = 64
ContentPart = Annotated[TextPart | ImagePart | AudioPart, Field(discriminator="type")]


class ChatMessage(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[ContentPart], Field(max_length=MOST_PARTS)] | None = None

    @property
    def text(self) -> str:
        """Return the text parts, a line each."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if isinstance(part, TextPart))
        return self.content or ""

    @property
    def images(self) -> list[bytes]:
        """Return the content of its image files."""
        parts = self.content if isinstance(self.content, list) else []
        return [_decoded(part.image_url.url.partition(",")[2]) for part in parts if isinstance(part, ImagePart)]

    @property
    def sounds(self) -> list[bytes]:
        """Return the content of its sound files."""
        parts = self.content if isinstance(self.content, list) else []
        return [_decoded(part.input_audio.data) for part in parts if isinstance(part, AudioPart)]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


ChipId = Annotated[str, Field(max_length=100)]


class ChatBody(BaseModel):
    """Body of /v1/chat/completions. Fields of OpenAI's API that have no meaning here are accepted and ignored."""

    model_config = ConfigDict(extra="ignore")
    model: str | None = Field(None, description="the name of the served model, or NAME:ADAPTER")
    messages: list[ChatMessage] = Field(min_length=1, max_length=200)
    stream: bool = False
    k: int = Field(5, ge=1, le=50, description="how many items to name")
    explain: bool = Field(True, description="justify each item")
    one_pass: bool = Field(False, description="write the list and all justifications as one text, in one generation")
    history: HistoryIds = Field((), description="item ids that are known beside what the messages tell")
    exclude: ItemIds = Field((), description="item ids that must not be listed")
    domains: Domains = Field(
        default_factory=dict,
        description="domains of a joined catalogue that lists are of, as in /v1/recommendations, unless a message asks for"
        " others",
    )
    user: UserId = Field(None, max_length=200, description="who speaks: their feedback counts, where it is kept")
    without: tuple[Part, ...] = Field(
        (), max_length=len(PARTS), description="parts that are switched off, as in /v1/recommendations"
    )
    dropped: tuple[ChipId, ...] = Field(
        (), max_length=1000, description="ids of what was understood (`understood` of an answer) and is taken back"
    )

    @model_validator(mode="before")
    @classmethod
    def _given(cls, fields: Any) -> Any:
        return given_fields(fields, cls.model_fields)


class FeedbackBody(Feedback):
    """Body of /v1/feedback: what somebody says of an item or of its justification."""

    time: Literal[""] = Field("", description="set by the server")
    model: str | None = Field(None, description="the name of the served model, or NAME:ADAPTER")


def check_list_lengths(body: Request | ChatBody, longest: int) -> None:
    """Raise HttpError 400 if a list of item ids has more than `longest` entries."""
    for field in ("history", "exclude", "only", "boosts"):
        if len(getattr(body, field, None) or ()) > longest:
            raise HttpError(400, f"{field}: more than {longest:,} items", "too_long", field)


def check_text_length(messages: Sequence[ChatMessage], longest: int) -> None:
    """Raise HttpError 400 if the messages have more than `longest` characters of text together."""
    if sum(len(message.text) for message in messages) > longest:
        raise HttpError(400, f"messages: more than {longest:,} characters", "too_long", "messages")
