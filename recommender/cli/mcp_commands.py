"""Tools for agents over standard input and output, in the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recommender.cli import early_checks
from recommender.cli.inputs import check_parts_at_hand, config_of, engine_options
from recommender.cli.options import Bits, Items, Model, Quiet
from recommender.cli.serving_commands import SERVER_MODULES, served_limits


def mcp(
    model: Model,
    feedback: Annotated[str | None, typer.Option(help="file that feedback is added to; default: none is kept")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="override a limit: KEY=VALUE, for example explained=10")
    ] = None,
    name: Annotated[str | None, typer.Option(help="what agents call the model; default: the folder's name")] = None,
    items: Items = None,
    bits: Bits = None,
    quiet: Quiet = False,
) -> None:
    """Give an agent tools: recommend, explain, search and more.

    Speaks the Model Context Protocol over standard input and output, until the agent leaves; with --set reload_seconds=30 a
    new version of the model answers in the same session. A server has the same tools at /mcp.
    """
    given: dict[str, Any] = {"feedback": feedback}
    limits = served_limits(config_of(None, [model]).serving, settings, given)
    check_parts_at_hand(model, items)
    if limits.feedback is not None:
        early_checks.kept_feedback(Path(limits.feedback))
    from recommender.errors import import_extra
    from recommender.progress import progress_bars

    for module in (*SERVER_MODULES, "mcp"):
        import_extra(module, "recommender mcp", "mcp")
    from recommender.adapters.shipped import manifest_digest
    from recommender.engine import open_engine
    from recommender.server.followed_service import Source
    from recommender.server.mcp_transports import run_stdio

    state = manifest_digest(model)
    chosen = engine_options("embedded", bits, "")
    with progress_bars(quiet) as progress:
        opened = open_engine("embedded", model, items, progress, **chosen)
    source = Source(state, lambda: manifest_digest(model), lambda: open_engine("embedded", model, items, **chosen))
    run_stdio(opened, name or Path(model).resolve().name, limits, source)
