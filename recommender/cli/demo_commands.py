"""The command to try first."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from recommender.cli.options import AsJson, Details, Quiet
from recommender.cli.output import print_json, print_note, print_view
from recommender.cli.serving_commands import SERVER_MODULES

#: how long the page may take to be there: the server first does once what is slow only the first time
_STARTS_WITHIN = 300.0


def demo(
    details: Details = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: Annotated[bool, typer.Option("--page", help="serve the films, and open their page in the browser")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="of --page; default: any free one")] = 0,
) -> None:
    """Recommend films to a real user of MovieLens-100K.

    All of it, from raw media to checked justifications. The user is the one whose last films are known best. With --page
    the films are served instead, and what a person likes is asked in the browser.
    """
    if page:
        serve_page(port, quiet)
        return
    from recommender.cli.inputs import step
    from recommender.progress import progress_bars

    with progress_bars(quiet) as progress:
        with step(progress, "load the program"):  # torch takes seconds
            from recommender.chat.demo_conversation import demo_conversation
            from recommender.cli.result_views import demo_data, demo_view
            from recommender.pipelines.demo import run_demo
        result = run_demo(progress, talk=demo_conversation)
    if as_json:
        print_json(demo_data(result))
    else:
        print_view(*demo_view(result, details))


def serve_page(port: int, quiet: bool) -> None:
    """Serve the demo's films until the command is ended, and open their page. What people say of them is kept so long."""
    from recommender.cli.inputs import step
    from recommender.config import ServingConfig
    from recommender.errors import import_extra
    from recommender.progress import progress_bars
    from recommender.server.listening import reserved

    limits = ServingConfig(port=port)
    with reserved(limits.host, port) as sockets, TemporaryDirectory() as folder:
        for module in SERVER_MODULES:
            import_extra(module, "recommender demo --page", "server")
        with progress_bars(quiet) as progress:
            with step(progress, "load the program"):
                from recommender.pipelines.demo import CHECKPOINT, demo_model
                from recommender.server.app import create_app
                from recommender.server.uvicorn_server import run_server
            model = demo_model(progress)
        limits = limits.model_copy(update={"feedback": str(Path(folder) / "feedback.jsonl")})
        url = f"http://{limits.host}:{sockets[0].getsockname()[1]}/"
        threading.Thread(target=open_page, args=(url,), name="browser", daemon=True).start()
        run_server(create_app(model, CHECKPOINT, limits), limits, sockets)


def open_page(url: str) -> bool:
    """Open a page in the browser once its server answers, and say where it is. Returns whether a browser was found."""
    until = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"{url}healthz", timeout=5).close()
            break
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    found = webbrowser.open(url)
    print_note(f"the page: {url}" if found else f"open {url} in a browser")
    return found
