"""The lines of a batch: a request and its answer, in our own form or in that of the OpenAI batch API (`vllm run-batch`).

The OpenAI form wraps a request as `{"custom_id", "method", "url", "body"}` and its answer as `{"id", "custom_id",
"response": {"status_code", "request_id", "body"}, "error"}`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from recommender.data.ids import canonical_id
from recommender.engine import GENERATED, Request, Response, make_request
from recommender.errors import DataError, RecommenderError
from recommender.strict.json_documents import JsonError, parse_request

URL = "/v1/recommendations"
INVALID, FAILED = "invalid_request", "internal_error"


@dataclass(frozen=True)
class BatchLine:
    """One line of the input. `number`: in the file, from 1; `request`, or else `error` says why there is none; `wrapped`:
    whether it has the OpenAI form."""

    number: int
    custom_id: str | None
    request: Request | None
    error: str | None = None
    wrapped: bool = False


def read_line(number: int, raw: str | dict[str, Any]) -> BatchLine:
    """Read one line of JSON, or one row of a table. Raises nothing: what is wrong becomes part of the result."""
    try:
        fields = parse_request(raw) if isinstance(raw, str) else dict(raw)
    except JsonError as error:
        reason = f": {error}" if error.is_json else f" is not valid JSON ({error})"
        return BatchLine(number, _custom_id_in(raw), None, f"line {number}{reason}")
    if not isinstance(fields, dict):
        return BatchLine(number, None, None, f"line {number} is no JSON object but {type(fields).__name__}")
    custom_id, wrapped = _custom_id(fields.pop("custom_id", None)), "url" in fields or "body" in fields
    try:
        if not custom_id:
            raise RecommenderError(f"line {number} has no custom_id; give each line one of its own")
        return BatchLine(
            number, custom_id, make_request(**(_unwrapped(fields) if wrapped else fields)), wrapped=wrapped
        )
    except RecommenderError as error:
        return BatchLine(number, custom_id, None, str(error), wrapped)


def _custom_id(value: Any) -> str | None:
    """Return what a line is called: text as it stands, for its reader looks for that; numbers as ids are written."""
    try:
        return value if isinstance(value, str) else canonical_id(value)
    except DataError:
        return None


def _custom_id_in(raw: str | dict[str, Any]) -> str | None:
    """Return what a line that is refused is called, if it is near enough to JSON to tell."""
    try:
        fields = json.loads(raw) if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        return None
    return _custom_id(fields.get("custom_id")) if isinstance(fields, dict) else None


def _unwrapped(fields: dict[str, Any]) -> dict[str, Any]:
    body = fields.get("body")
    if fields.get("url") != URL or not isinstance(body, dict):
        raise RecommenderError(f'expected "url": "{URL}" and a "body" that is a JSON object')
    return {name: value for name, value in body.items() if name != "model"}


def answer_line(line: BatchLine, answer: Response | RecommenderError | str) -> dict[str, Any]:
    """Return the output line for an answer. `answer`: a str is the message of a failure that is no fault of the request."""
    if isinstance(answer, Response):
        body: dict[str, Any] = {"items": [asdict(item) for item in answer.items], **GENERATED}
        if answer.notes:
            body["notes"] = list(answer.notes)
        return _wrapped(line, 200, body) if line.wrapped else {"custom_id": line.custom_id, **body}
    code = INVALID if isinstance(answer, RecommenderError) else FAILED
    error = {"code": code, "message": str(answer)}
    if line.wrapped:
        return _wrapped(line, 400 if code == INVALID else 500, {"error": error})
    return {"custom_id": line.custom_id, "error": error}


def _wrapped(line: BatchLine, status: int, body: dict[str, Any]) -> dict[str, Any]:
    response = {"status_code": status, "request_id": f"line-{line.number}", "body": body}
    return {"id": f"batch-{line.number}", "custom_id": line.custom_id, "response": response, "error": None}
