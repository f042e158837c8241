"""The time of a search by kind of operator, beside the time of its matrix products alone on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from recommender.benchmarks.decode_speed import WARM_BEAMS, WARM_POSITIONS, DecodeSettings, K
from recommender.benchmarks.measuring import median_seconds
from recommender.benchmarks.synthetic import full_trie, synthetic_checkpoint, synthetic_prompts
from recommender.constraints import Trie
from recommender.inference.beam_search import Search, rank, run_search
from recommender.inference.matrices import matrix
from recommender.inference.weight_cache import WeightCache
from recommender.progress import Progress

#: Part of the work -> names of its operators in torch; all other operators are `OTHER`.
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
    """Return a row for each case, phase (prefill, passes) and part: milliseconds and their share of the phase.

    The last row of a phase is its lower bound: the same products on random matrices alone, with the GFLOP/s reached.
    Raises AssetError or ConfigError if the base model cannot be read.
    """
    s = settings
    checkpoint = synthetic_checkpoint(s.llm, s.layers, s.items, dtype=s.dtype, seed=s.seed, progress=progress)
    model = checkpoint.model
    trie = full_trie(model)
    weights = WeightCache(model)
    rank(weights, synthetic_prompts(checkpoint, 1, WARM_POSITIONS, s.seed), trie, K, WARM_BEAMS)
    shapes = _matrix_shapes(model.ranking_view())
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
            rows.append(case | _bare_products(shapes, dtype, positions, times, total, s.rounds))
    return rows


def _passes(search: Search, trie: Trie, beam: int) -> None:
    """Run all passes after the prefill."""
    search.restart()
    run_search(search, trie, None, beam)


@torch.no_grad()
def _profiled(call: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Return part -> milliseconds of a call: the operators' own time on the processor, and the time outside of them."""
    call()
    seconds = median_seconds(call, rounds)  # without the profiler, which takes time itself
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        call()
    names = {name: part for part, names in PARTS.items() for name in names}
    parts = dict.fromkeys([*PARTS, OTHER], 0.0)
    for event in profiled.key_averages():
        parts[names.get(event.key.rpartition("::")[2], OTHER)] += event.self_cpu_time_total / 1e3
    parts[OUTSIDE] = max(1e3 * seconds - sum(parts.values()), 0.0)
    return parts


def _matrix_shapes(backbone: Any) -> list[tuple[int, int]]:
    """Return the shapes [outputs, inputs] of the matrices of all layers, stacked as in the fused layers."""
    shapes = []
    for layer in backbone.layers:
        attention, mlp = layer.self_attn, layer.mlp
        groups = [(attention.q_proj, attention.k_proj, attention.v_proj), (attention.o_proj,)]
        groups += [(mlp.gate_proj, mlp.up_proj), (mlp.down_proj,)]
        shapes += [(sum(part.out_features for part in group), group[0].in_features) for group in groups]
    return shapes


def _bare_products(
    shapes: Sequence[tuple[int, int]], dtype: torch.dtype, positions: int, times: int, total: float, rounds: int
) -> dict[str, Any]:
    """Return the row of `times` products of `positions` rows with all matrices; `total`: milliseconds of the phase."""
    weights = {shape: matrix([(torch.randn(shape).to(dtype), None)]) for shape in set(shapes)}
    inputs = {shape[1]: torch.randn(positions, shape[1]).to(dtype) for shape in set(shapes)}

    def products() -> Tensor:
        for _ in range(times):
            for shape in shapes:
                out = weights[shape](inputs[shape[1]])
        return out

    products()
    seconds = median_seconds(products, rounds)
    flop = 2 * times * positions * sum(outputs * width for outputs, width in shapes)
    return {"part": BARE, "ms": 1e3 * seconds, "share": 1e3 * seconds / total, "GFLOP/s": flop / seconds / 1e9}
