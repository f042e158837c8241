"""Engines: whatever answers a request with ranked items and reasons."""

from recommender.engine.embedded import Recommender
from recommender.engine.engine import Engine
from recommender.engine.factory import ENGINES, open_engine
from recommender.engine.requests import DISCLOSURE, GENERATED, RankedItem, Request, Response, make_request

__all__ = [
    "DISCLOSURE",
    "ENGINES",
    "Engine",
    "GENERATED",
    "RankedItem",
    "Recommender",
    "Request",
    "Response",
    "open_engine",
    "make_request",
]
