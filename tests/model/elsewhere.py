"""Tensors that lie on a device which this machine need not have: computed on the CPU, and refused beside others.

`Elsewhere` says that it is on `lazy`. Within `another_device` it moves to the CPU and back as between two devices, and what
computes with tensors of both raises, as it would on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

#: of no backend that this torch has, so nothing is looked for
DEVICE = torch.device("lazy", 0)
_MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Elsewhere(Tensor):
    """A tensor on the other device; `held` is what it holds, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=DEVICE
        )
        made.held = held
        return made

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def tolist(self) -> Any:
        return self.held.tolist()

    def __repr__(self, **options: Any) -> str:
        return f"Elsewhere({self.held})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(function, args, kwargs or {})


def _computed(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [isinstance(tensor, Elsewhere) for tensor in tensors]
    asked = kwargs.get("device")
    here_args = tree_map(lambda leaf: leaf.held if isinstance(leaf, Elsewhere) else leaf, args)
    here_kwargs = tree_map(lambda leaf: leaf.held if isinstance(leaf, Elsewhere) else leaf, kwargs)
    if asked is not None:
        here_kwargs["device"] = torch.device("cpu")
    moves = function in _MOVES
    if any(there) and not all(there) and not moves:  # numbers may be anywhere, as in torch
        strange = [t for t, far in zip(tensors, there, strict=True) if far is not there[0] and t.dim()]
        if strange and tensors[0].dim():
            raise RuntimeError(f"{function}: tensors of two devices")
    made = function(*here_args, **here_kwargs)
    goes = torch.device(asked).type == DEVICE.type if asked is not None else bool(there) and there[0]
    if not goes:
        return args[0] if function is _MOVES[1] else made
    if isinstance(made, Tensor) and made is getattr(tensors[0] if tensors else None, "held", None):
        return tensors[0]  # changed in place
    wrapped = tree_map(lambda leaf: Elsewhere(leaf) if isinstance(leaf, Tensor) else leaf, made)
    return return_and_correct_aliasing(function, args, kwargs, wrapped) if any(there) and not moves else wrapped


class _Moving(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(function, args, kwargs or {})


@contextmanager
def another_device() -> Iterator[None]:
    """Within the block tensors may be made on the other device, and moved to it and back."""
    with _Moving():
        yield
