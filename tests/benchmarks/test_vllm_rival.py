"""The child process of vLLM's beam search: what it is sent, what its codes mean, and how its end is told.

A stub speaks in the place of vLLM, which needs an environment of its own.
"""

from __future__ import annotations

import json
import stat
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from recommender.benchmarks.measuring import Elapsed
from recommender.benchmarks.vllm_rival import VllmRival
from recommender.errors import RecommenderError
from recommender.model.checkpoint import Checkpoint

ANSWERS = """
import json, sys
notes = open(sys.argv[0] + ".notes", "w")
print(json.dumps(sys.argv[1:]), file=notes, flush=True)
print("{}", flush=True)
for line in sys.stdin:
    print(line, end="", file=notes, flush=True)
    asked = json.loads(line)
    codes = [[[3], [5], [77]] for _ in asked["prompts"]]
    print(json.dumps({"seconds": 1.5, "processor": 1.25, "codes": codes}), flush=True)
"""
FAILS = """
import sys
print("first line", file=sys.stderr)
print("no memory for keys and values", file=sys.stderr)
"""


@pytest.fixture
def stub(tmp_path):
    """Write a stand-in for the Python of an environment with vLLM; returns its path."""

    def make(program: str) -> Path:
        script = tmp_path / "stub.py"
        script.write_text(program)
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
        return python

    return make


@pytest.fixture
def checkpoint(make_checkpoint) -> Checkpoint:
    return make_checkpoint(1)


def test_codes_are_read_as_items_and_the_time_is_that_of_the_child(stub, checkpoint, tmp_path):
    prompt = checkpoint.builder.prompt(np.array([1, 2]))
    with closing(VllmRival(stub(ANSWERS), checkpoint, 8, 64, 2)) as rival:
        assert rival.search([prompt, prompt], beam=3, k=2, free=False) == [[3, 5], [3, 5]]
        assert rival.search([prompt], beam=3, k=3, free=True) == [[3, 5, -1]]  # 77 is no item's code
        assert rival.elapsed == Elapsed(1.5, 1.25)
        ids = rival.layout.ids(prompt, rival.codes).tolist()
    arguments, first, second = map(json.loads, (tmp_path / "stub.py.notes").read_text().splitlines())
    assert arguments[:2] == ["-m", "recommender.vllm_plugin.offline_beam"]
    assert json.loads(arguments[3]) == {"dtype": "float32", "beam": 8, "positions": 64, "prompts": 2}
    assert first == {"prompts": [ids, ids], "beam": 3, "free": False} and second["free"]
    assert not Path(arguments[2]).exists()  # the export is gone with the child


def test_an_end_is_told_with_the_last_line_of_the_log(stub, checkpoint):
    with pytest.raises(RecommenderError, match="vLLM ended: no memory for keys and values") as caught:
        VllmRival(stub(FAILS), checkpoint, 8, 64, 2)
    assert caught.value.hint == "make vllm-env makes its environment"


def test_a_silent_end_says_so(stub, checkpoint):
    with pytest.raises(RecommenderError, match="vLLM ended: it said nothing"):
        VllmRival(stub(""), checkpoint, 8, 64, 2)


def test_a_child_that_is_gone_is_told_at_the_next_search(stub, checkpoint):
    with closing(VllmRival(stub('print("{}", flush=True)'), checkpoint, 8, 64, 2)) as rival:
        rival.process.wait(30)
        with pytest.raises(RecommenderError, match="vLLM ended"):
            rival.search([checkpoint.builder.prompt(np.array([1]))], 2, 2, free=False)


def test_a_python_that_cannot_be_run_is_named(checkpoint, tmp_path):
    with pytest.raises(RecommenderError, match="nowhere cannot be run") as caught:
        VllmRival(tmp_path / "nowhere", checkpoint, 8, 64, 2)
    assert caught.value.hint == "check --vllm-python"
