"""Merkle trees over hashes as in RFC 9162: the root of a growing list, and proofs that one entry is in it.

Proofs come from pymerkle, where the whole list is at hand; the frontier keeps the roots of whole subtrees only, so that a
million entries are added in seconds and every signed root is compared on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def _leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the whole subtrees of a growing list, largest first."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def add(self, entry: bytes) -> None:
        """Append an entry."""
        sha256, roots = hashlib.sha256, self._roots
        root, size = sha256(b"\x00" + entry).digest(), self.size
        while size & 1:
            root = sha256(b"\x01" + roots.pop() + root).digest()
            size >>= 1
        roots.append(root)
        self.size += 1

    def to_bytes(self) -> bytes:
        """Return what `from_bytes` goes on from."""
        return self.size.to_bytes(8, "big") + b"".join(self._roots)

    @classmethod
    def from_bytes(cls, kept: bytes) -> Frontier:
        """Return a frontier as it was kept; whether it is one, its root tells."""
        frontier = cls()
        frontier.size = int.from_bytes(kept[:8], "big")
        frontier._roots = [kept[start : start + 32] for start in range(8, len(kept), 32)]
        return frontier

    def root(self) -> bytes:
        """Return the root over all entries so far; that of no entry is the hash of nothing."""
        if not self._roots:
            return hashlib.sha256(b"").digest()
        root = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            root = _node(left, root)
        return root


def inclusion_path(entries: Sequence[bytes], place: int) -> list[bytes]:
    """Return the hashes by which the root follows from one entry, from the leaf up (RFC 9162, 2.1.3.1)."""
    if len(entries) == 1:
        return []
    split = 1 << (len(entries) - 1).bit_length() - 1
    left, right = entries[:split], entries[split:]
    if place < split:
        return [*inclusion_path(left, place), _root(right)]
    return [*inclusion_path(right, place - split), _root(left)]


def _root(entries: Sequence[bytes]) -> bytes:
    frontier = Frontier()
    for entry in entries:
        frontier.add(entry)
    return frontier.root()


def root_by_path(entry: bytes, place: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root over `size` entries that follows from one of them and its path (RFC 9162, 2.1.3.2).

    Raises ValueError for a place outside, or a path of another length.
    """
    if not 0 <= place < size:
        raise ValueError("the entry is not within the list")
    here, last, root = place, size - 1, _leaf(entry)
    for step in path:
        if not last:
            raise ValueError("the path is too long")
        if here & 1 or here == last:
            root = _node(step, root)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            root = _node(root, step)
        here, last = here >> 1, last >> 1
    if last:
        raise ValueError("the path is too short")
    return root
