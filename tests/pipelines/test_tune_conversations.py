"""Tuning on conversations: a copy that ranks by them, nothing of them kept, and clear refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from recommender.chat import Chat
from recommender.cli.command_line import app
from recommender.conversations.tuned import TUNED
from recommender.engine import Recommender
from recommender.errors import CheckpointError
from recommender.pipelines.tune_conversations import tune_conversations


@pytest.fixture(scope="module")
def dialogues(talk_folder, catalogue):
    """People who ask for a genre and get an item of it."""
    lines = []
    for n in range(30):
        genre = catalogue[n % 20].attributes["genres"][0]
        target = next(i for i in catalogue if genre in i.attributes["genres"])
        messages = [{"role": "user", "content": f"privatewords{n}, {genre} please"}]
        lines.append({"messages": messages, "named": [], "targets": [target.item_id]})
    path = talk_folder / "dialogues.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_tuned_copy_ranks_otherwise_and_keeps_no_words(talk_folder, taught, dialogues):
    tuned = tune_conversations(taught, dialogues, talk_folder / "tuned")
    assert (talk_folder / "tuned" / TUNED).is_file() and tuned.weights
    told = Recommender.from_pretrained(talk_folder / "tuned")
    before = Recommender.from_pretrained(taught)
    heard = [engine.converse([("user", "a comedy please")]) for engine in (before, told)]
    nobody = [np.zeros(0, np.int64)]
    scores = [e.score_all(nobody, conversation=h)[0] for e, h in zip((before, told), heard, strict=True)]
    assert not np.allclose(*scores, atol=1e-2)
    for path in (talk_folder / "tuned").iterdir():
        assert b"privatewords" not in path.read_bytes()
    reply = Chat.of(told).reply([{"role": "user", "content": "I liked The red story"}], explain=False)
    assert len(reply.items) == 5
    metrics = json.loads((talk_folder / "tuned" / "metrics.json").read_text())
    assert metrics["tuned"]["conversations"] == 10


def test_the_command(talk_folder, taught, dialogues):
    out = talk_folder / "by-command"
    run = CliRunner().invoke(
        app, ["conversations", "tune", str(taught), "--dialogues", str(dialogues), "--output", str(out), "-q"]
    )
    assert run.exit_code == 0, run.output
    assert (out / TUNED).is_file()


def test_a_model_that_does_not_listen_is_refused(talk_folder, dialogues):
    with pytest.raises(CheckpointError, match="not learned to listen"):
        tune_conversations(talk_folder / "model", dialogues, talk_folder / "never")
    assert not (talk_folder / "never").exists()
