"""A run goes on only as the run that it was: what differs is named, and finished stages stay finished."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories, leave_one_out
from recommender.errors import RecommenderError
from recommender.training import TrainingData, interruption, run_stages
from recommender.training.run_state import STATE, progress_of, trainable

ALIGN = {"stage": "align", "max_steps": 3, "batch_tokens": 128, "row_tokens": 64}
RANK = {"stage": "rank", "epochs": 9, "max_steps": 6, "batch_tokens": 128, "row_tokens": 64, "learning_rate": 0.01}


@pytest.fixture
def split(histories):
    return leave_one_out(Histories(tuple(map(str, range(len(histories)))), tuple(histories)))


@pytest.fixture
def train(make_checkpoint, config, split, tmp_path):
    """Run stages in one folder; `kill`: (stage, step) at which it is killed. Returns weights and the steps of `rank`."""

    def run(stages=(ALIGN, RANK), kill=None, change=lambda data, checkpoint: data, folder="run", **changes):
        settings = config.updated({"training.stages": list(stages), "training.checkpoint_minutes": 1e-6, **changes})
        checkpoint, steps = make_checkpoint(1, settings), []

        def progress(what, done, total):
            if (what.partition(",")[0], done) == kill:
                raise KeyboardInterrupt
            if what.startswith("rank"):
                steps.append(done)

        data = change(TrainingData(checkpoint.builder, split, sources={"image": "these"}), checkpoint)
        run_stages(checkpoint.model, data, settings, tmp_path / folder, progress)
        return trainable(checkpoint.model), steps

    return run


@pytest.fixture
def killed(train):
    """A run that was killed in its second stage."""
    with pytest.raises(KeyboardInterrupt):
        train(kill=("rank", 4))


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", 1, "seed is 1, was 0"),
        ("training.stages.0.max_steps", 2, "training.stages.0.max_steps is 2, was 3"),
        ("prompt.history", 5, "prompt.history is 5, was 6"),
        ("lora.lora_alpha", 4, "lora.lora_alpha is 4, was 8"),
    ],
)
def test_a_setting_that_differs_is_named(killed, train, key, value, said):
    with pytest.raises(RecommenderError, match=f"another configuration or other data: {said} .hint") as error:
        train(**{key: value})
    assert "start anew" in error.value.hint


def _other_picture(data, checkpoint):
    return replace(data, sources={"image": "others"})


def _other_validation(data, checkpoint):
    return replace(data, split=replace(data.split, validation=data.split.validation[::-1].copy()))


def _other_history(data, checkpoint):
    items = (data.split.train.items[0][::-1].copy(), *data.split.train.items[1:])
    return replace(data, split=replace(data.split, train=replace(data.split.train, items=items)))


def _other_description(data, checkpoint):
    items = [replace(item, text="a description that was not there") for item in checkpoint.catalogue]
    return replace(data, builder=replace(checkpoint, catalogue=Catalogue(items)).builder)


def _other_base(data, checkpoint):
    with torch.no_grad():
        next(p for n, p in checkpoint.model.named_parameters() if n.endswith("mlp.up_proj.base_layer.weight")).mul_(2)
    return data


def _flipped_rows(data, checkpoint):
    """The same numbers, of other words."""
    with torch.no_grad():
        weight = next(p for n, p in checkpoint.model.named_parameters() if n.endswith("embed_tokens.weight"))
        weight.copy_(weight.flip(0))
    return data


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_flipped_rows, "other base model than then"),
        (_other_picture, "other encoded image than then"),
        (_other_validation, "other validation targets than then"),
        (_other_history, "other interactions than then"),
        (_other_description, "other items than then"),
        (_other_base, "other base model than then"),
    ],
)
def test_other_data_under_the_same_names_is_refused(killed, train, change, said):
    with pytest.raises(RecommenderError, match=said):
        train(change=change)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_another_file_of_the_base_model_is_refused(train, llm_folder, tmp_path, name):
    base = Path(shutil.copytree(llm_folder, tmp_path / "base"))
    with pytest.raises(KeyboardInterrupt):
        train(kill=("rank", 4), **{"base.llm": str(base)})
    moved = base.rename(tmp_path / "moved")
    with pytest.raises(KeyboardInterrupt):
        train(kill=("rank", 5), **{"base.llm": str(moved)})
    path = moved / name
    path.write_text((path.read_text() if path.exists() else "{{ messages[0] }}") + "\n")
    with pytest.raises(RecommenderError, match="other base model than then"):
        train(**{"base.llm": str(moved)})


def test_what_decides_nothing_may_change(killed, train):
    whole, _ = train(folder="whole")
    resumed, steps = train(**{"serving.port": 9, "encoders.batch_size": 1, "data.items": "moved.csv"})
    assert steps[0] == 4 and same(whole, resumed)


def test_a_changed_stage_begins_anew_behind_the_finished_ones(killed, train, caplog):
    longer = (ALIGN, RANK | {"max_steps": 7})
    whole, _ = train(longer, folder="whole")
    resumed, steps = train(longer)
    assert steps == [1, 2, 3, 4, 5, 6, 7] and same(whole, resumed)
    assert "training.stages.1.max_steps is 7, was 6" in caplog.text and "stages 1 to 1 are kept" in caplog.text


def test_a_later_stage_may_change_or_come_without_losing_a_step(killed, train, caplog):
    more = (ALIGN, RANK, ALIGN | {"max_steps": 2})
    whole, _ = train(more, folder="whole")
    resumed, steps = train(more)
    assert steps[0] == 4 and same(whole, resumed) and not caplog.text


def test_a_finished_stage_is_kept_however_soon_the_kill_comes(train, tmp_path):
    rarely = {"training.checkpoint_minutes": 60}
    with pytest.raises(KeyboardInterrupt):
        train(kill=("rank", 1), **rarely)
    assert not (tmp_path / "run" / STATE).exists()
    assert "stage 2, step 0" in progress_of(tmp_path / "run")
    whole, _ = train(folder="whole")
    assert same(whole, train(**rarely)[0])
    assert {path.name for path in (tmp_path / "whole").iterdir()} >= {"log.csv", "loss.png"}


EARLIER = [
    {"key": "0" * 64, "position": {}},
    {"facts": {"settings": {"seed": 0}, "hashes": {"base model": "0"}}, "position": {"stage": 0, "step": 3}},
    {"format": 1, "facts": {}},
]


@pytest.mark.parametrize("state", EARLIER)
def test_the_state_of_an_earlier_version_is_one_clear_line(train, tmp_path, state):
    (tmp_path / "run").mkdir()
    torch.save(state, tmp_path / "run" / STATE)
    with pytest.raises(RecommenderError) as error:
        train()
    assert "holds a training that another version of recommender began" in error.value.message
    assert len(str(error.value)) < 400 and "\n" not in str(error.value)
    assert "another version" in progress_of(tmp_path / "run")


@pytest.mark.parametrize(
    "content", [b"PK cut", {"format": 2}, {"format": 2, "position": {"stage": 0, "step": 1}}, ["x"]]
)
def test_a_damaged_state_is_one_clear_line(train, tmp_path, content):
    (tmp_path / "run").mkdir()
    if isinstance(content, bytes):
        (tmp_path / "run" / STATE).write_bytes(content)
    else:
        torch.save(content, tmp_path / "run" / STATE)
    with pytest.raises(RecommenderError, match="is damaged"):
        train()


def test_of_many_differences_the_first_are_named(killed, train):
    changed = {"seed": 1, "prompt.history": 5, "lora.lora_alpha": 4, "lora.r": 3, "lora.lora_dropout": 0.1}
    with pytest.raises(RecommenderError, match="seed is 1, was 0; .*; and 1 more"):
        train(**changed, **{"prompt.titled": 1})


@pytest.fixture
def ctrl_c():
    """As in the foreground: what a shell starts in the background ignores SIGINT, and so do tests that run there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_behind_the_step_under_way_with_nothing_lost(make_checkpoint, config, split, tmp_path, number):
    settings = config.updated({"training.stages": [ALIGN, RANK], "training.checkpoint_minutes": 60})

    def run(folder, progress=None):
        checkpoint = make_checkpoint(1, settings)
        run_stages(checkpoint.model, TrainingData(checkpoint.builder, split), settings, tmp_path / folder, progress)
        return trainable(checkpoint.model)

    def send(what, done, total):
        if what.startswith("rank") and done == 3:
            os.kill(os.getpid(), number)

    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    with pytest.raises(KeyboardInterrupt):
        run("stopped", send)
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    said = progress_of(tmp_path / "stopped")
    assert "stage 2, step 3 of 6" in said and "the same command goes on" in said
    steps = []
    resumed = run("stopped", lambda what, done, _: steps.append(done) if what.startswith("rank") else None)
    assert steps == [4, 5, 6] and same(run("whole"), resumed)


