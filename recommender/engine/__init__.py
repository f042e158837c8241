"""Engines: whatever answers a request with ranked items and reasons."""

from recommender.engine.embedded import Recommender
from recommender.engine.types import Engine, RankedItem, Request, Response, request

__all__ = ["Engine", "RankedItem", "Recommender", "Request", "Response", "request"]
