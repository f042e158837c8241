"""Where a search spends its time, operator by operator, and what its matrix products alone would need on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from recommender.benchmarks.decode_speed import WARM_BEAMS, WARM_POSITIONS, DecodeSettings, K
from recommender.benchmarks.synthetic import synthetic_checkpoint, synthetic_prompts
from recommender.constraints import Trie
from recommender.inference.beam_search import Search, rank, run_search
from recommender.inference.matrices import matrix
from recommender.inference.weight_cache import WeightCache
from recommender.progress import Progress

#: What an operator does, by its name in torch; every other one is `OTHER`.
PARTS = {
    "layers: matrix products": ("mm", "addmm", "linear", "mkldnn_linear", "_linear_pointwise", "_int_mm"),
    "attention: products, fused kernel": ("bmm", "baddbmm", "_scaled_dot_product_flash_attention_for_cpu"),
    "attention: softmax and merging": ("_softmax", "amax", "logsumexp", "log", "exp", "sigmoid", "masked_fill_", "sum"),
    "norms, activation, rotation, residual": (
        "mul",
        "mul_",
        "add",
        "add_",
        "silu",
        "silu_",
        "rsqrt",
        "pow",
        "mean",
        "roll",
        "addcmul_",
        "linalg_vector_norm",
        "rsqrt_",
    ),
    "copies and conversions": ("copy_", "cat", "index", "clone", "_to_copy", "contiguous"),
    "scores, trie, top-k": ("_log_softmax", "gather", "topk", "where", "searchsorted", "clamp_min", "index_select"),
}
OTHER, OUTSIDE, BARE = (
    "other operators",
    "outside of operators (Python)",
    "the layers' products alone, measured by themselves",
)


def bench_profile(settings: DecodeSettings, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Return rows for each case, phase (prefill, passes) and part: milliseconds and their share of the phase.

    The last row of a phase is the bound: the same products on random matrices, nothing else, with the GFLOP/s reached.
    Raises AssetError or ConfigError if the base model cannot be read.
    """
    s = settings
    checkpoint = synthetic_checkpoint(s.llm, s.layers, s.items, dtype=s.dtype, seed=s.seed, progress=progress)
    model = checkpoint.model
    trie = Trie.from_codes(model.ids.codes, model.ids.sizes, model.device)
    weights = WeightCache(model)
    rank(weights, synthetic_prompts(checkpoint, 1, WARM_POSITIONS, s.seed), trie, K, WARM_BEAMS)
    shapes = _shapes(model.ranking_view())
    dtype = model.llm.get_input_embeddings().weight.dtype
    rows = []
    for number, (length, beam, count) in enumerate(s.cases):
        if progress:
            progress(f"{length} positions, {beam} beams, {count} prompts", number, len(s.cases))
        prompts = synthetic_prompts(checkpoint, count, length, s.seed)
        prefill = _profiled(partial(Search, weights, prompts, None), s.rounds)
        passes = _profiled(partial(_passes, Search(weights, prompts, None), trie, beam), s.rounds)
        steps = trie.levels - 1
        for phase, parts, positions, times in (
            ("prefill", prefill, count * length, 1),
            ("passes", passes, count * beam, steps),
        ):
            case = {"positions": length, "beams": beam, "prompts": count, "phase": phase}
            total = sum(parts.values())
            rows += [
                case | {"part": part, "ms": ms, "share": ms / total, "GFLOP/s": None} for part, ms in parts.items()
            ]
            rows.append(case | _bare(shapes, dtype, positions, times, total, s.rounds))
    return rows


def _passes(search: Search, trie: Trie, beam: int) -> None:
    """All that comes behind the prefill."""
    search.restart()
    run_search(search, trie, None, beam)


@torch.no_grad()
def _profiled(call: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Return the milliseconds of a call by part; the operators' own time on the processor, and what is between them."""
    call()
    seconds = []
    for _ in range(rounds):  # the profiler itself takes time: what a call takes is measured without it
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        call()
    names = {name: part for part, names in PARTS.items() for name in names}
    parts = dict.fromkeys([*PARTS, OTHER], 0.0)
    for event in found.key_averages():
        parts[names.get(event.key.rpartition("::")[2], OTHER)] += event.self_cpu_time_total / 1e3
    parts[OUTSIDE] = max(1e3 * float(np.median(seconds)) - sum(parts.values()), 0.0)
    return parts


def _shapes(backbone: Any) -> list[tuple[int, int]]:
    """Return the matrices [outputs, inputs] of all layers, stacked as the fused layers have them."""
    shapes = []
    for layer in backbone.layers:
        attention, mlp = layer.self_attn, layer.mlp
        groups = [(attention.q_proj, attention.k_proj, attention.v_proj), (attention.o_proj,)]
        groups += [(mlp.gate_proj, mlp.up_proj), (mlp.down_proj,)]
        shapes += [(sum(part.out_features for part in group), group[0].in_features) for group in groups]
    return shapes


def _bare(
    shapes: Sequence[tuple[int, int]], dtype: torch.dtype, positions: int, times: int, total: float, rounds: int
) -> dict[str, Any]:
    weights = {shape: matrix([(torch.randn(shape).to(dtype), None)], int8=False) for shape in set(shapes)}
    inputs = {shape[1]: torch.randn(positions, shape[1]).to(dtype) for shape in set(shapes)}

    def products() -> Tensor:
        for _ in range(times):
            for shape in shapes:
                out = weights[shape](inputs[shape[1]])
        return out

    products()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        products()
        seconds.append(time.perf_counter() - start)
    best = float(np.median(seconds))
    flop = 2 * times * positions * sum(outputs * inputs for outputs, inputs in shapes)
    return {"part": BARE, "ms": 1e3 * best, "share": 1e3 * best / total, "GFLOP/s": flop / best / 1e9}
