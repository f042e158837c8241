"""Engines: whatever answers a request with ranked items and reasons."""

from recommender.engine.catalogue_engine import CatalogueEngine
from recommender.engine.embedded import Recommender
from recommender.engine.factory import ENGINES, open_engine
from recommender.engine.requests import Engine, RankedItem, Request, Response, request

__all__ = [
    "ENGINES",
    "CatalogueEngine",
    "Engine",
    "RankedItem",
    "Recommender",
    "Request",
    "Response",
    "open_engine",
    "request",
]
