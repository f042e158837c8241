from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

from recommender.benchmarks.decode_speed import DecodeSettings, bench_decode
from recommender.benchmarks.measuring import measured, peak_megabytes
from recommender.benchmarks.number_formats import FORMATS, bench_agreement
from recommender.benchmarks.operator_profile import BARE, bench_profile
from recommender.benchmarks.reply_times import bench_replies
from recommender.benchmarks.trie_speed import FAN_OUT, clustered_codes
from recommender.cli import app
from recommender.constraints import Trie
from recommender.engine import Recommender
from recommender.errors import DataError


@pytest.mark.parametrize("items", [1, 1000, 20000])
def test_codes_are_unique_and_a_prefix_goes_on_with_few(items):
    codes = clustered_codes(items)
    assert len(np.unique(codes, axis=0)) == items
    assert max(Trie.from_codes(codes, (4096,) * 4).fan_outs[1:]) <= FAN_OUT


def test_the_trie_is_measured_at_each_size():
    result = CliRunner().invoke(app, ["bench", "trie", "--sizes", "100,1000", "--rounds", "1", "--quiet", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [row["items"] for row in report["rows"]] == [100, 1000]
    assert all(row["build s"] > 0 and row["step ms"] > 0 and row["MB"] > 0 for row in report["rows"])
    assert report["settings"]["seed"] == 0 and report["settings"]["threads"] >= 1


@pytest.mark.assets
def test_every_method_ranks_the_same_prompts_as_brute_force_does():
    settings = DecodeSettings(
        layers=2, items=40, dtype="float32", lengths=(48,), beams=(40,), prompts=(2,), rounds=1, budget=0, checked=2
    )
    rows = {row["method"]: row for row in bench_decode(settings)}
    for method in ("ours", "ours, instruction cached", "transformers, vectorised", "brute force"):
        assert rows[method]["top 10"] == 1, method
    assert rows["ours"]["of ours"] == 1 and rows["floor: bare passes"]["top 10"] is None
    assert all(row["seconds"] > 0 and row["rounds"] == 1 for row in rows.values())


def test_a_method_over_its_budget_is_measured_once_and_sleep_is_no_work():
    timings = measured({"slow": lambda: time.sleep(0.05), "quick": lambda: None}, rounds=4, budget=0.04)
    assert (len(timings["slow"].seconds), len(timings["quick"].seconds)) == (1, 4)
    assert timings["slow"].median >= 0.05 > timings["slow"].busy
    assert timings["quick"].median < 0.05


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
beam = int(sys.argv[2])
rank(made.model, synthetic_prompts(made, 1, 16), trie, 10, 2)
prompts = synthetic_prompts(made, 1, 512)
print(peak_megabytes(lambda: rank(WeightCache(made.model), prompts, trie, 1, beam))[1])
"""


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


def test_freed_memory_that_the_allocator_kept_is_counted_when_it_is_used_again():
    small = [torch.ones(20_000) for _ in range(1000)]  # 80 MB in pieces that lie in the allocator's heap
    del small
    _, held = peak_megabytes(lambda: [torch.ones(20_000) for _ in range(500)])
    assert held == pytest.approx(40, rel=0.2)


def test_a_finished_case_is_kept_and_a_long_one_is_told_from_one_prompt(tmp_path, llm_folder):
    settings = DecodeSettings(
        str(llm_folder), 2, 40, "float32", (32,), (4,), (1,), rounds=1, budget=0, checked=1, brute=False, int8=False
    )
    alone = bench_decode(settings, keep=tmp_path / "rows.jsonl")
    both = replace(settings, prompts=(1, 3), limit=0.0)
    assert bench_decode(replace(both, limit=settings.limit, prompts=(1,)), keep=tmp_path / "rows.jsonl") == alone
    rows = {(row["prompts"], row["method"]): row for row in bench_decode(both)}
    assert rows[3, "ours"]["seconds"] == pytest.approx(3 * rows[1, "ours"]["seconds"])
    assert rows[3, "ours"]["rounds"] == 0 and rows[3, "ours"]["top 10"] is None
    assert rows[1, "floor: bare passes"]["of the floor"] == 1


def test_where_the_time_goes(llm_folder):
    settings = DecodeSettings(str(llm_folder), 2, 40, "float32", (32,), (4,), (2,), rounds=1)
    rows = bench_profile(settings)
    for phase in ("prefill", "passes"):
        parts = [row for row in rows if row["phase"] == phase]
        assert sum(row["share"] for row in parts if row["part"] != BARE) == pytest.approx(1)
        assert parts[-1]["part"] == BARE and parts[-1]["GFLOP/s"] > 0
        assert next(row["ms"] for row in parts if row["part"] == "layers: matrix products") > 0


def test_agreement_tells_rounding_from_width(make_checkpoint, config, catalogue, tmp_path, monkeypatch):
    items, events = tmp_path / "items.csv", tmp_path / "events.csv"
    items.write_text("item_id,title\n" + "".join(f"{i.item_id},{i.title}\n" for i in catalogue))
    events.write_text(
        "user_id,item_id,timestamp\n" + "".join(f"u{u},{100 + (u + n) % 20},{n}\n" for u in range(9) for n in range(5))
    )
    settings = config.updated({"data.items": str(items), "data.interactions": str(events)})
    checkpoint = replace(make_checkpoint(3, settings), config=settings)
    monkeypatch.setattr("recommender.benchmarks.number_formats.from_pretrained", lambda *_: checkpoint)
    rows = bench_agreement("-", users=6, beams=[1, 64], formats=FORMATS, k=5)
    found = {(row["format"], row["search"]): row for row in rows}
    assert all(row["users"] == 6 for row in rows) and len(rows) == 9
    assert found["float32", "all items"]["top 5"] == found["float32", "64 beams"]["top 5"] == 1
    assert found["float32", "1 beams"]["top 5"] <= 1 and found["bfloat16", "all items"]["top 5"] > 0.8
    assert found["float32", "all items"]["lost"] == 0 <= found["float32", "1 beams"]["lost"] + 1e-6


def test_numbers_that_are_none_are_named():
    result = CliRunner().invoke(app, ["bench", "trie", "--sizes", "10,many"])
    assert isinstance(result.exception, DataError) and "--sizes '10,many'" in result.exception.message


def test_replies_measures_all_that_is_waited_for(make_checkpoint, histories):
    rows = bench_replies(Recommender(make_checkpoint()), histories[:2], k=3)
    told = {row["what"]: row for row in rows}
    assert set(told) == {
        "list",
        "list with justifications",
        "chat with justifications",
        "why not that one",
        "what if not seen",
    }
    assert all(row["histories"] == 2 and 0 < row["median s"] <= row["slowest s"] for row in rows)
    assert told["list"]["asked at most s"] == 2 and told["list"]["within"] == 2
