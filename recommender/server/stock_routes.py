"""The route that says which items are out of stock, and which are back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from recommender.data.id_fields import ItemIds
from recommender.engine import Engine
from recommender.server.access import caller_of
from recommender.server.http_errors import HttpError
from recommender.store.store import Store


class StockBody(BaseModel):
    """Body of /v1/items/stock."""

    model_config = ConfigDict(extra="forbid")
    out: ItemIds = Field((), max_length=10_000, description="ids of items that are not to be listed for now")
    back: ItemIds = Field((), max_length=10_000, description="ids of items that may be listed again")

    @model_validator(mode="after")
    def _says_one_thing(self) -> StockBody:
        if not self.out and not self.back:
            raise ValueError("say which items are out of stock, or back")
        if both := set(self.out) & set(self.back):
            raise ValueError(f"item {min(both)!r} cannot be out and back at once")
        return self


class StockRoutes:
    """Answers of that route."""

    def __init__(self, engine: Engine, store: Store | None) -> None:
        self.engine, self.store = engine, store

    def follow(self) -> Callable[[], None] | None:
        """Let the engine ask the store what is out, for as long as it is served; returns what ends that."""
        return None if self.store is None else self.engine.rules.stock.follow(self.store.stock)

    async def change(self, http: HttpRequest, body: StockBody) -> dict[str, Any]:
        """Keep what is out of stock; from the answer on this server lists none of it, and other servers within a second.

        Raises HttpError 409 without a store, DataError for an unknown id: then nothing is changed.
        """
        store = self.store
        if store is None:
            raise HttpError(409, "this server keeps nothing; start it with --store", "no_store")
        self.engine.catalogue.indices((*body.out, *body.back))

        def kept() -> int:
            store.stock.change(body.out, body.back)
            told = {"caller": caller_of(http).name, "out": len(body.out), "back": len(body.back)}
            store.audit.add("stock", told)
            return len(store.stock.out())

        return {"object": "stock", "out_of_stock": await asyncio.to_thread(kept)}
