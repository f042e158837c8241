"""The HTTP application: routes, limits, errors and metrics around one engine."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from recommender.config import ServingConfig
from recommender.engine import Engine
from recommender.server import http_errors
from recommender.server.http_errors import ErrorBody
from recommender.server.request_body import BodySizeLimit, JsonRoute
from recommender.server.service import Service

#: described once for all status codes, in the place of the 422 that FastAPI would announce and this server never sends
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "the request cannot be answered; `message` says why"},
    "503": {"model": ErrorBody, "description": "the engine does not answer"},
}


def create_app(engine: Engine, name: str, limits: ServingConfig | None = None) -> FastAPI:
    """Return the application that serves `engine` under the model name `name`."""
    limits = limits or ServingConfig()
    service = Service(engine, name, limits)
    app = FastAPI(title="recommender", description=f"Recommendations by {name}", version="1", responses=_ERRORS)
    app.router.route_class = JsonRoute
    http_errors.install(app)
    app.add_middleware(BodySizeLimit, limit=limits.body_bytes)
    service.metrics.instrument(app)  # last, so that it is the outermost and measures refused bodies too
    app.post("/v1/recommendations", response_model=None)(service.recommendations)
    app.post("/v1/chat/completions", response_model=None)(service.chat)
    app.post("/v1/feedback")(service.feedback)
    app.get("/v1/models")(service.models)
    app.get("/v1/models/{model:path}")(service.model)
    app.get("/healthz")(service.health)
    app.get("/readyz")(service.health)  # the name that orchestrators and the Dockerfile ask for
    return app
