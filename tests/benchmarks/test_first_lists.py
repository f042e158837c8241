"""First lists of conversations: asked over HTTP, timed, checked, and compared between the engines."""

import json

import pytest
from typer.testing import CliRunner

from recommender.benchmarks.first_lists import ask, bench_first_lists, first_messages
from recommender.benchmarks.server_load import LoadSettings
from recommender.cli.command_line import app
from recommender.engine import Recommender
from recommender.errors import RecommenderError
from tests.server.http_server import Server


@pytest.fixture
def server(listening_checkpoint):
    server = Server(Recommender(listening_checkpoint), message_chars=200)
    yield server
    server.close()


def test_messages_name_items_of_the_catalogue(catalogue):
    messages = first_messages(catalogue, 8, 0)
    assert messages == first_messages(catalogue, 8, 0) != first_messages(catalogue, 8, 1)
    assert all(any(item.title.removeprefix("The ") in message for item in catalogue) for message in messages)


def test_each_conversation_gets_a_list_of_its_own(server, catalogue):
    messages = first_messages(catalogue, 4, 0)
    found = ask(server.url, messages, 3)
    assert len(found.lists) == len(found.seconds) == 4 and all(seconds > 0 for seconds in found.seconds)
    for message, items in zip(messages, found.lists, strict=True):
        assert len(set(items)) == 3 and set(items) <= set(catalogue.item_ids)
        named = [item.item_id for item in catalogue if item.title.removeprefix("The ") in message]
        assert named and not set(named) & set(items)
    assert ask(server.url, messages, 3).lists == found.lists


def test_a_refused_message_ends_the_measurement(server):
    with pytest.raises(RecommenderError, match="status 400") as refused:
        ask(server.url, ["red " * 100], 3)
    assert "characters" in str(refused.value.hint)


@pytest.mark.slow
def test_both_engines_list_the_same(taught):
    rows = bench_first_lists(str(taught), LoadSettings(k=3), 8)
    assert [row["engine"] for row in rows] == ["embedded", "vllm"]
    for row in rows:
        assert row["wrong lists"] == 0 and row["same items"] == row["same order"] == 1
    printed = CliRunner().invoke(
        app, ["bench", "conversations", str(taught), "--count", "2", "-k", "3", "--json", "-q"]
    )
    assert printed.exit_code == 0 and len(json.loads(printed.output)["rows"]) == 2
