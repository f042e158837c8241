"""The HTTP application: routes, limits, errors and metrics around one engine."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from recommender.config import ServingConfig
from recommender.engine import Engine
from recommender.server import http_errors, page_files
from recommender.server.access import Access, Gate
from recommender.server.callers import CallerCheck
from recommender.server.docs_page import docs_page
from recommender.server.following_counts import start_following
from recommender.server.housekeeping import keeping_house
from recommender.server.http_errors import ErrorBody
from recommender.server.http_metrics import HttpMetrics
from recommender.server.items import PATH
from recommender.server.mcp_transports import McpRoute
from recommender.server.people_routes import PeopleRoutes
from recommender.server.request_body import BodyLimits, json_route
from recommender.server.service import Service
from recommender.server.stock_routes import StockRoutes
from recommender.server.tokens import TokenCheck
from recommender.server.watching import start_watching
from recommender.store.store import Store

#: described once for all status codes, in the place of the 422 that FastAPI would announce and this server never sends
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "the request cannot be answered; `message` says why"},
    "503": {"model": ErrorBody, "description": "the engine does not answer"},
    "507": {"model": ErrorBody, "description": "the server's disk is full"},
}


def create_app(
    engine: Engine,
    name: str,
    limits: ServingConfig | None = None,
    store: Store | None = None,
    local: bool = True,
    metrics: HttpMetrics | None = None,
) -> FastAPI:
    """Return the application that serves `engine` under the model name `name`.

    `store`: what is kept of people, callers' keys among it. `local`: whether only this machine can reach the server; one
    that others can reach asks for keys, unless `limits.insecure`. `metrics`: those of earlier versions of the model, to be
    gone on with. Raises ConfigError for an identity provider without keys.
    """
    limits = limits or ServingConfig()
    service = Service(engine, name, limits, store, metrics)
    tokens = None if limits.tokens is None else TokenCheck(limits.tokens)
    gate = Gate(None if store is None else store.keys, tokens, not (local or limits.insecure))
    # the pages of FastAPI load scripts from elsewhere
    pages: dict[str, Any] = {"docs_url": None, "redoc_url": None}
    agents, stock = McpRoute(service), StockRoutes(engine, store)
    app = FastAPI(
        title="recommender",
        description=f"Recommendations by {name}",
        version="1",
        responses=_ERRORS,
        lifespan=keeping_house(
            store,
            agents.lifespan,
            stock.follow,
            lambda: start_following(engine, store, limits.counts_seconds, engine.setup.until, service.metrics),
            lambda: start_watching(
                store, limits.watch_seconds, len(engine.catalogue), service.metrics, engine.setup.trained
            ),
        ),
        **pages,
    )
    app.router.route_class = json_route(limits.history)
    http_errors.install(app)
    app.add_middleware(BodyLimits, limit=limits.body_bytes, seconds=limits.body_seconds)
    app.add_middleware(Access, gate=gate)
    if limits.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=limits.allowed_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Content-Type", "Authorization"),
        )
    app.add_middleware(CallerCheck, hosts=(*limits.allowed_hosts, limits.host), origins=limits.allowed_origins)
    app.state.metrics = service.metrics
    app.state.warm_up, app.state.close = service.warm_up, service.close
    service.metrics.instrument(app)  # last, so that it is the outermost and measures refused bodies too
    app.post("/v1/recommendations", response_model=None)(service.recommendations)
    app.post("/v1/explanations", response_model=None)(service.explanations)
    app.get("/v1/parameters", response_model=None)(service.parameters)
    app.post("/v1/chat/completions", response_model=None)(service.chat)
    app.post("/v1/feedback")(service.feedback)
    people = PeopleRoutes(store)
    app.post("/v1/events")(people.events)
    app.get("/v1/consent")(people.consent)
    app.post("/v1/consent")(people.set_consent)
    items = service.items
    app.post(f"{PATH}/stock")(stock.change)
    app.get(PATH)(items.items)
    app.get(f"{PATH}/{{item_id:path}}/image", response_model=None)(items.image)
    app.get(f"{PATH}/{{item_id:path}}/audio", response_model=None)(items.audio)
    app.get(f"{PATH}/{{item_id:path}}")(items.item)  # the last, since it takes all paths
    agents.install(app)
    app.get("/v1/models")(service.models)
    app.get("/v1/models/{model:path}")(service.model)
    for path, answer in (("/healthz", service.health), ("/readyz", service.ready)):
        app.get(path)(answer)
        app.head(path, include_in_schema=False)(answer)
    app.get("/docs", include_in_schema=False, response_model=None)(lambda: docs_page(app))
    page_files.install(app, engine, name, limits)
    return app
