"""Checks that a base computes a packed row as it computes each example alone, by its own code and its own masks.

What would be lost otherwise is said by name: a state that leaks from one user to the next, a window, sinks, a cap. Each
layer gets the input that it has in the base's own pass, so no rounding adds up and the bound is tight at every depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recommender.model import block_attention
from recommender.model.architecture import WordScores, embedding_scale
from recommender.model.attention_traits import PLAIN, Traits
from recommender.model.block_attention import handing_on, row_arguments
from recommender.prompting.example import Example, unlabelled_example, word_positions
from recommender.prompting.packing import collate

#: positions of the instruction, of the examples behind it, and the longest window that examples exceed
PREFIX, SHORT, LONGEST_WINDOW = 4, 12, 128
#: largest norm of a difference at a position, as a share of what a layer adds and of the sum that it is added to
BOUNDS = {torch.float32: (1e-4, 2e-6), torch.bfloat16: (0.04, 2**-7), torch.float16: (0.02, 2**-9)}
#: share of the positions of an example that may differ where numbers are rounded: another expert may be chosen there
ROUNDED_OTHERWISE = 0.1
_checked: dict[tuple[str, str, str], str | None] = {}


@torch.no_grad()
def difference(llm: Any) -> str | None:
    """Return what of a base would be lost in packed rows, None if nothing is.

    Checked once a process for each architecture: two bases of one config differ in weights only.
    """
    key = type(llm).__name__, llm.config.to_json_string(), str(llm.dtype)
    if key not in _checked:
        try:
            _checked[key] = _difference(llm)
        except Exception as error:  # whatever an architecture does with rows that it was not written for
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
            _checked[key] = f"its layers cannot read packed rows ({type(error).__name__}: {reason})"
    return _checked[key]


def _difference(llm: Any) -> str | None:
    traits = _traits(llm)
    if traits is None or len(traits) != len(llm.model.layers):
        return "its attention is not that of transformers' registry, in which ours stands"
    if wrong := _windows(llm.config, traits) or _embeddings(llm) or _scores(llm):
        return wrong
    windows = [each.window for each in traits if each.window is not None and each.window <= LONGEST_WINDOW]
    long = max([SHORT, *(window + 4 for window in windows)])
    prefix, *examples = _words(llm, (PREFIX, long, SHORT))
    alone = [_own_layers(llm, np.concatenate([prefix, example])) for example in examples]
    # the instruction is the same in both, so a row is the first pass and what the others have behind it
    row = [
        tuple(
            torch.cat([alone[0][n][side], *(other[n][side][len(prefix) :] for other in alone[1:])]) for side in (0, 1)
        )
        for n in range(len(traits))
    ]
    packed = _packed_layers(llm, prefix, examples, [before for before, _ in row])
    for number, ((before, own), ours) in enumerate(zip(row, packed, strict=True)):
        if not _same(ours, own, before, llm.dtype, [len(prefix), *map(len, examples)]):
            return f"layer {number} computes something else for an example of a packed row than for the example alone"
    return None


def _words(llm: Any, lengths: Sequence[int]) -> list[np.ndarray]:
    """Return token ids from the whole vocabulary, of so many positions each."""
    ids = np.linspace(1, llm.get_input_embeddings().weight.shape[0] - 1, sum(lengths)).astype(np.int64)
    # neighbours should not be alike
    return np.split(np.random.default_rng(0).permutation(ids), np.cumsum(lengths)[:-1])


def _traits(llm: Any) -> list[Traits] | None:
    """Return what each layer gives to our attention beside queries, keys and values; None if it is not called in order."""
    found: dict[int, Traits] = {}

    def keep(
        layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, last: bool = False, traits: Traits = PLAIN
    ) -> Tensor:
        found[layer] = traits
        return q.new_zeros(*q.shape[:-1], v.shape[-1])

    ids = torch.ones(1, 2, dtype=torch.long, device=llm.device)
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=llm.device)
    arguments = {"position_ids": ids.cumsum(1) - 1, "attention_mask": mask, "use_cache": False}
    with handing_on({"packed_attention": keep}) as handed:
        llm.model(inputs_embeds=llm.get_input_embeddings()(ids), **arguments, **handed)
    return [found[layer] for layer in sorted(found)] if list(found) == list(range(len(found))) else None


def _windows(config: Any, traits: Sequence[Traits]) -> str | None:
    """Return what is wrong if a base masks by a window that its layers do not tell our attention."""
    kinds = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    if not window or getattr(config, "use_sliding_window", True) is False:
        return None
    for layer, each in enumerate(traits):
        slides = kinds[layer] == "sliding_attention" if kinds else True
        if not slides and each.window is not None:
            return f"layer {layer} tells the attention a window of {each.window} positions that it does not have"
        if slides and each.window is None and int(window) < int(getattr(config, "max_position_embeddings", 0) or 0):
            return f"layer {layer} has a window of {window} positions that it does not tell the attention"
    return None


def _embeddings(llm: Any) -> str | None:
    table = llm.get_input_embeddings()
    ids = torch.arange(min(4, table.weight.shape[0]), device=table.weight.device)
    expected = table.weight[ids].float() * embedding_scale(llm)
    near = torch.allclose(table(ids).float(), expected, rtol=1e-2 if llm.dtype != torch.float32 else 1e-5)
    return None if near else "its embeddings are not rows of its table, nor a known multiple of them"


def _scores(llm: Any) -> str | None:
    ids = torch.arange(1, 4, device=llm.device)[None]
    hidden = llm.model(input_ids=ids, use_cache=False).last_hidden_state
    ours = WordScores.of(llm)(llm.get_output_embeddings()(hidden)).float()
    theirs = llm(input_ids=ids, use_cache=False).logits.float()
    near = torch.allclose(
        ours, theirs, rtol=1e-3, atol=float(theirs.abs().max()) * (1e-5 if llm.dtype == torch.float32 else 0.02)
    )
    return None if near else "its logits are changed behind its head in a way that is not known here"


def _own_layers(llm: Any, tokens: np.ndarray) -> list[tuple[Tensor, Tensor]]:
    """Return the hidden states before and behind each layer for one example, by the base's plainest own attention."""
    ids = torch.from_numpy(tokens)[None].to(llm.device)
    passed = list[tuple[Tensor, Tensor]]()
    with _own_attention(llm), _watched(llm.model.layers, lambda _, before, after: passed.append((before, after))):
        llm.model(input_ids=ids, use_cache=False)
    return passed


