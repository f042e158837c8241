"""The trie of item codes as flat arrays of states, so that a beam is advanced by gathers alone. Knows no LLM.

Every unique prefix of codes is a state (STATIC, arXiv 2602.22647). States are numbered level by level in the lexicographic
order of their prefixes, so the children of a state are neighbours, sorted by code: a link and a count replace all
pointers. At the root, where nearly every code exists, that is the dense table of STATIC. `Trie.from_codes` builds one
(trie_build.py); `with_items` and `without_items` append a few states behind all others (trie_edit.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from recommender.constraints.masks import DenseMask, Mask, SparseMask, pad_lists
from recommender.constraints.trie_build import build_states, check_codes, child_states, rebuild_states
from recommender.constraints.trie_edit import Children, delete_items, insert_items
from recommender.constraints.trie_states import StateTable

#: With at most this many items denied (or allowed) in a prompt, a list of states is cheaper than a table of all states.
SPARSE_LIMIT = 4096
#: Most items that may be added before the states are built anew.
MAX_ADDED = 1 << 16
#: Children that are looked at together.
CHUNK = 1 << 20


@dataclass(frozen=True)
class Trie:
    """The states and items of one catalogue.

    A trie never changes: `with_items` and `without_items` return another one, so a search that runs is not disturbed.
    """

    sizes: tuple[int, ...]
    table: StateTable
    fan_outs: tuple[int, ...]
    """Most children of a state of each level; after items have gone it may be more than that."""
    items: int
    """Number of items."""
    root: int = 0
    """The state of the empty prefix."""
    added_codes: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """Codes of the items that were added since the states were built."""
    edited_root: Children | None = None
    """The children of a root that is not the first state."""

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
        check_codes(codes, sizes)
        return cls._of_table(tuple(int(size) for size in sizes), build_states(codes, sizes, items)).to(device)

    @classmethod
    def _of_table(cls, sizes: tuple[int, ...], table: StateTable) -> Trie:
        """Return the trie of states that were just built."""
        inner_levels = zip(table.starts[:-2], table.starts[1:-1], strict=True)
        fan_outs = tuple(int(table.count[first:end].max()) for first, end in inner_levels)
        return cls(sizes, table, fan_outs, table.starts[-1] - table.starts[-2])

    @property
    def starts(self) -> tuple[int, ...]:
        """First state of each level as the trie was built, then the number of states that were built."""
        return self.table.starts

    @property
    def levels(self) -> int:
        """Number of codes of an item."""
        return len(self.sizes)

    @property
    def states(self) -> int:
        """All states are numbered below this: the root, the inner prefixes and one leaf an item, and what edits left."""
        return self.table.end

    @property
    def edited(self) -> bool:
        """Whether items were added or removed since the states were built."""
        return self.root != 0

    @property
    def megabytes(self) -> float:
        """Memory that the arrays take, in units of 10^6 bytes."""
        return self.table.nbytes / 1e6

    @property
    def device(self) -> torch.device:
        """Where the arrays lie."""
        return self.table.code.device

    def to(self, device: torch.device | str) -> Trie:
        """Return the same trie on another device."""
        return self if self.device == torch.device(device) else replace(self, table=self.table.to(device))

    def with_items(self, items: Sequence[int] | np.ndarray, codes: np.ndarray) -> Trie:
        """Return the trie with more items [n] of the codes [n, levels]; what is there already is shared, not copied.

        Raises ValueError for an item or codes that are there already, and as `from_codes` does.
        """
        numbers, codes = np.asarray(items, dtype=np.int64), np.asarray(codes, dtype=np.int64)
        check_codes(codes, self.sizes)
        known = numbers[self._look_up(numbers)[0]]
        if len(known) or len(np.unique(numbers)) < len(numbers):
            raise ValueError(f"items {known[:5].tolist() or 'twice'} are in the trie already; take them out first")
        order = np.lexsort(codes.T[::-1])
        if len(np.unique(codes, axis=0)) < len(codes):
            raise ValueError("two of the new items share all their codes")
        trie = self._with_room(len(numbers))
        children, widest = insert_items(trie.table, trie._children_of_root(), codes[order], numbers[order])
        return trie._with_root(
            children,
            items=self.items + len(numbers),
            added_codes={**trie.added_codes, **dict(zip(numbers.tolist(), map(tuple, codes.tolist()), strict=True))},
            fan_outs=tuple(map(max, trie.fan_outs, widest)),
        )

    def without_items(self, items: Sequence[int] | np.ndarray) -> Trie:
        """Return the trie without some of its items. Raises ValueError for an unknown item, and if none would be left."""
        numbers = np.unique(np.asarray(items, dtype=np.int64))
        present, codes = self._look_up(numbers)
        unknown = numbers[~present]
        if len(unknown):
            raise ValueError(f"items {unknown[:5].tolist()} are not in the trie")
        if len(numbers) == self.items:
            raise ValueError("these are all items; a trie needs at least one")
        trie = self._with_room(len(numbers))
        children = delete_items(trie.table, trie._children_of_root(), codes[np.lexsort(codes.T[::-1])])
        removed = set(numbers.tolist())
        added_codes = {item: row for item, row in trie.added_codes.items() if item not in removed}
        return trie._with_root(children, items=self.items - len(numbers), added_codes=added_codes)

    def _children_of_root(self) -> Children:
        """What the table says of the root, without asking the device that it lies on."""
        return self.edited_root or Children(self.starts[1], self.starts[2] - self.starts[1])

    def _with_room(self, items: int) -> Trie:
        """Return this trie, its states built anew if edits of so many items would not fit into its table."""
        needed = items * (sum(self.fan_outs[1:]) + 2 * self.levels) + self.fan_outs[0] + 1
        if needed <= self.table.room and len(self.added_codes) <= MAX_ADDED:
            return self
        trie = self._of_table(self.sizes, rebuild_states(self.table, self.root, self.levels))
        return trie if needed <= trie.table.room else replace(trie, table=trie.table.to(trie.device, needed))

    def _with_root(self, children: Children, **changes: object) -> Trie:
        """Return a version of this trie whose new root has these children."""
        row = [torch.tensor([value], device=self.device) for value in (-1, children.first, children.count)]
        return replace(self, root=self.table.append(*row), edited_root=children, **changes)  # type: ignore[arg-type]

    def alive(self, allowed: Tensor | None) -> Tensor:
        """Return which states lead to an allowed item: bool [B, items] -> bool [B, states].

        None allows everything and returns [1, states]. States that only other versions of this trie reach mean nothing.
        """
        if allowed is None:
            return torch.ones(1, self.states, dtype=torch.bool, device=self.device)
        alive = allowed.new_zeros(len(allowed), self.states)
        self._fill_alive(alive, allowed, [slice(*step) for step in zip(self.starts[:-1], self.starts[1:], strict=True)])
        if self.edited:
            self._fill_alive(alive, allowed, self._states_of_edits())
        return alive

    def _fill_alive(self, alive: Tensor, allowed: Tensor, levels: Sequence[slice] | Sequence[Tensor]) -> None:
        """Set `alive` [B, states] at the states of each level, from the leaves to the root.

        Children that are not among `levels` must have been filled in before.
        """
        link, count = self.table.link, self.table.count
        alive[:, levels[-1]] = allowed[:, link[levels[-1]]]
        for states, next_level in zip(levels[-2::-1], levels[:0:-1], strict=True):
            counts = count[states].long()
            ends = counts.cumsum(0)
            children = (
                next_level if isinstance(next_level, slice) else child_states(self.table, torch.as_tensor(states))
            )
            sums = alive.new_zeros((len(alive), int(ends[-1]) + 1 if len(ends) else 1), dtype=torch.int32)
            torch.cumsum(alive[:, children], dim=1, dtype=torch.int32, out=sums[:, 1:])
            alive[:, states] = sums[:, ends] > sums[:, ends - counts]

    def _states_of_edits(self) -> list[Tensor]:
        """Return the states of each level that edits wrote and that are reached from the root."""
        states_by_level = [torch.tensor([self.root], device=self.device)]
        for _ in range(self.levels):
            states = child_states(self.table, states_by_level[-1])
            states_by_level.append(states[states >= self.starts[-1]])
        return states_by_level

    def mask(self, allowed: Tensor | None) -> Mask | None:
        """Return the cheapest mask for `allowed` [B, items], bool on any device; None if everything is allowed.

        With few items denied, or few allowed, the cost grows with their number, not with that of the catalogue.
        """
        if allowed is None:
            return None
        denied = int((~allowed).sum(1).max())
        if denied == 0 and allowed.shape[1] >= self.items:
            return None
        lists_dead = denied <= SPARSE_LIMIT
        if not lists_dead and int(allowed.sum(1).max()) > SPARSE_LIMIT:
            return DenseMask(self.alive(allowed.to(self.device)))
        item_lists = [row.nonzero()[:, 0] for row in (~allowed if lists_dead else allowed).to(self.device)]
        paths = [self._paths(items, self.codes_of(items)) for items in item_lists]
        state_lists = [self._states_on(path[path[:, -1] >= 0], whole=lists_dead) for path in paths]
        return SparseMask(pad_lists(state_lists, self.states), lists_dead)

    def _states_on(self, paths: Tensor, whole: bool) -> Tensor:
        """Return, ascending, the states of `paths` [n, levels + 1]; `whole`: inner ones only if no other leaf is below."""
        states = [paths[:, -1]]
        for level in range(self.levels - 1, -1, -1):
            paths = paths[paths[:, level].argsort()]
            parents, counts = paths[:, level].unique_consecutive(return_counts=True)
            first = counts.cumsum(0) - counts
            listed = counts == self.table.count[parents] if whole else torch.ones_like(parents, dtype=torch.bool)
            paths = paths[first[listed]]
            states.append(parents[listed])
        return torch.cat(states).sort().values

    def _paths(self, items: Tensor, codes: Tensor) -> Tensor:
        """Return the states [n, levels + 1] from the root to the leaf of each item [n], whose codes are known.

        The last is -1 for an item that is not here.
        """
        path = [torch.full_like(items, self.root)]
        for level in range(self.levels):
            path.append(self._child(path[-1], codes[:, level], level))
        leaf = path[-1]
        path[-1] = torch.where((leaf >= 0) & (self.table.link[leaf.clamp_min(0)] == items), leaf, -1)
        return torch.stack(path, 1)

    def _look_up(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return whether each item [n] is in the trie, bool [n], and its codes [n, levels] if so."""
        numbers = torch.from_numpy(items).to(self.device)
        codes = self.codes_of(numbers)
        return (self._paths(numbers, codes)[:, -1] >= 0).cpu().numpy(), codes.cpu().numpy()

    def codes_of(self, items: Tensor) -> Tensor:
        """Return the codes [n, levels] that items [n] have or had, int64; -1 for those that were never here."""
        ranks = self.table.leaf_ranks
        known = (items >= 0) & (items < len(ranks))
        rank = torch.where(known, ranks[items.clamp(0, len(ranks) - 1)].long(), -1)
        columns, state = [], rank + self.starts[-2]
        for level in range(self.levels - 1, -1, -1):
            columns.append(torch.where(rank < 0, -1, self.table.code[state.clamp_min(0)].long()))
            first, end = self.starts[level], self.starts[level + 1]
            parents_until = torch.searchsorted(self.table.link[first:end], state.to(torch.int32), right=True)
            state = parents_until - 1 + first
        codes = torch.stack(columns[::-1], 1)
        if self.added_codes:
            for row, item in enumerate(items.tolist()):
                if item in self.added_codes:
                    codes[row] = torch.tensor(self.added_codes[item], device=codes.device)
        return codes

    def _child(self, states: Tensor, codes: Tensor, level: int) -> Tensor:
        """Return the child [n] of each of `states` [n] of depth `level` by its code [n]; -1 where there is none."""
        if level == 0:
            first, count = astuple(self._children_of_root())
            root_codes = self.table.code[first : first + count]
            place = torch.searchsorted(root_codes, codes.to(root_codes.dtype)).clamp_max(count - 1)
            return torch.where(root_codes[place] == codes, first + place, -1)
        chunk = max(CHUNK // self.fan_outs[level], 1)
        matches = []
        for parents, code in zip(states.split(chunk), codes.split(chunk), strict=True):
            child_codes, following = self.children(parents, level)
            matches.append(torch.where(child_codes == code[:, None], following, -1).amax(1))
        return torch.cat(matches)

    def child_range(self, state: int) -> tuple[int, int]:
        """Return the first child of a state and the state behind its last one; children are neighbours, sorted by code."""
        first = int(self.table.link[state])
        return first, first + int(self.table.count[state])

    def child(self, state: int, code: int) -> int:
        """Return the child of a state by its code, -1 if there is none."""
        first, end = self.child_range(state)
        codes = self.table.code[first:end]
        place = int(torch.searchsorted(codes, code))
        return first + place if place < end - first and int(codes[place]) == code else -1

    def items_with(self, codes: Tensor) -> Tensor:
        """Return the items [n] of codes [n, levels], int64; -1 where no item has them."""
        states = torch.full_like(codes[:, 0], self.root)
        for level in range(self.levels):
            states = self._child(states, codes[:, level], level)
        return self.item_of(states)

    def children(self, states: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Return what may follow `states` [...] of depth `level` (root: 0): (codes, next states), both int64 [..., C].

        C is the level's largest fan-out. Sorted by code, padded with -1; a state of -1 has no children.
        """
        known = states.clamp_min(0)
        first, count = self.table.link[known], torch.where(states < 0, 0, self.table.count[known])
        place = torch.arange(self.fan_outs[level], dtype=first.dtype, device=states.device)
        exists = place < count.unsqueeze(-1)
        following = torch.where(exists, first.unsqueeze(-1) + place, -1).long()
        return torch.where(exists, self.table.code[following.clamp_min(0)], -1).long(), following

    def first_children(self) -> tuple[Tensor, int]:
        """Return the codes [C] int64 that items begin with, ascending, and the state of the first; the others follow it."""
        first, count = astuple(self._children_of_root())
        return self.table.code[first : first + count].long(), first

    def item_of(self, leaf_states: Tensor) -> Tensor:
        """Return the item indices of leaf states [...], int64; -1 for states that are no leaves."""
        known = leaf_states.clamp_min(0)
        leaf = (leaf_states >= 0) & (self.table.count[known] == 0)
        return torch.where(leaf, self.table.link[known], -1).long()
