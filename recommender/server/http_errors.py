"""Errors over HTTP, in the shape that OpenAI's clients understand."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from recommender.errors import (
    AssetError,
    CheckpointError,
    ConfigError,
    EngineLostError,
    RecommenderError,
    reason_of,
)

RETRY_SECONDS = 1
logger = logging.getLogger(__name__)


class ErrorDetail(BaseModel):
    """What went wrong. `type` and `code` are for programs; `param`: the field that is wrong, if it is one field."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetail


class HttpError(HTTPException):
    """A request that is answered with an error. `status`: of HTTP; `code`: for programs; `param`: the field."""

    def __init__(self, status: int, message: str, code: str = "invalid_request", param: str | None = None) -> None:
        super().__init__(status, message)
        self.code, self.param = code, param

    @property
    def body(self) -> dict[str, Any]:
        """Return the error in the shape of OpenAI's API."""
        kind = {429: "rate_limit_error", 404: "not_found_error"}.get(self.status_code, "invalid_request_error")
        kind = kind if self.status_code < 500 else "server_error"
        return {"error": {"message": self.detail, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """Return the HTTP response; where it is worth trying again, Retry-After says when."""
        headers = {"Retry-After": str(RETRY_SECONDS)} if self.status_code in (429, 503) else None
        return JSONResponse(self.body, self.status_code, headers)


def http_error_of(error: RecommenderError) -> HttpError:
    """Return the HTTP error for an error of the engine: 503 if it is gone, else 400.

    What is wrong with this installation is for its operator: such errors name folders, and are told in the log only.
    """
    if isinstance(error, EngineLostError):
        return HttpError(503, "the engine does not answer; come again in a moment", "engine_lost")
    if isinstance(error, AssetError | CheckpointError | ConfigError):
        logger.error("a request needs what is not here: %s", error)
        return HttpError(400, "this server cannot answer that: something it needs is not installed", "not_available")
    return HttpError(400, str(error))


def overloaded() -> HttpError:
    """Return the error for a request that finds its queue full."""
    return HttpError(429, "the server is busy; come again in a moment", "overloaded")


def install(app: FastAPI) -> None:
    """Make `app` answer every error in this shape."""
    app.add_exception_handler(HTTPException, _http_exception)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid_body)  # type: ignore[arg-type]
    app.add_exception_handler(RecommenderError, lambda _, error: http_error_of(error).response())
    app.add_exception_handler(Exception, _server_failure)


def _http_exception(_: Request, error: HTTPException) -> JSONResponse:
    if isinstance(error, HttpError):
        return error.response()
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    return HttpError(error.status_code, str(error.detail), code).response()


def _invalid_body(_: Request, error: RequestValidationError) -> JSONResponse:
    """Name the first field that is wrong, in one line. FastAPI begins each location with "body"."""
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"][1:]))
    return HttpError(400, f"{field or 'body'}: {reason_of(first)}", param=field or None).response()


def _server_failure(_: Request, error: Exception) -> JSONResponse:
    return HttpError(500, f"the server failed ({type(error).__name__}); its log says more", "internal_error").response()
