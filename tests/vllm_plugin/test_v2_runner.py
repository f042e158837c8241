"""vLLM's V2 runner, which serves on a GPU: on a CPU through Triton's interpreter, the same lists, scores and texts."""

from pathlib import Path

import pytest

from recommender.constraints.text_constraint import TextConstraint
from recommender.engine import Request
from recommender.engine.vllm import VllmRecommender
from recommender.engine.vllm_server import PYTHON, vllm_python
from recommender.export.vllm_folder import load_exported
from tests.vllm_plugin.test_vllm_engine import check_that_lists_are_alike

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(engines):
    return engines(3)


@pytest.fixture(scope="module")
def second(both, vllm_environment, tmp_path_factory):
    """The engine with servers that run V2."""
    python = tmp_path_factory.mktemp("v2") / "python"
    path = Path(__file__).parent / "triton_interpreted"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={path} VLLM_USE_V2_MODEL_RUNNER=1 exec {vllm_python()} "$@"\n')
    python.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PYTHON, str(python))
        engine = VllmRecommender(load_exported(both.exported, both.checkpoint.catalogue))
    yield engine
    engine.close()


def test_the_servers_run_v2(second):
    for server in second.started:
        assert "Using V2 Model Runner" in server.log.read_text()


def test_v2_ranks_as_the_embedded_engine_does(both, second, features):
    other = {"112": {"image": tuple(map(float, 2 * features.vectors["image"][9]))}}
    for request in (
        Request(history=("101", "104", "112"), k=6, explain=False),
        Request(history=("101", "104", "112"), k=6, explain=False, vectors=other),
        Request(k=6, explain=False, exclude=("104", "111")),
    ):
        ours, theirs = ({i.item_id: i.score for i in e.answer(request).items} for e in (both.embedded, second))
        assert theirs.keys() == ours.keys()
        assert list(theirs.values()) == pytest.approx(list(ours.values()), abs=1e-3)


def test_v2_holds_texts_to_names(both, second):
    constraint = TextConstraint(("The red story",), ("The blue night", "The red day"))
    check_that_lists_are_alike(second, both.embedded, constraint)
