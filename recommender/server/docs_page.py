"""The page of all routes, made from the OpenAPI description: plain HTML that loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{font-size:.9em}td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}"
)


def docs_page(app: FastAPI) -> HTMLResponse:
    """Return the page of an application: its routes, and the fields of what they read."""
    description = app.openapi()
    parts = "".join(_routes(description))
    title = escape(description["info"].get("description") or description["info"]["title"])
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f'<h1>{title}</h1><p>As data: <a href="openapi.json">openapi.json</a></p>{parts}</html>'
    )
    return HTMLResponse(page, headers=_HEADERS)


def _routes(description: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            told = operation.get("description") or operation.get("summary") or ""
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(told)}</p>"
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            if name := content.get("schema", {}).get("$ref", "").rpartition("/")[2]:
                yield _fields(description["components"]["schemas"][name])


def _fields(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{_kind(field)}{' (required)' if name in required else ''}"
        f"<td>{escape(field.get('description', ''))}"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<table><tr><th>field<th>type<th>what it is{rows}</table>"


def _kind(field: Mapping[str, Any]) -> str:
    kinds = [part.get("type", "object") for part in field.get("anyOf", [field])]
    return escape(" or ".join(dict.fromkeys(kinds)))