@pytest.mark.usefixtures("ctrl_c")
def test_a_long_step_is_given_up(make_checkpoint, config, split, tmp_path, monkeypatch):
    monkeypatch.setattr(interruption, "GRACE_SECONDS", 0.3)
    settings = config.updated({"training.stages": [RANK]})
    checkpoint = make_checkpoint(1, settings)

    def hang(what, done, total):
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(60)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_stages(checkpoint.model, TrainingData(checkpoint.builder, split), settings, tmp_path, hang)
    assert time.monotonic() < began + 30


@pytest.mark.usefixtures("ctrl_c")
def test_a_long_step_is_given_up_though_what_the_first_signal_raised_was_lost(
    make_checkpoint, config, split, tmp_path, monkeypatch
):
    monkeypatch.setattr(interruption, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(interruption, "_AGAIN_SECONDS", 0.3)
    settings = config.updated({"training.stages": [RANK]})
    checkpoint = make_checkpoint(1, settings)

    def hang(what, done, total):
        os.kill(os.getpid(), signal.SIGINT)
        with contextlib.suppress(KeyboardInterrupt):  # as in a finaliser, while garbage is collected
            threading.Event().wait(60)
        threading.Event().wait(60)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_stages(checkpoint.model, TrainingData(checkpoint.builder, split), settings, tmp_path, hang)
    assert time.monotonic() < began + 30


def test_what_was_started_in_the_background_ignores_ctrl_c(ctrl_c, make_checkpoint, config, split, tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = config.updated({"training.stages": [RANK]})
    checkpoint = make_checkpoint(1, settings)
    data = TrainingData(checkpoint.builder, split)
    results = run_stages(checkpoint.model, data, settings, tmp_path, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    assert np.isfinite(results[0].validation)


def test_in_a_thread_signals_are_left_alone(make_checkpoint, config, split, tmp_path):
    settings = config.updated({"training.stages": [RANK]})
    checkpoint, results = make_checkpoint(1, settings), []
    data = TrainingData(checkpoint.builder, split)
    thread = threading.Thread(target=lambda: results.extend(run_stages(checkpoint.model, data, settings, tmp_path)))
    thread.start()
    thread.join()
    assert np.isfinite(results[0].validation)
