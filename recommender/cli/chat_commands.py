"""Talk to a model: a conversation in the terminal, or its messages as options or lines of a file."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from recommender.cli.inputs import open_model, read_request, split_list, step
from recommender.cli.options import AsJson, Bits, Domains, FeedbackFile, History, Items, Model, Quiet, User, Without
from recommender.cli.output import err, print_json, print_plain_note, print_text
from recommender.errors import RecommenderError

if TYPE_CHECKING:
    from recommender.chat.session import Session

PROMPT = "you> "
COMMANDS = "An empty line ends.\n/picture FILE: what looks like it; /say FILE: a spoken message."


def chat(
    model: Model,
    message: Annotated[
        list[str] | None, typer.Option("--message", "-m", help="what to say; may be repeated; without it, a terminal")
    ] = None,
    history: History = None,
    k: Annotated[int, typer.Option(help="length of the list until another one is asked for", min=1, max=20)] = 5,
    explain: Annotated[bool, typer.Option(help="justify each item")] = True,
    domains: Domains = None,
    without: Without = None,
    bits: Bits = None,
    feedback: FeedbackFile = None,
    user: User = None,
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Talk about what to watch, read or hear next.

    Queries and filters in your own words; each line of standard input is a message if none is given.
    """
    from recommender.progress import progress_bars

    with progress_bars(quiet) as progress:
        asked = read_request(
            progress,
            history=split_list(history, "--history"),
            domains=split_list(domains, "--domains"),
            without=split_list(without, "--without"),
            user=user,
        )
        engine = open_model(model, items, progress, feedback, bits)
        with step(progress, "open the conversation"):
            from recommender.chat.media_queries import MediaQueries
            from recommender.chat.session import Session

            media = MediaQueries(engine.config, engine.features)
            known = asked.history, k, explain, asked.user, asked.without, asked.domains
            session = Session.of(engine, media, *known)
    if explain:
        print_plain_note(engine)
    if message:
        messages: Iterable[str] = message
    elif sys.stdin.isatty():
        err.print(greeting(len(engine.catalogue), engine.config.prompt.noun), markup=False, highlight=False)
        messages = _typed()
    else:
        messages = (line.rstrip("\n") for line in _decoded(sys.stdin))
    for line in messages:
        reply = answer(session, line)
        if as_json:
            print_json(reply.to_dict())
        else:
            print_text(reply.text)


def _decoded(stream: TextIO) -> TextIO:
    """Return a stream that reads bytes which are no text as U+FFFD."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return stream


def greeting(items: int, noun: str) -> str:
    """Return what a terminal shows before the first message: who speaks, what may be said, and how to end."""
    return (
        f"Hello! I am a program that knows {items:,} {noun}.\nSay what you like or look for, in your own words.\n"
        f"I remember what you said before. {COMMANDS}"
    )


def answer(session: Session, line: str) -> Any:
    """Return the Reply to one line; a picture or sound that cannot be read is answered with what is wrong."""
    from recommender.chat import sentence

    line = line.encode("utf-8", "replace").decode()  # bytes that are no text come as halves of characters
    command, _, rest = line.strip().partition(" ")
    try:
        if command == "/picture":
            return session.show(Path(rest.strip()))
        if command == "/say":
            return session.hear(Path(rest.strip()))
        return session.say(line)
    except RecommenderError as error:
        return sentence(error)


def _typed() -> Iterator[str]:
    """Yield what is typed after a prompt, up to an empty line or the end of the input."""
    with suppress(ImportError):
        import readline  # noqa: F401  arrow keys and earlier lines
    while True:
        try:
            line = input(PROMPT) if sys.stdout.isatty() else _asked_on_stderr()
        except (EOFError, KeyboardInterrupt):
            return
        if not line.strip():
            return
        yield line


def _asked_on_stderr() -> str:
    err.print(PROMPT, end="", markup=False, highlight=False)
    if not (line := sys.stdin.readline()):
        raise EOFError
    return line.rstrip("\n")
