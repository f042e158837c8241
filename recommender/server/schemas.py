"""What clients send: read within limits, checked, and turned into requests of the engine."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.requests import ClientDisconnect

from recommender.config import ServingConfig
from recommender.engine import Request
from recommender.server.http_errors import HttpError
from recommender.store.feedback import Feedback

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|[\ud800-\udfff]")
_DATA = re.compile(r"data:image/[\w.+-]+;base64,")
LARGEST_K = 1000
_Body = TypeVar("_Body", bound=BaseModel)


class RecommendationsBody(Request):
    """Body of /v1/recommendations: a request of the engine, and how it is answered."""

    k: int = Field(10, ge=1, le=LARGEST_K)
    explain: bool = Field(False, description="wait for a reason of each item; with `stream` they follow the list")
    stream: bool = Field(False, description="server-sent events: the list at once, then each reason as it is written")
    model: str | None = None


class TextPart(BaseModel):
    """Words of a message."""

    type: Literal["text"]
    text: str


class Link(BaseModel):
    """Where a picture is; only `data:` is read, nothing is fetched."""

    url: str

    @field_validator("url")
    @classmethod
    def _is_here(cls, url: str) -> str:
        if not _DATA.match(url):
            raise ValueError("send the picture itself, as data:image/...;base64,...: nothing is fetched")
        _bytes(url.partition(",")[2])
        return url


class PicturePart(BaseModel):
    """A picture: what is wanted looks like it."""

    type: Literal["image_url"]
    image_url: Link


class Sound(BaseModel):
    """A sound in base64; its format is told by its bytes."""

    data: str

    @field_validator("data")
    @classmethod
    def _is_base64(cls, data: str) -> str:
        _bytes(data)
        return data


class SoundPart(BaseModel):
    """A spoken message."""

    type: Literal["input_audio"]
    input_audio: Sound


Part = Annotated[TextPart | PicturePart | SoundPart, Field(discriminator="type")]


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """Return the words of the message."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if isinstance(part, TextPart))
        return self.content or ""

    @property
    def pictures(self) -> list[bytes]:
        """Return the files of its pictures."""
        parts = self.content if isinstance(self.content, list) else []
        return [_bytes(part.image_url.url.partition(",")[2]) for part in parts if isinstance(part, PicturePart)]

    @property
    def sounds(self) -> list[bytes]:
        """Return the files of its sounds."""
        parts = self.content if isinstance(self.content, list) else []
        return [_bytes(part.input_audio.data) for part in parts if isinstance(part, SoundPart)]


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


class ChatBody(BaseModel):
    """Body of /v1/chat/completions. What OpenAI's API knows and this server has no use for is accepted and ignored."""

    model_config = ConfigDict(extra="ignore")
    model: str | None = None
    messages: list[Message] = Field(min_length=1, max_length=200)
    stream: bool = False
    k: int = Field(5, ge=1, le=50, description="how many items to name")
    explain: bool = True
    one_pass: bool = Field(False, description="write the list and all reasons as one text, not each reason by itself")
    history: tuple[str, ...] = Field((), description="item ids that are known beside what the messages tell")
    user: str | None = Field(None, max_length=200, description="who speaks: their feedback counts, where it is kept")


class FeedbackBody(Feedback):
    """Body of /v1/feedback: what somebody says of an item or of its reason."""

    time: Literal[""] = ""
    model: str | None = None


async def read_body(http: HttpRequest, limits: ServingConfig) -> Any:
    """Return the JSON of a body. Raises HttpError: 413 for one too large (it is not read to its end), 400 for bad JSON."""
    size = http.headers.get("content-length", "0")
    if size.isdecimal() and int(size) > limits.body_bytes:
        raise _too_large(limits)
    raw = bytearray()
    try:
        async for chunk in http.stream():
            raw += chunk
            if len(raw) > limits.body_bytes:
                raise _too_large(limits)
    except ClientDisconnect:
        raise HttpError(400, "the client left before its request was whole") from None
    try:
        body = json.loads(raw, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"the body is not valid JSON ({error})", "invalid_json") from None
    _refuse_control(body, "")
    return body


def _too_large(limits: ServingConfig) -> HttpError:
    return HttpError(413, f"the body is larger than {limits.body_bytes:,} bytes", "body_too_large")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _refuse_control(value: Any, place: str) -> None:
    """Control characters have no meaning in ids or words; they come from broken or hostile clients."""
    if isinstance(value, str) and (found := _CONTROL.search(value)):
        raise HttpError(400, f"{place or 'body'}: control character U+{ord(found[0]):04X}", param=place or None)
    if isinstance(value, dict):
        for name, inner in value.items():
            _refuse_control(name, place or "body")
            _refuse_control(inner, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _refuse_control(inner, f"{place}.{number}" if place else str(number))


def parse(kind: type[_Body], body: Any) -> _Body:
    """Return the body as `kind`. Raises HttpError 400 that names the first field that is wrong."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise HttpError(400, f"{place or 'body'}: {first['msg']}", param=place or None) from None


def checked(asked: RecommendationsBody, limits: ServingConfig) -> RecommendationsBody:
    """Return the request. Raises HttpError 400 if a list of it is longer than the server takes."""
    for name in ("history", "exclude", "only"):
        if len(getattr(asked, name) or ()) > limits.history:
            raise HttpError(400, f"{name}: more than {limits.history:,} items", "too_long", name)
    return asked
