"""Errors over HTTP, in the shape that OpenAI's clients understand."""

from __future__ import annotations

import errno
import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from recommender.engine.vllm import VllmError
from recommender.errors import (
    AssetError,
    CheckpointError,
    ConfigError,
    EngineLostError,
    RecommenderError,
    reason_of,
)
from recommender.store.database import StoreUnavailableError

RETRY_SECONDS = 1
LONGEST = 1000
"""Characters of a message: what it quotes may be as long as a body."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_NO_FILE = (errno.EISDIR, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EIO, errno.ETIMEDOUT)
_NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)

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
        super().__init__(status, message if len(message) <= LONGEST else f"{message[:LONGEST]} ...")
        self.code, self.param = code, param

    @property
    def body(self) -> dict[str, Any]:
        """Return the error in the shape of OpenAI's API."""
        kind = {429: "rate_limit_error", 404: "not_found_error"}.get(self.status_code, "invalid_request_error")
        kind = kind if self.status_code < 500 else "server_error"
        return {"error": {"message": self.detail, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """Return the HTTP response; where it is worth trying again, Retry-After says when."""
        headers = {"Retry-After": str(RETRY_SECONDS)} if self.status_code in (429, 503, 507) else None
        return JSONResponse(self.body, self.status_code, headers)


def http_error_of(error: Exception) -> HttpError:
    """Return the HTTP error for whatever was raised; what nobody foresaw goes to the log, and nothing of it is told."""
    if isinstance(error, HttpError):
        return error
    if isinstance(error, EngineLostError):
        return HttpError(503, "the engine does not answer; come again in a moment", "engine_lost")
    if isinstance(error, StoreUnavailableError):
        logger.error("%s", error)
        return HttpError(503, "what is kept of people cannot be reached; come again in a moment", "storage_unavailable")
    if isinstance(error, AssetError | CheckpointError | ConfigError):
        # what is wrong with this installation is for its operator: such errors name folders
        logger.error("a request needs what is not here: %s", error)
        return HttpError(400, "this server cannot answer that: something it needs is not installed", "not_available")
    if isinstance(error, RecommenderError):
        return HttpError(400, str(error))
    if isinstance(error, (OSError, MemoryError)) and (known := _error_of_machine(error)):
        return known
    if isinstance(error, VllmError):
        logger.error("%s", error)
        return HttpError(503, "the engine failed; come again in a moment", "engine_failed")
    logger.error("a request failed", exc_info=error)
    return _failure(error)


def _error_of_machine(error: OSError | MemoryError) -> HttpError | None:
    """Return the HTTP error for what the machine has not enough of, said in one line of the log; None for another."""
    number = error.errno if isinstance(error, OSError) else errno.ENOMEM
    if number in _NO_SPACE:
        logger.error("nothing can be written: %s", error)
        return HttpError(507, "the server's disk is full; nothing was kept", "storage_full")
    if number in _NO_RESOURCES:
        logger.error("the machine has not enough for a request: %s", error)
        return HttpError(503, "the server has no room for this at the moment", "out_of_resources")
    if number in _NO_FILE:
        logger.error("a file cannot be used: %s", error)
        return HttpError(503, "the server cannot use one of its files at the moment", "storage_unavailable")
    return None


def code_of_storage(error: OSError) -> str:
    """Return the code that a request has as its answer if something cannot be written."""
    return "storage_full" if error.errno in _NO_SPACE else "storage_unavailable"


def overloaded() -> HttpError:
    """Return the error for a request that finds its queue full."""
    return HttpError(429, "the server is busy; come again in a moment", "overloaded")


def install(app: FastAPI) -> None:
    """Make `app` answer every error in this shape.

    Errors of these kinds are answered here and end here; of any other (`Exception`) Starlette answers and raises it again,
    so that it ends in the log as a traceback.
    """
    app.add_exception_handler(HTTPException, _http_exception)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid_body)  # type: ignore[arg-type]
    for kind in (RecommenderError, VllmError, OSError, MemoryError):
        app.add_exception_handler(kind, lambda _, error: http_error_of(error).response())
    app.add_exception_handler(Exception, _server_failure)


def _http_exception(_: Request, error: HTTPException) -> JSONResponse:
    if isinstance(error, HttpError):
        return error.response()
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    return HttpError(error.status_code, str(error.detail), code).response()


def _invalid_body(_: Request, error: RequestValidationError) -> JSONResponse:
    """Name the first field that is wrong, in one line. FastAPI begins each location with "body"."""
    first, location = _meant(error.errors())
    field = ".".join(map(str, location[1:]))
    return HttpError(400, f"{field or 'body'}: {reason_of(first)}", param=field or None).response()


def _meant(errors: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Return the first error and its location, without what pydantic calls the forms of a field there.

    Of a field that is a text or a list, each form has an error. Who sent a list with one wrong part is told of that part.
    """
    first = errors[0]
    *field, form = first["loc"]
    inside = [other for other in errors[1:] if list(other["loc"][: len(field)]) == field]
    parts = [other for other in inside if any(_is_form(part) for part in other["loc"][len(field) : -1])]
    if parts:
        first = parts[0]
    elif form == "str" and inside:
        return first, field
    return first, [part for part in first["loc"] if not _is_form(part)]


def _is_form(part: Any) -> bool:
    return isinstance(part, str) and part.startswith("list[")


def _server_failure(_: Request, error: Exception) -> JSONResponse:
    return _failure(error).response()


def _failure(error: Exception) -> HttpError:
    return HttpError(500, f"the server failed ({type(error).__name__}); its log says more", "internal_error")
