"""Teaching to listen: ranking and writing stay, a run resumes, and the taught model answers conversations."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from recommender.chat import Chat
from recommender.cli.command_line import app
from recommender.config import Config
from recommender.engine import Recommender
from recommender.errors import CheckpointError
from recommender.pipelines.converse import teach_listening, write_conversations
from tests.conftest import TEACHING


def test_ranking_and_writing_stay(talk_folder, taught):
    before, after = (load_file(path / "adapter.safetensors") for path in (talk_folder / "model", taught))
    assert before.keys() == after.keys() and all((before[name] == after[name]).all() for name in before)
    assert (taught / "listening.safetensors").is_file()
    assert not (talk_folder / "taught.training" / "items-read.npz").exists()
    config = Config.load(taught / "config.yaml")
    assert config.base.converse_layers == 2 and config.training.stages[-1].stage == "converse"


def test_the_taught_model_answers(taught):
    engine = Recommender.from_pretrained(taught)
    assert engine.listens
    reply = Chat.of(engine).reply(
        [{"role": "user", "content": "I liked The red story, a comedy please"}], explain=False
    )
    assert len(reply.items) == 5 and "The red story" not in [item.title for item in reply.items]
    assert np.isfinite([item.score for item in reply.items]).all()


def test_a_teaching_that_was_stopped_goes_on_to_the_same_result(talk_folder, taught, monkeypatch):
    from recommender.training import loop

    step, calls = loop._Stage._step, []

    def stopped(self, number, parts):
        calls.append(number)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return step(self, number, parts)

    monkeypatch.setattr(loop._Stage, "_step", stopped)
    monkeypatch.setattr(loop._Clock, "due", lambda self: True)
    with pytest.raises(KeyboardInterrupt):
        teach_listening(talk_folder / "model", talk_folder / "again", Config.parse(TEACHING))
    monkeypatch.setattr(loop._Stage, "_step", step)
    assert (talk_folder / "again.training" / "items-read.npz").is_file()
    teach_listening(talk_folder / "model", talk_folder / "again", Config.parse(TEACHING))
    one, other = (load_file(path / "listening.safetensors") for path in (taught, talk_folder / "again"))
    assert all((one[name] == other[name]).all() for name in one)


def test_another_language_is_heard_where_the_base_reads_it(talk_folder, taught):
    recipe = Config.parse(TEACHING | {"base": {"converse_layers": 2, "languages": ["en", "de"]}})
    teach_listening(talk_folder / "model", talk_folder / "two", recipe, start=str(taught))
    asked = [{"role": "user", "content": "ich suche etwas Lustiges, und ich mag The red story sehr, bitte"}]
    english, both = (Chat.of(Recommender.from_pretrained(path)) for path in (taught, talk_folder / "two"))
    assert "I read English; of your message in German" in english.reply(asked, explain=False).text
    reply = both.reply(asked, explain=False)
    assert "I read" not in reply.text and len(reply.items) == 5
    assert [m.text for m in both.engine.reader.finder.find("heute lustig")] == ["lustig"]
    russian = [{"role": "user", "content": "я хочу посмотреть комедию"}]
    assert "I read English and German; of your message in Russian" in both.reply(russian, explain=False).text


def test_a_teaching_begins_from_what_another_one_has_learned(talk_folder, taught):
    config = Config.load(taught / "config.yaml")
    places = [n for n, stage in enumerate(config.training.stages) if stage.stage == "converse"]
    rates = ("learning_rate", "rows_learning_rate", "projector_learning_rate")
    teach_listening(
        talk_folder / "model",
        talk_folder / "further",
        Config.parse(TEACHING),
        {f"training.stages.{place}.{rate}": 1e-12 for place in places for rate in rates},
        start=str(taught),
    )
    one, other = (load_file(path / "listening.safetensors") for path in (taught, talk_folder / "further"))
    for name in one:
        same = np.allclose(one[name], other[name], atol=1e-3)
        assert same or name in ("listener.bias", "listener.known"), name
    with pytest.raises(CheckpointError, match="has not learned to listen"):
        teach_listening(
            talk_folder / "model", talk_folder / "none", Config.parse(TEACHING), start=str(talk_folder / "model")
        )


def test_conversations_are_written_as_lines(talk_folder, taught):
    path = talk_folder / "made.jsonl"
    assert write_conversations(Recommender.from_pretrained(taught), path, 12, None, 0) == 12
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 12 and all(line["messages"] and len(line["suits"]) == 10 for line in lines)
    for line in lines:
        for message, meanings in zip(line["messages"], line["meanings"], strict=True):
            assert all(meaning["text"] in message["content"] for meaning in meanings)


def test_the_commands(talk_folder):
    run = CliRunner().invoke(
        app,
        [
            "conversations",
            "make",
            str(talk_folder / "model"),
            "--output",
            str(talk_folder / "c.jsonl"),
            "--count",
            "3",
            "-q",
        ],
    )
    assert run.exit_code == 0 and len((talk_folder / "c.jsonl").read_text().splitlines()) == 3
