"""Timing and memory: rounds in turn, budgets, peaks, and what a figure depends on."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from recommender.benchmarks import measuring
from recommender.benchmarks.measuring import Elapsed, Timing, machine, measured, median_seconds, peak_megabytes, timed


def test_a_timing_tells_median_and_half_the_range_between_the_quartiles():
    timing = Timing((1.0, 2.0, 3.0, 4.0, 10.0), (1.0, 1.0, 5.0), None)
    assert (timing.median, timing.busy) == (3.0, 1.0)
    assert timing.spread == pytest.approx((4.0 - 2.0) / 2 / 3.0)


def test_methods_take_turns():
    calls = []
    measured({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b", "a", "b", "a", "b"]  # once for the memory, then in turn


def test_a_method_over_its_budget_is_measured_once_and_sleep_is_no_work():
    timings = measured({"slow": lambda: time.sleep(0.05), "quick": lambda: None}, rounds=4, budget=0.04)
    assert (len(timings["slow"].seconds), len(timings["quick"].seconds)) == (1, 4)
    assert timings["slow"].median >= 0.05 > timings["slow"].busy
    assert timings["quick"].median < 0.05


def test_a_method_that_measures_itself_is_taken_at_its_word():
    assert timed(lambda: Elapsed(3.0, 2.0)) == Elapsed(3.0, 2.0)
    timings = measured({"child": lambda: Elapsed(3.0, 2.0)}, rounds=3)
    assert timings["child"].seconds == (3.0, 3.0, 3.0) and timings["child"].busy == 2.0


def test_a_plain_result_is_timed_by_the_clock_and_the_processor():
    elapsed = timed(lambda: time.sleep(0.03))
    assert elapsed.seconds >= 0.03 > elapsed.processor >= 0


def test_the_median_of_calls_is_that_of_their_seconds():
    seconds = iter([0.5, 9.0, 0.1])
    assert median_seconds(lambda: Elapsed(next(seconds), 0.0), rounds=3) == 0.5


def test_freed_memory_that_the_allocator_kept_is_counted_when_it_is_used_again():
    small = [torch.ones(20_000) for _ in range(1000)]  # 80 MB in pieces that lie in the allocator's heap
    del small
    _, held = peak_megabytes(lambda: [torch.ones(20_000) for _ in range(500)])
    assert held == pytest.approx(40, rel=0.2)


def test_the_result_of_a_call_comes_with_its_peak():
    result, megabytes = peak_megabytes(lambda: np.ones(5_000_000).sum())
    assert result == 5_000_000 and 35 < megabytes < 60


def test_where_the_system_does_not_tell_there_is_no_peak(monkeypatch, tmp_path):
    monkeypatch.setattr(measuring, "_CLEAR_REFS", tmp_path / "nowhere" / "clear_refs")
    assert peak_megabytes(lambda: "result") == ("result", None)


def test_the_machine_is_named_with_its_versions(monkeypatch, tmp_path):
    facts = machine()
    assert set(measuring.PACKAGES) < set(facts) and facts["threads"] >= 1 and facts["processor"]
    assert facts["torch"] == torch.__version__.split("+")[0] or facts["torch"].startswith(torch.__version__[:3])


MEMORY = """
import sys, torch
from recommender.benchmarks.measuring import peak_megabytes
from recommender.benchmarks.synthetic import synthetic_checkpoint, synthetic_prompts
from recommender.inference.beam_search import rank
from recommender.inference.weight_cache import WeightCache
from recommender.constraints import Trie
torch.set_num_threads(1)
made = synthetic_checkpoint(sys.argv[1], items=500)
trie = Trie.from_codes(made.model.ids.codes, made.model.ids.sizes)
beam, weights = int(sys.argv[2]), WeightCache(made.model)
rank(weights, synthetic_prompts(made, 1, 16), trie, 10, 2)
prompts = synthetic_prompts(made, 1, 512)
print(min(peak_megabytes(lambda: rank(weights, prompts, trie, 1, beam))[1] for _ in range(3)))
"""


@pytest.mark.slow
def test_fifty_beams_hold_hardly_more_than_one(llm_folder, tmp_path):
    AutoTokenizer.from_pretrained(llm_folder).save_pretrained(tmp_path)
    sizes = {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "vocab_size": 256}
    heads = {"num_attention_heads": 6, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2}
    LlamaForCausalLM(LlamaConfig(**sizes, **heads)).save_pretrained(tmp_path)
    held = {}
    for beam in (1, 50):
        child = [sys.executable, "-c", MEMORY, str(tmp_path), str(beam)]
        held[beam] = float(subprocess.run(child, capture_output=True, text=True, check=True).stdout)
    assert held[1] > 5  # megabytes: what a prompt's cache and layers need at least
    assert held[50] <= 1.2 * held[1]
