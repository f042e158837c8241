"""One line of a batch: what it asks, and the line that answers it, in our own form and in that of `vllm run-batch`.

The second form wraps a request as `{"custom_id", "method", "url", "body"}` and its answer as `{"id", "custom_id",
"response": {"status_code", "request_id", "body"}, "error"}`, as the OpenAI batch API does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from recommender.engine import Request, Response, request
from recommender.errors import RecommenderError

URL = "/v1/recommendations"
INVALID, FAILED = "invalid_request", "internal_error"
Number = Callable[[], int]


@dataclass(frozen=True)
class BatchLine:
    """One line: its number in the file (from 1), its id, and what it asks or what is wrong with it."""

    number: int
    custom_id: str | None
    question: Request | None
    wrong: str | None = None
    wrapped: bool = False


def read_line(number: int, raw: str | dict[str, Any]) -> BatchLine:
    """Read one line of JSON, or one row of a table; what is wrong with it becomes part of the result, never an error."""
    try:
        fields = json.loads(raw, parse_constant=_no_number) if isinstance(raw, str) else dict(raw)
    except (ValueError, RecursionError) as error:
        return BatchLine(number, None, None, f"line {number} is not valid JSON ({error})")
    if not isinstance(fields, dict):
        return BatchLine(number, None, None, f"line {number} is no JSON object but {type(fields).__name__}")
    named, wrapped = fields.pop("custom_id", None), "url" in fields or "body" in fields
    custom_id = str(named) if isinstance(named, str | int) and not isinstance(named, bool) else None
    try:
        if not custom_id:
            raise RecommenderError(f"line {number} has no custom_id; give each line one of its own")
        return BatchLine(number, custom_id, request(**(_unwrapped(fields) if wrapped else fields)), wrapped=wrapped)
    except RecommenderError as error:
        return BatchLine(number, custom_id, None, str(error), wrapped)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _unwrapped(fields: dict[str, Any]) -> dict[str, Any]:
    body = fields.get("body")
    if fields.get("url") != URL or not isinstance(body, dict):
        raise RecommenderError(f'expected "url": "{URL}" and a "body" that is a JSON object')
    return {name: value for name, value in body.items() if name != "model"}


def answer_line(asked: BatchLine, answer: Response | RecommenderError | str) -> dict[str, Any]:
    """Return the output line of an answer; a text is the message of a failure that is no fault of the request."""
    if isinstance(answer, Response):
        items = [asdict(item) for item in answer.items]
        body: dict[str, Any] = {"items": items} | ({"notes": list(answer.notes)} if answer.notes else {})
        return _wrapped(asked, 200, body) if asked.wrapped else {"custom_id": asked.custom_id, **body}
    code = INVALID if isinstance(answer, RecommenderError) else FAILED
    error = {"code": code, "message": str(answer)}
    if asked.wrapped:
        return _wrapped(asked, 400 if code == INVALID else 500, {"error": error})
    return {"custom_id": asked.custom_id, "error": error}


def _wrapped(asked: BatchLine, status: int, body: dict[str, Any]) -> dict[str, Any]:
    response = {"status_code": status, "request_id": f"line-{asked.number}", "body": body}
    return {"id": f"batch-{asked.number}", "custom_id": asked.custom_id, "response": response, "error": None}
