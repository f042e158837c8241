"""The route that ranks: its beam search against a search through all items, and what it refuses."""

from __future__ import annotations

import asyncio
import base64
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from recommender.vllm_plugin.served_folder import EXTRA_ARGS_KEY, Allowed, Served, write_served
from recommender.vllm_plugin.soft_tokens import SoftFacts, SoftTokens
from tests.vllm_plugin.stub_vllm import stub

FIRST_CODE, VOCABULARY, FIRST_SOFT = 10, 24, 50
CODES = np.array([[0, 0, 0], [0, 1, 0], [0, 1, 1], [1, 0, 1], [2, 2, 0], [2, 2, 1], [2, 0, 0]])
SIZES = (3, 3, 2)
SERVED = Served(FIRST_CODE, SIZES, CODES)


@pytest.fixture(scope="module")
def module():
    with stub("ranking_route") as imported:
        yield imported


class FakeVllm:
    """Has the logits of a table [vocabulary, vocabulary] for what follows a token; constrains as the trie processor does."""

    def __init__(self, seed=0, connector=True):
        self.table = torch.randn(64, VOCABULARY, generator=torch.Generator().manual_seed(seed))
        self.vllm_config = SimpleNamespace(kv_transfer_config="connector" if connector else None)
        self.requests, self.adapters, self.under_way, self.most = [], set(), 0, 0

    def log_probs(self, tokens, allowed):
        row = self.table[tokens[-1]].clone()
        SERVED.constrain(row, tokens, allowed)
        return row

    async def generate(self, prompt, params, request_id, lora_request=None):
        self.requests.append(params)
        self.adapters.add(lora_request)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        entry = params.extra_args[EXTRA_ARGS_KEY]
        row = self.log_probs(prompt["prompt_token_ids"], Allowed.of(entry, len(CODES)))
        best = row.topk(params.logprobs)
        logprobs = {int(t): SimpleNamespace(logprob=float(p)) for t, p in zip(best.indices, best.values, strict=True)}
        self.under_way -= 1
        yield SimpleNamespace(outputs=[SimpleNamespace(logprobs=[logprobs])])

    def brute_force(self, ids, allowed):
        """Return the score of each allowed item."""
        scores = {}
        for item, codes in enumerate(CODES):
            if item in allowed.deny or (allowed.only is not None and item not in allowed.only):
                continue
            tokens, score = list(ids), 0.0
            for level, code in enumerate(codes):
                token = int(SERVED.level_starts[level]) + int(code)
                score += float(self.log_probs(tokens, allowed)[token])
                tokens.append(token)
            scores[item] = score
        return scores


