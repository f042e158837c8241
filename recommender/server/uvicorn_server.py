"""Runs the application in uvicorn, which answers requests under way before it ends on SIGTERM."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

from recommender.config import ServingConfig


def run_server(app: FastAPI, limits: ServingConfig) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first, for at most `drain_seconds`."""
    uvicorn.run(
        app,
        host=limits.host,
        port=limits.port,
        timeout_graceful_shutdown=limits.drain_seconds,
        access_log=False,
        log_level="info",
    )
