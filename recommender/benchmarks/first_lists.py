"""How long the first list of a conversation takes over HTTP, and whether vLLM and the embedded engine list the same."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from recommender.benchmarks.server_load import LoadSettings, is_wrong, running_server
from recommender.config import ENGINES
from recommender.data.catalogue import Catalogue
from recommender.errors import RecommenderError
from recommender.justify.item_names import display_name
from recommender.model.checkpoint import from_pretrained
from recommender.progress import Progress

PATH = "/v1/chat/completions"
LIMIT = 3.0
"""Seconds that a first list may take on two cores."""
_ANSWER_SECONDS = 120
_SAID = (
    "I liked {a} and {b}. What else is there?",
    "something like {a}, but not too heavy",
    "my sister loved {a}, I prefer {b}. what could we both like tonight?",
    "hi! {a} was great, any ideas?",
)


@dataclass(frozen=True)
class FirstLists:
    """What one engine answered: ids of each list, and seconds of each answer."""

    lists: list[list[str]]
    seconds: list[float]


def first_messages(catalogue: Catalogue, count: int, seed: int) -> list[str]:
    """Return messages that begin a conversation, each with one or two random items of the catalogue."""
    random = np.random.default_rng(seed)
    messages = []
    for number in range(count):
        a, b = (display_name(catalogue[int(item)]) for item in random.choice(len(catalogue), 2, replace=False))
        messages.append(_SAID[number % len(_SAID)].format(a=a, b=b))
    return messages


def bench_first_lists(
    source: str, settings: LoadSettings, count: int, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Begin the same conversations with a server of each engine; returns a row for each.

    Raises RecommenderError if a server does not start, or refuses a message.
    """
    catalogue = from_pretrained(source, None, progress).catalogue
    messages = first_messages(catalogue, count, settings.seed)
    answered: dict[str, FirstLists] = {}
    for engine in ENGINES:
        serve = settings.serve if engine == "vllm" else ()
        with running_server(source, replace(settings, engine=engine, serve=serve)) as url:
            ask(url, messages[:1], settings.k)  # to warm up
            answered[engine] = ask(url, messages, settings.k, progress)
    known = set(catalogue.item_ids)
    return [_row(engine, answers, answered[ENGINES[0]], known, settings.k) for engine, answers in answered.items()]


def ask(url: str, messages: Sequence[str], k: int, progress: Progress | None = None) -> FirstLists:
    """Begin a conversation with each message, one after the other. Raises RecommenderError for a status beside 200."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=_ANSWER_SECONDS)
    found = FirstLists([], [])
    for number, message in enumerate(messages, 1):
        body = {"messages": [{"role": "user", "content": message}], "k": k, "explain": False}
        start = time.perf_counter()
        connection.request("POST", PATH, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        found.seconds.append(time.perf_counter() - start)
        if response.status != 200:
            raise RecommenderError(f"{url}{PATH}: status {response.status}", answer.decode(errors="replace")[:200])
        found.lists.append([item["item_id"] for item in json.loads(answer)["recommendations"]])
        if progress:
            progress("first lists", number, len(messages))
    connection.close()
    return found


def _row(engine: str, answers: FirstLists, of_embedded: FirstLists, known: set[str], k: int) -> dict[str, Any]:
    pairs = list(zip(answers.lists, of_embedded.lists, strict=True))
    return {
        "engine": engine,
        "conversations": len(pairs),
        "median s": float(np.median(answers.seconds)),
        "slowest s": max(answers.seconds),
        f"within {LIMIT:.0f} s": sum(seconds <= LIMIT for seconds in answers.seconds),
        "wrong lists": sum(is_wrong(items, (), known, k) for items in answers.lists),
        "same items": sum(len(set(ours) & set(theirs)) for ours, theirs in pairs)
        / max(sum(len(theirs) for _, theirs in pairs), 1),
        "same order": sum(ours == theirs for ours, theirs in pairs) / len(pairs),
    }
