"""The page at `/`: its files from the package, read once, with what a browser needs to cache them and to run nothing else.

The files are plain HTML, CSS and JavaScript modules without a build step. What differs from model to model, such as the noun
of the catalogue and the limits of the server, is one more file: `page/about.json`.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response

from recommender.chat.domains import domains_of
from recommender.chat.media_queries import LONGEST_SECONDS
from recommender.config import ServingConfig
from recommender.encoders.music import hears_speech
from recommender.engine import Engine
from recommender.justify.english import DomainWords, domain_words
from recommender.server.http_errors import HttpError
from recommender.strict.json_documents import json_text

FOLDER = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
#: nothing but these files and this server; trusted types let no text become markup, whatever a script does with it
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
_COMMENT = re.compile(r"//.*|/\*.*\*/")
_COMMENT_BEHIND = re.compile(r"(?<=[;{},)]) +// .*")
_STRING = re.compile(r"""("[^"]*"|'[^']*')""")
_SPACES = re.compile(r" ?(=>|[!=]==|&&|\|\||\?\?|[=,:?{}()]) ?")
_HEADERS = {
    "Cache-Control": "no-cache",  # ask each time, which an ETag makes cheap: a new version is seen at once
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class PageFile:
    """A file of the page as it is sent. `zipped`: its content by gzip."""

    content: bytes
    zipped: bytes
    etag: str
    media_type: str

    @classmethod
    def of(cls, name: str, content: bytes) -> PageFile:
        """Return a file, its type by the end of its name."""
        etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        return cls(content, gzip.compress(content, mtime=0), etag, _TYPES[Path(name).suffix])

    def response(self, http: Request) -> Response:
        """Return the answer to a request: nothing new, or the content in an encoding that it takes."""
        headers = {**_HEADERS, "ETag": self.etag}
        if self.etag in http.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" not in http.headers.get("accept-encoding", ""):
            return Response(self.content, headers=headers, media_type=self.media_type)
        return Response(self.zipped, headers={**headers, "Content-Encoding": "gzip"}, media_type=self.media_type)


def install(app: FastAPI, engine: Engine, name: str, limits: ServingConfig) -> None:
    """Serve the page at `/`. `name`: what clients call the model."""
    sources = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.iterdir())}
    files = {file: PageFile.of(file, squeezed(file, source).encode()) for file, source in sources.items()}
    about = json_text(about_model(engine, name, limits)).encode()
    files["about.json"] = PageFile.of("about.json", about)

    def page_file(http: Request, file: str = "index.html") -> Response:
        if file not in files:
            raise HttpError(404, f"the page has no file {file!r}", "not_found")
        return files[file].response(http)

    def index(http: Request) -> Response:
        return page_file(http)

    for path, answer in (("/", index), ("/page/{file}", page_file)):
        app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False, response_model=None)(answer)


def squeezed(name: str, source: str) -> str:
    """Return a file without what no browser needs: comments to the end of a line, indentation, most spaces."""
    suffix = Path(name).suffix
    if suffix == ".css":
        source = re.sub(r" ?([{>}]) ?", r"\1", re.sub(r"([:;,]) ", r"\1", source)).replace(";}", "}")
    if suffix not in (".css", ".js", ".html"):
        return source
    lines = (_COMMENT_BEHIND.sub("", line.strip()) for line in source.splitlines())
    kept = [line for line in lines if line and not _COMMENT.fullmatch(line)]
    return "\n".join(map(_without_spaces, kept) if suffix == ".js" else kept) + "\n"


def _without_spaces(line: str) -> str:
    """Return a line of JavaScript without the spaces that say nothing; one with a template or a pattern as it is."""
    if any(mark in line for mark in "`/\\"):
        return line
    return "".join(part if at % 2 else _SPACES.sub(r"\1", part) for at, part in enumerate(_STRING.split(line)))


def about_model(engine: Engine, name: str, limits: ServingConfig) -> dict[str, Any]:
    """Return what the page must know of a model and its server before it asks anything."""
    modalities, domains = engine.config.encoders, [value for _, value in domains_of(engine.catalogue)]
    return {
        "model": name,
        "items": len(engine.catalogue),
        "noun": _noun(engine.style.words),
        "domains": domains,
        "nouns": {domain: _noun(domain_words(domain)) for domain in domains},
        "hears": hears_speech(modalities.named("audio")),
        "sees": modalities.named("image") is not None,
        "keeps_feedback": engine.feedback_policy.store is not None,
        "limits": {
            "body_bytes": limits.body_bytes,
            "message_chars": limits.message_chars,
            "media": limits.media,
            "sound_seconds": LONGEST_SECONDS,
        },
    }


def _noun(words: DomainWords) -> dict[str, str]:
    return {"one": words.singular, "many": words.plural}
