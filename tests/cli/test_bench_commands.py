"""Measurements: each command hands over what was typed, and prints rows, settings and the machine."""

import json

import numpy as np
import pytest

from tests.cli.conftest import refused

ROWS = [{"method": "ours", "ms": 12.5}, {"method": "brute force", "ms": 250.0}]


@pytest.fixture
def measured(monkeypatch):
    """Put something that measures nothing in place of a benchmark; returns its arguments."""

    def replaced(function):
        calls = []

        def bench(*arguments):
            calls.append(arguments)
            return ROWS

        monkeypatch.setattr(function, bench)
        return calls

    return replaced


def test_decode(run, measured):
    calls = measured("recommender.benchmarks.decode_speed.bench_decode")
    options = ("--lengths", "64,128", "--beams", "5", "--prompts", "1", "--no-brute", "--rounds", 2, "--layers", 3)
    code, out, _ = run("bench", "decode", *options, "--json", "-q")
    ((settings, _, keep),) = calls
    assert (settings.lengths, settings.beams, settings.rounds, settings.brute) == ((64, 128), (5,), 2, False)
    assert keep is None and settings.limit == float("inf")
    result = json.loads(out)
    assert code == 0 and result["rows"] == ROWS and result["settings"]["layers"] == 3
    assert result["settings"]["limit"] is None and result["settings"]["processor"]


def test_a_table_says_what_was_measured_and_where(run, measured):
    measured("recommender.benchmarks.trie_speed.bench_trie")
    code, out, _ = run("bench", "trie", "--sizes", "10,100", "--rounds", 7, "-q")
    assert code == 0 and "brute force" in out and "250" in out and "rounds 7" in out


def test_profile(run, measured):
    calls = measured("recommender.benchmarks.operator_profile.bench_profile")
    assert run("bench", "profile", "--lengths", "32", "--beams", "4,8", "-q")[0] == 0
    assert calls[0][0].beams == (4, 8) and calls[0][0].lengths == (32,)


def test_agreement(run, measured):
    calls = measured("recommender.benchmarks.number_formats.bench_agreement")
    assert run("bench", "agreement", "--users", 3, "--formats", "int8", "--beams", "2", "-q")[0] == 0
    assert calls[0][:5] == ("movielens-100k", 3, [2], ("int8",), 10)
    refused(run("bench", "agreement", "--formats", "int9", "-q"), "'int9'", "did you mean int8")
    assert len(calls) == 1


def test_train(run, measured):
    calls = measured("recommender.benchmarks.training_speed.bench_train")
    assert run("bench", "train", "movielens-100k", "--examples", 8, "--rounds", 1, "--seed", 5, "-q")[0] == 0
    assert calls[0][:4] == ("movielens-100k", 8, 1, 5)


def test_engines(run, measured):
    calls = measured("recommender.benchmarks.engine_agreement.bench_engines")
    assert run("bench", "engines", "--histories", 9, "--vllm", "--dtype=float32 --x=1", "-q")[0] == 0
    assert calls[0][1].histories == 9 and "--dtype=float32" in repr(calls[0][1]) and calls[0][1].bits == 16
    assert run("bench", "engines", "--bits", 8, "-q")[0] == 0 and calls[1][1].bits == 8


def test_serve(run, measured):
    calls = measured("recommender.benchmarks.server_load.bench_serve")
    assert run("bench", "serve", "--clients", 2, "--seconds", 1, "--engine", "embedded", "-q")[0] == 0
    assert (calls[0][1].clients, calls[0][1].seconds, calls[0][1].engine) == (2, 1.0, "embedded")


def test_replies_measures_an_even_sample_of_users(run, measured, trained):
    calls = measured("recommender.benchmarks.reply_times.bench_replies")
    assert run("bench", "replies", trained, "--users", 4, "--k", 2, "-q")[0] == 0
    engine, histories, k, _ = calls[0]
    assert len(engine.catalogue) == 20 and len(histories) == 4 and k == 2
    assert all(isinstance(items, np.ndarray) and len(items) for items in histories)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [(("trie", "--sizes", "10,many"), "--sizes"), (("decode", "--beams", "0"), "--beams")],
)
def test_lists_that_are_none(run, arguments, option):
    refused(run("bench", *arguments, "-q"), option, "expected whole numbers")


def test_threads_are_set(run, measured, monkeypatch):
    measured("recommender.benchmarks.trie_speed.bench_trie")
    threads = []
    monkeypatch.setattr("torch.set_num_threads", threads.append)
    assert run("bench", "trie", "--sizes", "10", "--threads", 2, "-q")[0] == 0 and threads == [2]


def test_a_page_of_a_measurement_has_its_table_and_its_plots(run, measured, tmp_path):
    measured("recommender.benchmarks.trie_speed.bench_trie")
    path = tmp_path / "speed.html"
    assert run("bench", "trie", "--sizes", "10", "--page", path, "-q")[0] == 0
    page = path.read_text()
    assert "brute force" in page and ">12.5<" in page and page.count("data:image/png") == 1 and "seed 0" in page
    refused(run("bench", "trie", "--sizes", "10", "--page", tmp_path, "-q"), "folder")
