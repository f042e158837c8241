"""The connector: which blocks are saved, loaded and freed, and that beams get the very keys and values of their prompt."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.vllm_plugin.stub_vllm import stub

BLOCK = 4


@pytest.fixture(scope="module")
def module():
    with stub("partial_block_connector") as imported:
        yield imported


@pytest.fixture
def scheduler(module):
    return module.PartialBlockConnector(config(), "scheduler", None)


def config():
    return SimpleNamespace(cache_config=SimpleNamespace(block_size=BLOCK))


def request(name, tokens, prompt=None, search="s"):
    transfer = None if prompt is None else {"search": search, "prompt": prompt}
    return SimpleNamespace(request_id=name, num_tokens=tokens, kv_transfer_params=transfer)


def step(new=(), cached=(), blocks=None):
    """Return a step: (name, positions computed before it, positions in it) of new and of continued requests."""
    scheduled = [*new, *cached]
    return SimpleNamespace(
        scheduled_new_reqs=[SimpleNamespace(req_id=name, num_computed_tokens=done) for name, done, _ in new],
        scheduled_cached_reqs=SimpleNamespace(
            req_ids=[name for name, _, _ in cached], num_computed_tokens=[done for _, done, _ in cached]
        ),
        num_scheduled_tokens={name: count for name, _, count in scheduled},
        kv_connector_block_state=SimpleNamespace(get_block_ids=lambda name: (blocks or {}).get(name)),
    )


def save_prompt(scheduler, search="s", length=6, block=1):
    """Let a search's first request be computed; returns the plan of that step."""
    prompt = request(f"prompt-{search}", length, length, search)
    assert scheduler.get_num_new_matched_tokens(prompt, 0) == (0, False)
    scheduler.update_state_after_alloc(prompt, None, 0)
    return scheduler.build_connector_meta(
        step([(prompt.request_id, 0, length)], blocks={prompt.request_id: [[0, block, 9]]})
    )


def test_a_prompts_last_block_is_saved_and_loaded_into_its_beams(scheduler, module):
    plan = save_prompt(scheduler)
    assert plan.saves == [module.BlockPlace("s", 1)] and plan.loads == []
    beams = [request(f"beam-{n}", 7, 6) for n in range(2)]
    for beam in beams:
        # the prompt's whole block is in vLLM's cache: 2 of its 6 positions are missing
        assert scheduler.get_num_new_matched_tokens(beam, BLOCK) == (2, False)
        scheduler.update_state_after_alloc(beam, None, 2)
    places = {"beam-0": [[0, 5]], "beam-1": [[0, 6]]}
    plan = scheduler.build_connector_meta(step([("beam-0", 6, 1), ("beam-1", 6, 1)], blocks=places))
    assert plan.loads == [module.BlockPlace("s", 5), module.BlockPlace("s", 6)] and plan.saves == []


@pytest.mark.parametrize(
    ("beam", "computed"),
    [
        (request("other search", 7, 6, "t"), BLOCK),
        (request("no search", 7), BLOCK),
        (request("the prompt again", 6, 6), BLOCK),
        (request("blocks gone", 7, 6), 0),
        (request("all there", 7, 6), 6),
    ],
    ids=lambda value: getattr(value, "request_id", value),
)
def test_nothing_is_loaded_where_nothing_fits(scheduler, beam, computed):
    save_prompt(scheduler)
    assert scheduler.get_num_new_matched_tokens(beam, computed) == (0, False)


def test_a_long_prompt_is_saved_in_the_step_that_completes_it(scheduler, module):
    prompt = request("prompt", 10, 10)
    scheduler.update_state_after_alloc(prompt, None, 0)
    blocks = {"prompt": [[7, 8, 9]]}
    assert scheduler.build_connector_meta(step([("prompt", 0, 6)], blocks=blocks)).saves == []
    assert scheduler.get_num_new_matched_tokens(request("beam", 11, 10), 8) == (0, False)
    plan = scheduler.build_connector_meta(step(cached=[("prompt", 6, 4)], blocks=blocks))
    assert plan.saves == [module.BlockPlace("s", 9)]
    assert scheduler.get_num_new_matched_tokens(request("beam", 11, 10), 8) == (2, False)


def test_a_prompt_of_whole_blocks_has_nothing_to_save(scheduler):
    assert save_prompt(scheduler, length=2 * BLOCK).saves == []


def test_a_request_that_was_cancelled_is_forgotten(scheduler):
    prompt = request("prompt", 6, 6)
    scheduler.update_state_after_alloc(prompt, None, 0)
    assert scheduler.request_finished(prompt, []) == (False, None)
    assert scheduler.build_connector_meta(step([("prompt", 0, 6)], blocks={"prompt": [[0, 1]]})).saves == []


def test_the_oldest_searches_are_dropped(scheduler, module, monkeypatch):
    monkeypatch.setattr(module, "SAVED_SEARCHES", 2)
    plans = [save_prompt(scheduler, search) for search in "abc"]
    assert [plan.dropped for plan in plans] == [[], [], ["a"]]
    assert scheduler.get_num_new_matched_tokens(request("beam", 7, 6, "a"), BLOCK) == (0, False)
    assert scheduler.get_num_new_matched_tokens(request("beam", 7, 6, "b"), BLOCK) == (2, False)


def test_workers_copy_every_layer_and_free_what_is_dropped(module):
    worker = module.PartialBlockConnector(config(), "worker", None)
    caches = {f"layer.{n}": torch.randn(8, 2, BLOCK, 3) for n in range(2)}
    worker.register_kv_caches(caches)
    before = {name: cache.clone() for name, cache in caches.items()}

    def run(**plan):
        worker.metadata = module.CopyPlan(**{n: [module.BlockPlace("s", b) for b in bs] for n, bs in plan.items()})
        worker.start_load_kv(None)
        worker.wait_for_save()

    run(saves=[1])
    for cache in caches.values():
        cache[1] = 0  # the block is given to another request
    run(loads=[5, 6])
    for name, cache in caches.items():
        assert torch.equal(cache[5], before[name][1]) and torch.equal(cache[6], before[name][1])
        assert torch.equal(cache[[0, 2, 3, 4, 7]], before[name][[0, 2, 3, 4, 7]])
    worker.metadata = module.CopyPlan(dropped=["s", "never saved"])
    worker.wait_for_save()
    assert worker.saved_blocks == {}
    assert worker.requires_kv_delivery is False