def _packed_layers(
    llm: Any, prefix: np.ndarray, examples: Sequence[np.ndarray], inputs: Sequence[Tensor]
) -> list[Tensor]:
    """Return what each layer makes of `inputs` [positions, hidden], laid out as a packed row."""
    rows: list[Example] = [unlabelled_example(word_positions(tokens)) for tokens in examples]
    batch = collate([rows], prefix).to(llm.device)
    passed = list[Tensor]()
    arguments = row_arguments(batch.positions, batch.mask, batch.ends, llm.dtype)
    watched = _watched(llm.model.layers, lambda _, before, after: passed.append(after), inputs)
    with watched, handing_on(arguments):
        llm.model(
            inputs_embeds=llm.get_input_embeddings()(batch.tokens),
            position_ids=batch.positions,
            use_cache=False,
            **arguments,
        )
    return passed


@contextmanager
def _own_attention(llm: Any) -> Iterator[None]:
    """Within the block a base attends by its own written-out code, which knows all that its layers have."""
    llm.set_attn_implementation("eager")
    try:
        yield
    finally:
        llm.set_attn_implementation(block_attention.NAME)


@contextmanager
def _watched(
    layers: Any, tell: Callable[[int, Tensor, Tensor], None], inputs: Sequence[Tensor] | None = None
) -> Iterator[None]:
    """Within the block `tell` gets the hidden states [positions, hidden] before and behind each layer.

    With `inputs` each layer gets those in the place of what the one before it made.
    """

    def give(number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if inputs is None:
            return args, kwargs
        given = inputs[number][None]
        return ((given, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": given})

    def watch(number: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        before = args[0] if args else kwargs["hidden_states"]
        tell(number, before[0], (result[0] if isinstance(result, tuple) else result)[0])

    hooks = []
    for number, layer in enumerate(layers):
        hooks.append(layer.register_forward_pre_hook(lambda _, a, k, n=number: give(n, a, k), with_kwargs=True))
        hooks.append(layer.register_forward_hook(lambda _, a, k, r, n=number: watch(n, a, k, r), with_kwargs=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _same(ours: Tensor, theirs: Tensor, before: Tensor, dtype: torch.dtype, lengths: Sequence[int]) -> bool:
    """Whether two results [positions, hidden] are the same in each part of a row; `before`: what both were added to."""
    ours, theirs, before = ours.float(), theirs.float(), before.float()
    share, rounding = BOUNDS.get(dtype, BOUNDS[torch.bfloat16])
    allowed = share * (theirs - before).norm(dim=-1) + rounding * theirs.norm(dim=-1)
    wrong = ~((ours - theirs).norm(dim=-1) <= allowed)  # NaN is wrong
    most = 0.0 if dtype == torch.float32 else ROUNDED_OTHERWISE
    return all(float(part.float().mean()) <= most for part in wrong.split(list(lengths)))
