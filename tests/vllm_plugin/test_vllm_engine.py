"""The vLLM engine against the embedded one, on a real vLLM server: the same lists, the same scores, nothing forbidden."""

import json
import re
import shutil
import sys
import urllib.request
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from recommender.benchmarks.vllm_rival import VllmRival
from recommender.constraints import Trie
from recommender.constraints.text_constraint import TextConstraint
from recommender.encoders.reduction import Reduction
from recommender.encoders.text import TextEncoder
from recommender.engine import Request
from recommender.engine.vllm import VllmRecommender
from recommender.engine.vllm_server import vllm_python
from recommender.errors import ConfigError, DataError, RecommenderError
from recommender.export.vllm_folder import load_exported
from recommender.inference.beam_search import rank
from recommender.inference.weight_cache import WeightCache
from tests.conftest import Engines, wide_checkpoint
from tests.server.http_server import Server
from tests.vllm_environment import vllm_is_missing

ATOMIC = pytest.mark.parametrize("both", [pytest.param(1, id="atomic")], indirect=True)
"""What is written knows no levels: vLLM writes for one of the checkpoints only."""
SWAPS = (("112", "image"), ("107", "audio"), ("101", "image"), ("104", "audio"), ("112", "collaborative"))
"""Of two spelled-out items and two that are one position each."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(1, id="atomic"), pytest.param(3, id="three levels", marks=pytest.mark.slow)],
)
def both(request, engines):
    return engines(request.param)


@pytest.fixture(scope="module")
def exported(both):
    assert both.report.rank_difference < 1e-3 and both.report.write_difference < 1e-3
    return both.exported


@pytest.fixture(scope="module")
def embedded(both):
    return both.embedded


@pytest.fixture(scope="module")
def served(both):
    return both.vllm


def random_requests(count, most=8, **more):
    random = np.random.default_rng(3)
    return [
        Request(history=tuple(str(100 + i) for i in random.integers(0, 20, int(random.integers(0, most)))), **more)
        for _ in range(count)
    ]


def test_both_engines_rank_alike_with_the_same_scores(embedded, served):
    _rank_alike(embedded, served)


@pytest.mark.slow
def test_a_memory_of_transitions_is_in_the_scores_of_both_engines(catalogue, features, tmp_path):
    checkpoint = wide_checkpoint(tmp_path, catalogue, features, 1, remembers=True)
    torch.manual_seed(2)
    with torch.no_grad():  # as after training: not the same for every direction
        checkpoint.model.memory.follow += 0.5 * torch.randn_like(checkpoint.model.memory.follow)
    with closing(Engines(checkpoint, tmp_path / "export", writes=False)) as engines:
        _rank_alike(engines.embedded, engines.vllm)
        _changed_alike(engines.embedded, engines.vllm, features)


def _rank_alike(embedded, served):
    requests = random_requests(60, k=5, explain=False, exclude=("104", "111"))
    alike = 0
    for request, ours, theirs in zip(
        requests, embedded.answer_many(requests), served.answer_many(requests), strict=True
    ):
        mine, other = ({i.item_id: i.score for i in answer.items} for answer in (ours, theirs))
        alike += len(mine.keys() & other.keys())
        assert len(other) == 5 and not other.keys() & {*request.history, "104", "111"}
        for item in mine.keys() & other.keys():
            assert other[item] == pytest.approx(mine[item], abs=1e-3)
    assert alike >= 0.99 * 60 * 5


def test_both_engines_rank_every_number_of_allowed_items_side_by_side(embedded, served):
    counts = [*range(21), 0]
    allowed = torch.zeros(len(counts), 20, dtype=torch.bool)
    for row, count in zip(allowed, counts, strict=True):
        row[torch.from_numpy(np.random.default_rng(count).choice(20, count, replace=False))] = True
    histories = [np.arange(number % 4) for number in range(len(counts))]
    ours, theirs = (engine.rank(histories, 30, allowed) for engine in (embedded, served))
    for mine, other, row in zip(ours, theirs, allowed.numpy(), strict=True):
        assert set(mine.items.tolist()) == set(other.items.tolist()) == set(np.flatnonzero(row).tolist())
        by_item = dict(zip(other.items.tolist(), other.scores.tolist(), strict=True))
        assert [by_item[item] for item in mine.items.tolist()] == pytest.approx(mine.scores.tolist(), abs=1e-3)


def test_a_swapped_picture_changes_both_engines_lists_alike(embedded, served, features):
    """The vectors go to vLLM as they are and are projected there: of a spelled-out item, and of one that is one position.

    Pictures and sounds consist of parts there where ids have one level, and do not where they have three.
    """
    _changed_alike(embedded, served, features)


def _changed_alike(embedded, served, features):
    before = served.answer(Request(history=("101", "104", "107", "112"), k=10, explain=False))
    for item, modality in SWAPS:
        # far from the catalogue's: one of five parts changes an item that is one position by little
        other = {item: {modality: tuple(map(float, 30 * features.vectors[modality][9]))}}
        asked_for = Request(history=("101", "104", "107", "112"), k=10, explain=False, vectors=other)
        ours, theirs = ({i.item_id: i.score for i in e.answer(asked_for).items} for e in (embedded, served))
        assert theirs.keys() == ours.keys()
        assert list(theirs.values()) == pytest.approx(list(ours.values()), abs=1e-3)
        moved = [abs(theirs[i.item_id] - i.score) for i in before.items if i.item_id in theirs]
        assert max(moved) > 5e-3
    after = served.answer(Request(history=("101", "104", "107", "112"), k=10, explain=False))
    assert [i.item_id for i in after.items] == [i.item_id for i in before.items]
    # a prefix that is read from the cache changes the last digits
    assert [i.score for i in after.items] == pytest.approx([i.score for i in before.items], abs=1e-4)


def test_the_ranking_route_refuses_slots_that_are_not_whole_and_vectors_that_fit_none(served):
    prompt = served._ids(served.builder.prompt([3, 7]))
    url = f"{served.rank_url}/v1/recommender/rank"
    first = served.exported.layout.first_soft
    for broken in (
        {"ids": [*prompt, first + 10**6]},
        {"ids": prompt, "vectors": {"7": {"image": [0.0]}}},
        {"ids": prompt, "vectors": {"7": {"text": [0.0] * 8}}},
        {"ids": prompt, "vectors": {"99": {"image": [0.0] * 6}}},
    ):
        with pytest.raises(Exception, match="400"):
            served._post(url, {"prompts": [broken], "k": 5})
    assert served.recommend(["103"], k=3, explain=False)


def test_both_engines_score_given_items_alike(embedded, served):
    histories = [np.array([3, 7, 12]), np.array([1]), np.array([], dtype=np.int64)]
    ours, theirs = (engine.score(histories, [4, 0, 19, 4]) for engine in (embedded, served))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_both_engines_score_a_query_alike(embedded, served, text_folder, monkeypatch):
    encoder = TextEncoder(str(text_folder))
    raw = encoder.encode([embedded.catalogue.document(item) for item in range(len(embedded.catalogue))])
    reductions = {"text": Reduction.fit(raw, 8, encoder.identity)}
    queried, plain = (Request(history=("103", "107"), k=10, explain=False, query=w) for w in ("a red comedy", None))
    answers = []
    for engine in (embedded, served):
        monkeypatch.setattr(engine.setup, "config", engine.config.updated({"encoders.text": str(text_folder)}))
        monkeypatch.setattr(engine.setup, "features", replace(engine.features, reductions=reductions))
        answers.append({i.item_id: i.score for i in engine.answer(queried).items})
        assert answers[-1].keys() != {i.item_id for i in engine.answer(plain).items}
    ours, theirs = answers
    assert theirs == pytest.approx(ours, abs=1e-3)


def check_that_lists_are_alike(served, embedded, constraint):
    lines = [list(engine.write_list("what next", constraint)) for engine in (served, embedded)]
    for theirs, ours in zip(*lines, strict=True):
        # a model that never ends is cut off, in one engine within a name and in the other before it
        assert ours[: len(theirs)] == theirs[: len(ours)]
    for written in lines:
        assert [line.split('"')[1] for line in written] == list(constraint.items)


@ATOMIC
def test_both_engines_write_alike(embedded, served):
    messages = ["red film", "what next"]
    assert embedded.write(messages) == served.write(messages)
    names = [["The red story"], ["The blue night", "The red day"]]
    assert embedded.write(messages, names) == served.write(messages, names)
    constraint = TextConstraint(("The red story",), ("The blue night", "The red day"))
    check_that_lists_are_alike(served, embedded, constraint)
    answer = served.answer(Request(history=("103", "107"), k=3))
    assert all(item.justification and item.evidence["claims"] for item in answer.items)


def test_both_engines_refuse_alike_and_give_what_there_is(served):
    with pytest.raises(DataError, match="'no'"):
        served.answer(Request(history=("no",)))
    assert len(served.answer(Request(k=21, explain=False)).items) == 20
    assert served.answer(Request(only=())).items == ()


def test_a_version_is_loaded_and_unloaded_under_its_own_name(both, exported, served, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(exported / "lora" / "rank", other)
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "adapter_model.safetensors")
    save_file({n: -w if "lora_B" in n else w for n, w in weights.items()}, other / "adapter_model.safetensors")
    prompt = served.builder.prompt([3, 7])
    body = {"prompts": [{"ids": served._ids(prompt), "deny": [3, 7]}], "k": 5, "beam": 50}
    url = f"{served.rank_url}/v1/recommender/rank"
    before = served._post(url, body | {"model": "rank"})
    served.load_adapter("rank-2", other)
    changed = served._post(url, body | {"model": "rank-2"})
    again = served._post(url, body | {"model": "rank"})
    (first,), (second,), (other_one,) = (answer["rankings"] for answer in (before, again, changed))
    assert second["items"] == first["items"] and second["scores"] == pytest.approx(first["scores"], abs=1e-4)
    assert other_one["scores"] != pytest.approx(first["scores"], abs=1e-2)
    assert served.adapters() == ("rank-2",)
    server = Server(served)
    try:
        asked_for = {"history": ["103", "107"], "k": 5, "explain": False}
        names = [card["id"] for card in json.loads(server.get("/v1/models")[2])["data"]]
        assert names == ["tiny", "tiny:rank-2"]
        plain, version = (json.loads(server.post("/v1/recommendations", asked_for | {"model": n})[2]) for n in names)
        assert version["model"] == "tiny:rank-2"
        for answer, expected in ((plain, before), (version, changed)):
            scores = [item["score"] for item in answer["items"]]
            assert scores == pytest.approx(expected["rankings"][0]["scores"], abs=1e-4)
        if both.writes:
            chat = {"messages": [{"role": "user", "content": "a comedy"}], "model": "tiny:rank-2", "k": 2}
            assert json.loads(server.post("/v1/chat/completions", chat)[2])["model"] == "tiny:rank-2"
        assert server.post("/v1/recommendations", asked_for | {"model": "tiny:rank-3"})[0] == 404
    finally:
        server.close()
    served.unload_adapter("rank-2")
    with pytest.raises(Exception, match="404"):
        served._post(url, body | {"model": "rank-2"})


@pytest.mark.slow
@pytest.mark.parametrize("both", [pytest.param(1, id="atomic"), pytest.param(3, id="three levels")], indirect=True)
def test_its_own_beam_search_finds_what_ours_does_and_a_free_one_answers_too(both):
    if reason := vllm_is_missing():
        pytest.skip(f"vLLM cannot be run here: {reason}")
    checkpoint = both.checkpoint
    prompts = [checkpoint.builder.prompt([3, 7, 12]), checkpoint.builder.prompt([1])]
    model = checkpoint.model
    ours = rank(WeightCache(model), prompts, Trie.from_codes(model.ids.codes, model.ids.sizes), k=5, beam=20)
    with closing(VllmRival(vllm_python(), checkpoint, beam=20, positions=256, prompts=2)) as rival:
        theirs = rival.search(prompts, 20, 5, free=False)
        assert [set(items) for items in theirs] == [set(ranking.items.tolist()) for ranking in ours]
        assert rival.elapsed.seconds > 0
        assert [len(items) for items in rival.search(prompts, 20, 5, free=True)] == [5, 5]


def test_a_python_without_vllm_is_named(both):
    checkpoint = both.checkpoint
    with pytest.raises(RecommenderError, match="no-such-python"):
        VllmRival("no-such-python", checkpoint, beam=2, positions=16, prompts=1)
    with pytest.raises(RecommenderError, match="No module named 'vllm'"):
        VllmRival(sys.executable, checkpoint, beam=2, positions=16, prompts=1)


def test_lists_that_must_be_proven_are_not_asked_of_vllm(exported, catalogue):
    opened = load_exported(exported, catalogue)
    exact = replace(opened, config=opened.config.updated({"decoding.exact": True}))
    with pytest.raises(ConfigError, match="decoding.exact"):
        VllmRecommender(exact)


def counted(url, name):
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        values = re.findall(rf"^vllm:{name}_total\{{.*\}} (\S+)$", answer.read().decode(), re.M)
    return sum(map(float, values))


def test_beams_compute_their_own_codes_only(both, served):
    """What lies behind a prompt's last whole block is computed once, and copied to the beams that go on from there."""
    names = ("prompt_tokens", "prompt_tokens_cached")
    prompts = [served._ids(served.builder.prompt(history)) for history in ([3, 7, 12], [5], [8, 2, 9, 11])]
    url = f"{served.rank_url}/v1/recommender/rank"
    before = [counted(served.rank_url, name) for name in names]
    served._post(url, {"prompts": [{"ids": ids} for ids in prompts], "k": 5, "beam": 20, "model": "rank"})
    computed, cached = (counted(served.rank_url, name) - then for name, then in zip(names, before, strict=True))
    levels = both.checkpoint.model.ids.codes.shape[1]
    beams = sum(20 * level for level in range(1, levels))
    assert computed - cached <= sum(map(len, prompts)) + len(prompts) * beams
