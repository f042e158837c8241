"""Errors over HTTP, in the shape that OpenAI's clients understand."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from recommender.errors import EngineLostError, RecommenderError

RETRY_SECONDS = 1


class HttpError(Exception):
    """A request that is answered with an error. `status`: of HTTP; `code`: for programs; `param`: the field."""

    def __init__(self, status: int, message: str, code: str = "invalid_request", param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param

    @property
    def body(self) -> dict[str, Any]:
        """Return the error as OpenAI's API words it."""
        kind = {429: "rate_limit_error", 404: "not_found_error"}.get(self.status, "invalid_request_error")
        kind = kind if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """Return the HTTP response; an overloaded server says when to come again."""
        headers = {"Retry-After": str(RETRY_SECONDS)} if self.status in (429, 503) else None
        return JSONResponse(self.body, self.status, headers)


def http_error_of(error: RecommenderError) -> HttpError:
    """Return what a request that cannot be met is answered with."""
    if isinstance(error, EngineLostError):
        return HttpError(503, "the engine does not answer; come again in a moment", "engine_lost")
    return HttpError(400, str(error))


def overloaded() -> HttpError:
    """Return what a request beyond the queue is answered with."""
    return HttpError(429, "the server is busy; come again in a moment", "overloaded")


def install(app: FastAPI) -> None:
    """Answer every error of `app` in this shape."""
    app.add_exception_handler(HttpError, lambda _, error: error.response())
    app.add_exception_handler(RecommenderError, lambda _, error: http_error_of(error).response())
    app.add_exception_handler(HTTPException, _http)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _failure)


def _http(_: Request, error: HTTPException) -> JSONResponse:
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    return HttpError(error.status_code, str(error.detail), code).response()


def _failure(_: Request, error: Exception) -> JSONResponse:
    return HttpError(500, f"the server failed ({type(error).__name__}); its log says more", "internal_error").response()
