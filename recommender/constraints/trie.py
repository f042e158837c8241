"""The trie of item codes as flat arrays of states, so that a beam is advanced by gathers alone. Knows no LLM.

Every unique prefix of codes is a state (STATIC, arXiv 2602.22647). States are numbered level by level in the lexicographic
order of their prefixes, so the children of a state are neighbours, sorted by code: a link and a count replace all
pointers. At the root, where nearly every code exists, that is the dense table of STATIC. Edits write a few states behind
all others; see `edit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from recommender.constraints.masks import DenseMask, Mask, SparseMask, padded
from recommender.constraints.trie_arena import Arena
from recommender.constraints.trie_build import below, build, check, compacted
from recommender.constraints.trie_edit import Node, deleted, inserted

#: With at most this many items denied a prompt, a list of dead states is cheaper than a table of all states.
SPARSE = 4096
#: Items that came since the arrays were built; beyond them they are built anew.
NEWCOMERS = 1 << 16
#: Children that are looked at together.
PIECE = 1 << 20


@dataclass(frozen=True)
class Trie:
    """The states and items of one catalogue.

    A trie never changes: `with_items` and `without_items` return another one, so a search that runs is not disturbed.
    """

    sizes: tuple[int, ...]
    arena: Arena
    fan_outs: tuple[int, ...]
    """Most children of a state of each level; after items have gone it may be more than that."""
    items: int
    """Number of items."""
    root: int = 0
    """The state of the empty prefix."""
    came: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """Codes of the items that were added since the arrays were built."""

    @classmethod
    def from_codes(
        cls,
        codes: np.ndarray,
        sizes: tuple[int, ...],
        device: torch.device | str = "cpu",
        items: np.ndarray | None = None,
    ) -> Trie:
        """Build the trie of `codes` [items, levels]; `sizes` is the number of codes of each level.

        `items` [items]: the item indices that the rows of `codes` stand for, by default their numbers. Raises ValueError
        if a code is out of its level's range or two items share all their codes.
        """
        codes = np.asarray(codes)
        check(codes, sizes)
        return cls._built(tuple(int(size) for size in sizes), build(codes, sizes, items)).to(device)

    @classmethod
    def _built(cls, sizes: tuple[int, ...], arena: Arena) -> Trie:
        inner = zip(arena.starts[:-2], arena.starts[1:-1], strict=True)
        fan_outs = tuple(int(arena.count[first:end].max()) for first, end in inner)
        return cls(sizes, arena, fan_outs, arena.starts[-1] - arena.starts[-2])

    @property
    def starts(self) -> tuple[int, ...]:
        """First state of each level as the trie was built, then the number of states that were built."""
        return self.arena.starts

    @property
    def levels(self) -> int:
        """Number of codes of an item."""
        return len(self.sizes)

    @property
    def states(self) -> int:
        """All states are numbered below this: the root, the inner prefixes and one leaf an item, and what edits left."""
        return self.arena.end

    @property
    def edited(self) -> bool:
        """Whether items came or went since the arrays were built."""
        return self.root != 0

    @property
    def megabytes(self) -> float:
        """Memory that the arrays take, in units of 10^6 bytes."""
        return self.arena.nbytes / 1e6

    @property
    def device(self) -> torch.device:
        """Where the arrays lie."""
        return self.arena.code.device

    def to(self, device: torch.device | str) -> Trie:
        """Return the same trie on another device."""
        return self if self.device == torch.device(device) else replace(self, arena=self.arena.to(device))

    def with_items(self, items: Sequence[int] | np.ndarray, codes: np.ndarray) -> Trie:
        """Return the trie with more items [n] of the codes [n, levels]; what is there already is shared, not copied.

        Raises ValueError for an item or codes that are there already, and as `from_codes` does.
        """
        numbers, codes = np.asarray(items, dtype=np.int64), np.asarray(codes, dtype=np.int64)
        check(codes, self.sizes)
        known = numbers[self._found(numbers)[0]]
        if len(known) or len(np.unique(numbers)) < len(numbers):
            raise ValueError(f"items {known[:5].tolist() or 'twice'} are in the trie already; take them out first")
        order = np.lexsort(codes.T[::-1])
        if len(np.unique(codes, axis=0)) < len(codes):
            raise ValueError("two of the new items share all their codes")
        trie = self._with_room(len(numbers))
        node, widest = inserted(trie.arena, trie._children_of_root(), codes[order], numbers[order])
        came = dict(zip(numbers.tolist(), map(tuple, codes.tolist()), strict=True))
        fan_outs = tuple(map(max, trie.fan_outs, widest))
        return trie._rooted(node, items=self.items + len(numbers), came={**trie.came, **came}, fan_outs=fan_outs)

    def without_items(self, items: Sequence[int] | np.ndarray) -> Trie:
        """Return the trie without some of its items. Raises ValueError for an unknown item, and if none would be left."""
        numbers = np.unique(np.asarray(items, dtype=np.int64))
        here, codes = self._found(numbers)
        unknown = numbers[~here]
        if len(unknown):
            raise ValueError(f"items {unknown[:5].tolist()} are not in the trie")
        if len(numbers) == self.items:
            raise ValueError("these are all items; a trie needs at least one")
        trie = self._with_room(len(numbers))
        node = deleted(trie.arena, trie._children_of_root(), codes[np.lexsort(codes.T[::-1])])
        gone = set(numbers.tolist())
        came = {item: row for item, row in trie.came.items() if item not in gone} if trie.came else {}
        return trie._rooted(node, items=self.items - len(numbers), came=came)

    def _children_of_root(self) -> Node:
        return Node(int(self.arena.link[self.root]), int(self.arena.count[self.root]))

    def _with_room(self, items: int) -> Trie:
        """Return this trie, built anew if so many edits would not fit into its arrays."""
        needed = items * (sum(self.fan_outs[1:]) + 2 * self.levels) + self.fan_outs[0] + 1
        if needed <= self.arena.room and len(self.came) <= NEWCOMERS:
            return self
        trie = self._built(self.sizes, compacted(self.arena, self.root, self.levels))
        return trie if needed <= trie.arena.room else replace(trie, arena=trie.arena.to(trie.device, needed))

    def _rooted(self, node: Node, **changes: object) -> Trie:
        one = [torch.tensor([value], device=self.device) for value in (-1, node.first, node.count)]
        return replace(self, root=self.arena.append(*one), **changes)  # type: ignore[arg-type]

    def alive(self, allowed: Tensor | None) -> Tensor:
        """Which states lead to an allowed item: bool [B, items] -> bool [B, states].

        None allows everything and returns [1, states]. It says nothing of states that other versions of this trie have.
        """
        if allowed is None:
            return torch.ones(1, self.states, dtype=torch.bool, device=self.device)
        alive = allowed.new_zeros(len(allowed), self.states)
        self._enliven(alive, allowed, [slice(*step) for step in zip(self.starts[:-1], self.starts[1:], strict=True)])
        if self.edited:
            self._enliven(alive, allowed, self._written())
        return alive

    def _enliven(self, alive: Tensor, allowed: Tensor, levels: Sequence[slice] | Sequence[Tensor]) -> None:
        """Fill in the states of each level, from the leaves to the root; what is below them elsewhere is filled in."""
        link, count = self.arena.link, self.arena.count
        alive[:, levels[-1]] = allowed[:, link[levels[-1]]]
        for here, next_level in zip(levels[-2::-1], levels[:0:-1], strict=True):
            counts = count[here].long()
            ends = counts.cumsum(0)
            children = next_level if isinstance(next_level, slice) else below(self.arena, torch.as_tensor(here))
            sums = alive.new_zeros((len(alive), int(ends[-1]) + 1 if len(ends) else 1), dtype=torch.int32)
            torch.cumsum(alive[:, children], dim=1, dtype=torch.int32, out=sums[:, 1:])
            alive[:, here] = sums[:, ends] > sums[:, ends - counts]

    def _written(self) -> list[Tensor]:
        """Return the states of each level that edits wrote and that are reached from the root."""
        found = [torch.tensor([self.root], device=self.device)]
        for _ in range(self.levels):
            states = below(self.arena, found[-1])
            found.append(states[states >= self.starts[-1]])
        return found

    def mask(self, allowed: Tensor | None) -> Mask | None:
        """Return the cheapest mask for `allowed` [B, items], bool on any device; None if everything is allowed.

        Few items denied, or few allowed, cost what they number, not what the catalogue does.
        """
        if allowed is None:
            return None
        denied = int((~allowed).sum(1).max())
        if denied == 0 and allowed.shape[1] >= self.items:
            return None
        dead = denied <= SPARSE
        if not dead and int(allowed.sum(1).max()) > SPARSE:
            return DenseMask(self.alive(allowed.to(self.device)))
        rows = [row.nonzero()[:, 0] for row in (~allowed if dead else allowed).to(self.device)]
        paths = [self._paths(row, self.codes_of(row)) for row in rows]
        lists = [self._listed(path[path[:, -1] >= 0], whole=dead) for path in paths]
        return SparseMask(padded(lists, self.states), dead)

    def _listed(self, paths: Tensor, whole: bool) -> Tensor:
        """Return, ascending, the states of `paths` [n, levels + 1]; `whole`: inner ones only if no other leaf is below."""
        found = [paths[:, -1]]
        for level in range(self.levels - 1, -1, -1):
            paths = paths[paths[:, level].argsort()]
            parents, counts = paths[:, level].unique_consecutive(return_counts=True)
            first = counts.cumsum(0) - counts
            kept = counts == self.arena.count[parents] if whole else torch.ones_like(parents, dtype=torch.bool)
            paths = paths[first[kept]]
            found.append(parents[kept])
        return torch.cat(found).sort().values

    def _paths(self, items: Tensor, codes: Tensor) -> Tensor:
        """Return the states [n, levels + 1] from the root to the leaf of each item [n], whose codes are known.

        The last is -1 for an item that is not here.
        """
        path = [torch.full_like(items, self.root)]
        for level in range(self.levels):
            path.append(self._child(path[-1], codes[:, level], level))
        leaf = path[-1]
        path[-1] = torch.where((leaf >= 0) & (self.arena.link[leaf.clamp_min(0)] == items), leaf, -1)
        return torch.stack(path, 1)

    def _found(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return whether each item [n] is here, and its codes [n, levels] if so."""
        asked = torch.from_numpy(items).to(self.device)
        codes = self.codes_of(asked)
        return (self._paths(asked, codes)[:, -1] >= 0).cpu().numpy(), codes.cpu().numpy()

    def codes_of(self, items: Tensor) -> Tensor:
        """Return the codes [n, levels] that items [n] have or had, int64; -1 for those that were never here."""
        position = self.arena.position
        known = (items >= 0) & (items < len(position))
        place = torch.where(known, position[items.clamp(0, len(position) - 1)].long(), -1)
        codes, state = [], place + self.starts[-2]
        for level in range(self.levels - 1, -1, -1):
            codes.append(torch.where(place < 0, -1, self.arena.code[state.clamp_min(0)].long()))
            first, end = self.starts[level], self.starts[level + 1]
            above = torch.searchsorted(self.arena.link[first:end], state.to(torch.int32), right=True)
            state = above - 1 + first
        found = torch.stack(codes[::-1], 1)
        if self.came:
            for row, item in enumerate(items.tolist()):
                if item in self.came:
                    found[row] = torch.tensor(self.came[item], device=found.device)
        return found

    def _child(self, states: Tensor, codes: Tensor, level: int) -> Tensor:
        """Return the child [n] of each of `states` [n] of depth `level` by its code [n]; -1 where there is none."""
        if level == 0:
            first, count = int(self.arena.link[self.root]), int(self.arena.count[self.root])
            known = self.arena.code[first : first + count]
            place = torch.searchsorted(known, codes.to(known.dtype)).clamp_max(count - 1)
            return torch.where(known[place] == codes, first + place, -1)
        found = []
        for part, wanted in zip(
            *(each.split(max(PIECE // self.fan_outs[level], 1)) for each in (states, codes)), strict=True
        ):
            known, following = self.children(part, level)
            found.append(torch.where(known == wanted[:, None], following, -1).amax(1))
        return torch.cat(found)

    def children(self, states: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """What may follow `states` [...] of depth `level` (root: 0): (codes, next states), both int64 [..., C].

        C is the level's largest fan-out. Sorted by code, padded with -1; a state of -1 has no children.
        """
        known = states.clamp_min(0)
        first, count = self.arena.link[known], torch.where(states < 0, 0, self.arena.count[known])
        place = torch.arange(self.fan_outs[level], dtype=first.dtype, device=states.device)
        exists = place < count.unsqueeze(-1)
        following = torch.where(exists, first.unsqueeze(-1) + place, -1).long()
        return torch.where(exists, self.arena.code[following.clamp_min(0)], -1).long(), following

    def item_of(self, leaf_states: Tensor) -> Tensor:
        """Item indices of leaf states [...], int64; -1 for states that are no leaves."""
        known = leaf_states.clamp_min(0)
        leaf = (leaf_states >= 0) & (self.arena.count[known] == 0)
        return torch.where(leaf, self.arena.link[known], -1).long()
