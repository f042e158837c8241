"""Questions to a list over HTTP: why this item, why not that one, what if something had not been seen, what media did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field

from recommender.attribution import explain_media
from recommender.chat import Chat
from recommender.chat.as_request import as_request
from recommender.data.id_fields import ItemIds
from recommender.engine import Engine
from recommender.engine.counterfactual_answers import what_if, why_not
from recommender.engine.item_explanation import explain_item
from recommender.server.http_errors import HttpError
from recommender.server.limits import LONGEST_ID
from recommender.server.schemas import ChatMessage, ChipId, RecommendationsBody

#: who speaks in a conversation as far as it is read
SPEAKERS = ("system", "user", "assistant")
Kind = Literal["why", "why_not", "what_if", "media"]


class ExplanationBody(RecommendationsBody):
    """Body of /v1/explanations: a request as of /v1/recommendations, and what is asked of its answer."""

    kind: Kind
    item_id: str | None = Field(None, max_length=LONGEST_ID, description="which item; not needed for what_if")
    messages: list[ChatMessage] = Field(
        [], max_length=200, description="the conversation whose list is asked about, up to what the user said last"
    )
    dropped: tuple[ChipId, ...] = Field(
        (), max_length=1000, description="what is taken back, as in /v1/chat/completions"
    )
    removed: ItemIds = Field((), description="what_if: items of the history, as if they had never been seen")


def explanation(engine: Engine, body: ExplanationBody) -> dict[str, Any]:
    """Return the answer to a question. Raises HttpError 400 where the item is not named, RecommenderError as engines do."""
    return {"object": "explanation", "kind": body.kind, **_ANSWERS[body.kind](engine, body)}


def of_conversation(chat: Chat, body: ExplanationBody) -> ExplanationBody:
    """Return a question about the list of a conversation, if it comes with one, as about a list of the same conditions."""
    said = [{"role": message.role, "content": message.text} for message in body.messages if message.role in SPEAKERS]
    return as_request(chat, body, said, body.dropped) if said else body


def _item(body: ExplanationBody) -> str:
    if body.item_id is None:
        raise HttpError(400, f"item_id: {body.kind} needs an item", param="item_id")
    return body.item_id


def _why(engine: Engine, body: ExplanationBody) -> dict[str, Any]:
    return explain_item(engine, body, _item(body))


def _why_not(engine: Engine, body: ExplanationBody) -> dict[str, Any]:
    return why_not(engine, body, _item(body))


def _what_if(engine: Engine, body: ExplanationBody) -> dict[str, Any]:
    if not body.removed:
        raise HttpError(400, "removed: what_if needs items of the history", param="removed")
    return what_if(engine, body, body.removed)


def _media(engine: Engine, body: ExplanationBody) -> dict[str, Any]:
    return explain_media(engine, body, _item(body)).to_dict()


_ANSWERS: Mapping[Kind, Callable[[Engine, ExplanationBody], dict[str, Any]]] = {
    "why": _why,
    "why_not": _why_not,
    "what_if": _what_if,
    "media": _media,
}
