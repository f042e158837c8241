"""Chat in a terminal and out of files: greeting, prompt, messages, pictures that are none."""

import io
import json
import os
import sys

import pytest

from recommender.cli import chat_commands
from tests.cli.conftest import refused
from tests.joined import joined_checkpoint, letters
from tests.saved import saved


@pytest.fixture
def typed(monkeypatch):
    """Let lines be typed into a terminal."""

    def replaced(*lines, terminal=True):
        stream = io.StringIO("".join(f"{line}\n" for line in lines))
        stream.isatty = lambda: terminal
        monkeypatch.setattr(sys, "stdin", stream)

    return replaced


def test_messages_as_options(run, trained):
    code, out, _ = run("chat", trained, "-m", "a comedy please", "-m", "not from 1990", "--k", 2, "--json", "-q")
    first, second = map(json.loads, out.splitlines())
    assert code == 0 and len(first["items"]) == len(second["items"]) == 2
    assert all(int(item["item_id"]) % 2 == 0 for item in first["items"])


def test_lists_are_of_the_domains_that_are_named_until_a_message_asks_for_others(run, catalogue, features, tmp_path):
    folder = saved(joined_checkpoint(tmp_path / "llm", catalogue, features), tmp_path)
    command = ["chat", folder / "model", "--items", folder / "items.jsonl", "--no-explain", "--json", "-q", "--k", 4]
    command += ["-m", "something for tonight", "-m", "products please"]
    for domains, first in (("films,products", "fpfp"), ("Films", "ffff")):
        code, out, err = run(*command, "--domains", domains)
        assert code == 0, err
        lists = [[item["item_id"] for item in json.loads(line)["items"]] for line in out.splitlines()]
        assert [letters(ids) for ids in lists] == [first, "pppp"]
    refused(run(*command, "--domains", "musics"), "domains: no item is of 'musics'", "films, products")


def test_a_terminal_greets_prompts_and_ends_at_an_empty_line(run, trained, typed):
    typed("a comedy please", "", "a drama please")
    code, out, err = run("chat", trained, "--k", 1, "--no-explain", "-q")
    assert code == 0 and "I am a program that knows 20 films" in err and "/picture FILE" in err
    assert err.count(chat_commands.PROMPT) == 2
    assert "The " in out and "I know" not in out


def test_the_end_of_the_input_ends_it_too(run, trained, typed):
    typed("a comedy please")
    code, out, err = run("chat", trained, "--k", 1, "--no-explain", "-q")
    assert code == 0 and err.count(chat_commands.PROMPT) == 2 and out.strip()


def test_lines_of_a_pipe_are_messages_without_greeting_or_prompt(run, trained, typed):
    typed("a comedy please", "and from 1980", terminal=False)
    code, out, err = run("chat", trained, "--k", 1, "--no-explain", "-q", "--json")
    assert code == 0 and len(out.splitlines()) == 2 and "you>" not in err and "Hello" not in err


def test_media_that_cannot_be_read_are_answered_and_the_conversation_goes_on(run, trained, typed, tmp_path):
    typed(f"/picture {tmp_path / 'none.jpg'}", f"/say {tmp_path / 'none.wav'}", "a comedy please", terminal=False)
    code, out, _ = run("chat", trained, "--k", 1, "--no-explain", "-q", "--json")
    picture, spoken, reply = map(json.loads, out.splitlines())
    assert code == 0 and reply["items"] and not picture.get("items") and not spoken.get("items")


def test_the_greeting_fits_80_columns():
    assert max(map(len, chat_commands.greeting(1682, "films").splitlines())) <= 80


def test_bytes_that_are_no_text_are_answered(run, trained, monkeypatch):
    """As typed into a terminal, and in a file of messages; decoded as Python decodes what a process is given."""
    command = ["chat", trained, "-q", "--json", "--no-explain"]
    code, out, err = run(*command, "--message", os.fsdecode(b"red \xff films"))
    assert code == 0 and json.loads(out), err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"red \xff films\n"), "utf-8"))
    code, out, err = run(*command)
    assert code == 0 and json.loads(out), err
