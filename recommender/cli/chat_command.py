"""Talking to a model: a conversation in the terminal, or its messages as options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from recommender.cli.shared import (
    AsJson,
    FeedbackFile,
    History,
    Items,
    Model,
    Quiet,
    User,
    err,
    out,
    print_json,
    split_ids,
)
from recommender.errors import RecommenderError

HELP = "A line is a message. /picture FILE: what looks like it; /say FILE: a spoken message; an empty line ends."


def chat(
    model: Model,
    message: Annotated[
        list[str] | None, typer.Option("--message", "-m", help="what to say; may be repeated; without it, a terminal")
    ] = None,
    history: History = "",
    k: Annotated[int, typer.Option(help="length of the list until another one is asked for", min=1, max=20)] = 5,
    explain: Annotated[bool, typer.Option(help="justify each item")] = True,
    feedback: FeedbackFile = None,
    user: User = None,
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Talk about what to watch, read or hear next: queries and filters in your own words."""
    from recommender.chat.media_queries import MediaQueries
    from recommender.chat.session import Session
    from recommender.engine import Recommender
    from recommender.progress import progress_bars

    with progress_bars(quiet) as progress:
        engine = Recommender.from_pretrained(model, items, progress)
    if feedback is not None:
        engine.feedback_policy.keep_in(feedback)
    session = Session.of(engine, MediaQueries(engine.config, engine.features), split_ids(history), k, explain, user)
    if not message and sys.stdin.isatty():
        err.print(HELP, markup=False)
    for line in message or _lines():
        _print(_answered(session, line), as_json)


def _lines() -> Any:
    """Yield what is typed or piped, up to an empty line in a terminal or the end."""
    terminal = sys.stdin.isatty()
    for line in sys.stdin:
        if terminal and not line.strip():
            return
        yield line.rstrip("\n")


def _answered(session: Any, line: str) -> Any:
    """A wrong picture or sound ends in a sentence; the conversation goes on."""
    from recommender.chat import sentence

    command, _, rest = line.strip().partition(" ")
    try:
        if command == "/picture":
            return session.show(Path(rest.strip()))
        if command == "/say":
            return session.hear(Path(rest.strip()))
        return session.say(line)
    except RecommenderError as error:
        return sentence(error)


def _print(reply: Any, as_json: bool) -> None:
    if as_json:
        print_json(reply.to_dict())
    else:
        out.print(reply.text, markup=False, highlight=False, soft_wrap=True)