def search(module, vllm, ids, k, beam, adapter=None, **entry):
    beams = module.BeamSearch(vllm, SERVED, beam, k, adapter)
    return asyncio.run(beams.run(module.BeamPrompt(list(ids), None, entry)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sets(st.integers(0, 6)), st.none() | st.sets(st.integers(0, 6)), st.integers(1, 7))
def test_a_wide_beam_finds_what_a_search_through_all_items_finds(module, seed, deny, only, k):
    vllm, entry = FakeVllm(seed), {"deny": sorted(deny), "only": None if only is None else sorted(only)}
    items, scores = search(module, vllm, [3, 7], k, beam=20, **entry)
    expected = vllm.brute_force([3, 7], Allowed.of(entry, len(CODES)))
    best = sorted(expected, key=lambda item: -expected[item])[:k]
    assert items == best and scores == pytest.approx([expected[item] for item in best], abs=1e-5)


@pytest.mark.parametrize("entry", [{"only": []}, {"deny": list(range(7))}, {"only": [3], "deny": [3]}])
def test_vllm_is_not_asked_where_nothing_may_be_shown(module, entry):
    vllm = FakeVllm()
    assert search(module, vllm, [3, 7], k=5, beam=20, **entry) == ([], []) and vllm.requests == []


@pytest.mark.parametrize("count", range(1, 8))
def test_every_number_of_allowed_items_comes_back_and_dead_beams_are_not_asked_for(module, count):
    vllm, only = FakeVllm(count), sorted(np.random.default_rng(count).choice(7, count, replace=False).tolist())
    items, scores = search(module, vllm, [3, 7], k=10, beam=50, only=only)
    expected = vllm.brute_force([3, 7], Allowed(only=tuple(only)))
    assert sorted(items) == only and scores == pytest.approx([expected[item] for item in items], abs=1e-5)
    prefixes = {tuple(CODES[item][:level]) for item in only for level in range(3)}
    assert len(vllm.requests) == len(prefixes)


def test_a_narrow_beam_is_as_wide_as_the_list(module):
    vllm = FakeVllm()
    items, _ = search(module, vllm, [3], k=5, beam=1)
    assert len(items) == 5 == len(set(items)) and vllm.requests[0].logprobs == 3  # a level has no more codes
    greedy = FakeVllm()
    search(module, greedy, [3], k=1, beam=1)
    assert len(greedy.requests) == 3 and greedy.requests[0].logprobs == 1


def test_every_beam_names_its_search_where_a_connector_shares_blocks(module):
    vllm = FakeVllm()
    search(module, vllm, [3, 7, 5], k=2, beam=4, adapter="rank")
    named = [params.extra_args["kv_transfer_params"] for params in vllm.requests]
    assert len({entry["search"] for entry in named}) == 1 and all(entry["prompt"] == 3 for entry in named)
    assert vllm.adapters == {"rank"}
    without = FakeVllm(connector=False)
    search(module, without, [3, 7, 5], k=2, beam=4)
    assert all("kv_transfer_params" not in params.extra_args for params in without.requests)


@pytest.fixture
def folder(tmp_path):
    write_served(tmp_path, FIRST_CODE, SIZES, CODES)
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


@pytest.fixture
def app(module, folder):
    application, route = FastAPI(), module.RankingRoute()
    route.attach_router(application)
    vllm = FakeVllm()
    asyncio.run(route.init_state(vllm, application.state, SimpleNamespace(model=str(folder))))
    application.state.openai_serving_models = SimpleNamespace(lora_requests={"rank": "the adapter"})
    return application


def test_prompts_of_a_request_are_ranked_each_by_itself(module, app):
    client, vllm = TestClient(app), app.state.recommender_engine
    body = {"prompts": [{"ids": [3, 7]}, {"ids": [5], "deny": [0, 1]}], "k": 3, "model": "rank"}
    rankings = client.post(module.PATH, json=body).json()["rankings"]
    for prompt, ranking in zip(body["prompts"], rankings, strict=True):
        expected = vllm.brute_force(prompt["ids"], Allowed(tuple(prompt.get("deny", ()))))
        assert ranking["items"] == sorted(expected, key=lambda item: -expected[item])[:3]
    assert vllm.adapters == {"the adapter"}


def test_what_may_be_shown_can_be_said_in_bits(module, app):
    bits = base64.b64encode(np.packbits([0, 1, 0, 1, 1, 0, 0])).decode()
    body = {"prompts": [{"ids": [3, 7], "bits": bits}, {"ids": [3, 7], "only": [4, 1, 3]}], "k": 7}
    said, listed = TestClient(app).post(module.PATH, json=body).json()["rankings"]
    assert said == listed and sorted(said["items"]) == [1, 3, 4]


def test_no_more_searches_than_allowed_are_under_way(module, app):
    vllm = app.state.recommender_engine
    app.state.recommender_searches = asyncio.Semaphore(2)
    body = {"prompts": [{"ids": [3]}] * 12, "k": 1, "beam": 1}
    assert len(TestClient(app).post(module.PATH, json=body).json()["rankings"]) == 12
    assert vllm.most == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"prompts": [{"ids": [3], "deny": [7]}]}, 400),
        ({"prompts": [{"ids": [3], "bits": "/w==", "deny": [1]}]}, 400),
        ({"prompts": [{"ids": [3], "bits": "/////w=="}]}, 400),
        ({"prompts": [{"ids": [3], "bits": "?"}]}, 400),
        ({"prompts": [{"ids": [3], "vectors": {"0": {"image": [1.0]}}}]}, 400),
        ({"prompts": [{"ids": [3], "vectors": {"9": {}}}]}, 400),
        ({"prompts": [{"ids": [3]}], "model": "nobody"}, 404),
        ({"prompts": [{"ids": []}]}, 422),
        ({"prompts": []}, 422),
        ({"prompts": [{"ids": [3]}], "k": 0}, 422),
        ({"prompts": [{"ids": [3]}], "beams": 5}, 422),
    ],
)
def test_wrong_requests_are_refused(module, app, body, status):
    assert TestClient(app).post(module.PATH, json=body).status_code == status


def test_the_server_that_writes_does_not_rank(module, tmp_path):
    application, route = FastAPI(), module.RankingRoute()
    route.attach_router(application)
    asyncio.run(route.init_state(FakeVllm(), application.state, SimpleNamespace(model=str(tmp_path))))
    answer = TestClient(application).post(module.PATH, json={"prompts": [{"ids": [3]}]})
    assert answer.status_code == 404 and "writes" in answer.json()["detail"]


def test_soft_tokens_are_described_as_vllm_takes_them(module):
    facts = SoftFacts("LlamaForCausalLM", {"image": 2, "audio": 1}, tokens=2, first=FIRST_SOFT, item_scale=1.0)
    tables = {"image": np.ones((7, 3)), "audio": np.ones((7, 2))}
    inputs = module.SoftTokenInputs(SoftTokens(facts, tables), SERVED)
    assert inputs.of([3, 5], {}) == ([3, 5], None)
    soft_tokens = list(range(FIRST_SOFT, FIRST_SOFT + 4))  # of item 0: two of its image, two of its sound
    spelled_out = SERVED.item_token(1)
    ids, parts = inputs.of([3, *soft_tokens, spelled_out], {1: {"image": [5.0, 6.0]}})
    assert ids == [3, 50, 50, 51, 51, spelled_out]
    assert {kind: [(p.offset, p.length) for p in places] for kind, places in parts["mm_placeholders"].items()} == {
        "image": [(1, 2)],
        "audio": [(3, 2)],
        "item": [(5, 1)],
    }
    assert parts["mm_hashes"]["image"] == ["image-0"] and parts["mm_hashes"]["item"][0].startswith("item-")
    (item_input,) = parts["mm_kwargs"]["item"]
    assert item_input["item_vectors"].data.tolist() == [[5, 6, 1, 1, 1], [1, 1, 1, 1, 1]]
    prompt = module.BeamPrompt(ids, parts, {}).followed_by([12])
    assert prompt["prompt_token_ids"] == [*ids, 12] and prompt["mm_hashes"] == parts["mm_hashes"]
