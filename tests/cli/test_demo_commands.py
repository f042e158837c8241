"""The demo from the command line: people see films, programs get JSON, and progress does not mix with either."""

import io
import json
import socket

import numpy as np
import pytest

from recommender.chat import Reply
from recommender.cli.demo_commands import open_page
from recommender.data.catalogue import Item
from recommender.engine import RankedItem
from recommender.pipelines.demo import Demo


@pytest.fixture(autouse=True)
def quick_demo(monkeypatch):
    """A demo that computes nothing."""
    reply = Reply("This is what I understood: nothing.")
    film = Item("7", "Twelve Monkeys", attributes={"year": ("1995",)})

    def run_demo(progress, talk):
        progress("encode the media", 1, 1)
        items = (RankedItem(1, "7", "Twelve Monkeys", -4.25, "Because of Star Wars.", "model", {"claims": []}),)
        effects = {"text": np.array([0.5])}
        return Demo(
            (film,) * 9,
            items,
            (film,),
            film,
            1,
            1576,
            effects,
            0.999,
            True,
            (("hello", reply),),
            ("A note.",),
            "llm",
            {"all": 2.0},
        )

    monkeypatch.setattr("recommender.pipelines.demo.run_demo", run_demo)


def test_people_see_films_and_no_scores(run):
    code, out, err = run("demo")
    assert "> hello" in out and "what I understood" in out
    assert code == 0 and "Twelve Monkeys (1995)" in out and "Because of Star Wars." in out and "-4.25" not in out
    assert "encode the media" in err and "encode the media" not in out


def test_details_are_asked_for(run):
    code, out, err = run("demo", "--details", "-q")
    assert code == 0 and "-4.25" in out and "+0.50" in out and err == ""


def test_programs_get_everything_as_json(run):
    code, out, _ = run("demo", "--json", "-q")
    data = json.loads(out)
    assert code == 0 and data["items"][0]["score"] == -4.25 and len(data["history"]) == 9 and data["next"]["rank"] == 1


def test_the_page_opens_once_the_server_answers(monkeypatch):
    opened, asked = [], []

    def answer(url, timeout):
        asked.append(url)
        if len(asked) < 3:
            raise ConnectionRefusedError
        return io.BytesIO()

    monkeypatch.setattr("urllib.request.urlopen", answer)
    monkeypatch.setattr("webbrowser.open", lambda url: not opened.append((url, len(asked))))
    assert open_page("http://127.0.0.1:8123/")
    assert opened == [("http://127.0.0.1:8123/", 3)] and set(asked) == {"http://127.0.0.1:8123/healthz"}


def test_a_port_that_is_taken_is_said_at_once(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = run("demo", "--page", "--port", str(taken.getsockname()[1]))
    assert code == 2 and "is taken" in err
