"""What a conversation asks for as a request of the engine, for questions about its list from outside the conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from recommender.chat.conversation import Chat
from recommender.chat.said import Message
from recommender.engine import Request

_Asked = TypeVar("_Asked", bound=Request)


def as_request(chat: Chat, request: _Asked, messages: Sequence[Message], dropped: Sequence[str] = ()) -> _Asked:
    """Return a request held to what a conversation lets into its list; `dropped`: chips that were taken back.

    Its preferences count where they are what the list was ranked by: a model that listens has heard them, and of what it
    heard only the conditions can be told. Raises RecommenderError as `Chat.reply` does.
    """
    state = chat.wanted(messages, request.history, request.k, dropped, request.domains)
    ids, allowed = chat.catalogue.item_ids, state.allowed(chat.catalogue)
    if request.only is not None:
        listed = np.zeros_like(allowed)
        listed[chat.catalogue.indices(request.only)] = True
        allowed &= listed
    shares = dict(state.shares)
    domains = {value: shares.get((name, value), 0) for name, value in state.domains}
    listed_only = tuple(ids[item] for item in np.flatnonzero(allowed))
    changes: dict[str, object] = {"only": listed_only, "domains": domains if len(domains) > 1 else {}}
    if not chat.engine.listens:
        nats = chat.preferences(state)
        own = {ids[item]: float(nats[item]) for item in np.flatnonzero(nats)}
        changes |= {"query": request.query or state.query, "boosts": {**own, **request.boosts}}
    return request.model_copy(update=changes)
