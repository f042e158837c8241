"""What a checkpoint was trained on, without holding it: a digest of all interactions, and a sketch of those learned from.

No user's data may lie in a checkpoint. The digest tells one table from another and gives nothing back. Where the table is
still at hand and has that digest, what was learned is read there, exactly. Where it is not, there is the sketch: a Bloom
filter over keyed hashes of (user, item). One pair in eight that it never saw looks as if it were in it, so that it says
nothing certain of any single interaction (a user of 100 films among 1,700 has 200 false ones), but of a hundred targets
it says at once whether they were learned. It takes half a byte an interaction. See Bloom, "Space/time trade-offs in hash
coding with allowable errors", CACM 1970; Bianchi et al., "'Better than nothing' privacy with Bloom filters", 2012.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.errors import CheckpointError
from recommender.numerics.drift import ItemBins

T = TypeVar("T")
TRAINED_ON = "trained_on.safetensors"
FALSE_POSITIVES = 1 / 8
_HASHES = 3
_BITS_A_PAIR = -math.log(FALSE_POSITIVES) / math.log(2) ** 2
#: items before a learned one by which it is known without the user's name
WINDOW = 2
#: chance with which unseen targets may look seen by accident
_ACCIDENT = 1e-4


@dataclass(frozen=True)
class TrainedOn:
    """The digest of all interactions that were read, kept-out ones too, and sketches of what was learned."""

    digest: str
    sketch: np.ndarray
    """uint8 [bytes]: the bits of the filter of (user, item)."""
    windows: np.ndarray | None = None
    """uint8 [bytes]: the bits of the filter of (items before, item); None of an older checkpoint."""
    chance: float = 0.0
    """The share of items that follow the items before them in another user's history, too."""
    earlier: TrainedOn | None = None
    """What the adapter that the training began from was trained on."""
    bins: np.ndarray | None = None
    """uint8 [items]: in which tenth of all learned interactions an item stands, by how often it does, from 1; 0: in none."""
    shares: np.ndarray | None = None
    """float64 [tenths + 1]: the share of interactions in each, as `ItemBins` has them. No count is kept."""

    @classmethod
    def of(
        cls,
        histories: Histories,
        learned: Sequence[np.ndarray],
        catalogue: Catalogue,
        earlier: TrainedOn | None = None,
    ) -> TrainedOn:
        """Describe what was read; `learned`: for each user of `histories` the items [n] that training saw."""
        digest, item_ids = digest_of(histories, catalogue), catalogue.item_ids
        named = [[item_ids[item] for item in items] for items in learned]
        pairs = [(user, item) for user, items in zip(histories.user_ids, named, strict=True) for item in items]
        runs = [run for items in named for run in runs_of(items, WINDOW)]
        chance = chance_of_runs(named, WINDOW)
        found = ItemBins.of(Counter(item for items in named for item in items))
        bins = np.array([found.place.get(item_id, -1) + 1 for item_id in item_ids], np.uint8)
        return cls(digest, _filter(pairs, digest), _filter(runs, digest), chance, earlier, bins, found.shares)

    def item_bins(self, item_ids: Sequence[str]) -> ItemBins | None:
        """Return how often items were learned, coarsely, given their ids; None of an older checkpoint."""
        if self.bins is None or self.shares is None or len(self.bins) != len(item_ids):
            return None
        places = zip(item_ids, self.bins.tolist(), strict=True)
        return ItemBins({item_id: place - 1 for item_id, place in places if place}, self.shares)

    def reordered(self, order: np.ndarray) -> TrainedOn:
        """Return the same for a catalogue with new items; `order`: as in `Companions.reordered`."""
        if self.bins is None:
            return self
        new = max(len(order) - len(self.bins), 0)
        return replace(self, bins=np.concatenate([self.bins, np.zeros(new, np.uint8)])[order])

    def count_seen(self, pairs: Sequence[tuple[str, str]]) -> tuple[int, float]:
        """Return how many (user id, item id) pairs look learned, and the share of unseen ones that would."""
        found, share = _look_up(self.sketch, pairs, self.digest)
        return int(found.sum()), share

    def too_many_seen(
        self, pairs: Sequence[tuple[str, str]], runs: Sequence[tuple[str, ...]] | None = None
    ) -> int | None:
        """Return how many targets were learned, about, if that is more than accident; else None.

        `pairs`: (user id, item id) of each target; `runs`: its item id after the ids of up to `WINDOW` items before it.
        """
        found, share = _look_up(self.sketch, pairs, self.digest)
        counts = [excess(int(found.sum()), len(pairs), share)]
        if self.windows is not None and runs is not None:
            followed, by_accident = _look_up(self.windows, runs, self.digest)
            whole = np.array([len(run) > WINDOW for run in runs], dtype=bool)
            followed, by_accident = followed & whole, by_accident + (1 - by_accident) * self.chance
            counts.append(excess(int(followed.sum()), int(whole.sum()), by_accident))
            counts.append(excess(int((found & followed).sum()), int(whole.sum()), share * by_accident))
            counts.append(self._reordered(runs))
        return max((count for count in counts if count is not None), default=None)

    def _reordered(self, runs: Sequence[tuple[str, ...]]) -> int | None:
        """Return about how many whole runs were learned in some order, None if that may be accident."""
        assert self.windows is not None
        whole = [run for run in runs if len(run) > WINDOW]
        orders = [order for run in whole for order in permutations(run)]
        if not orders:
            return None
        found, by_accident = _look_up(self.windows, orders, self.digest)
        either = found.reshape(len(whole), -1)
        unlearned = (1 - by_accident) * (1 - self.chance)
        return excess(int(either.any(axis=1).sum()), len(whole), 1 - unlearned ** either.shape[1])

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        tensors, facts = {}, []
        for place, one in enumerate(self._lineage()):
            name = f".{place}" if place else ""
            tensors[f"sketch{name}"] = one.sketch
            if one.windows is not None:
                tensors[f"windows{name}"] = one.windows
            facts.append({"digest": one.digest, "chance": one.chance})
        if self.bins is not None and self.shares is not None:
            tensors |= {"bins": np.ascontiguousarray(self.bins), "shares": self.shares}
        save_file(tensors, path, {"recommender": json.dumps(facts[0] | {"earlier": facts[1:]})})

    def _lineage(self) -> Iterator[TrainedOn]:
        one: TrainedOn | None = self
        while one is not None:
            yield one
            one = one.earlier

    @classmethod
    def load(cls, folder: Path) -> TrainedOn | None:
        """Read what `save` wrote into a checkpoint's folder; None for a checkpoint that is older. Raises CheckpointError."""
        path = folder / TRAINED_ON
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                facts = json.loads(file.metadata()["recommender"])
                tensors = {name: file.get_tensor(name) for name in (*file.keys(),)}
            loaded = None
            for place, fact in reversed([*enumerate([facts, *facts.get("earlier", [])])]):
                name = f".{place}" if place else ""
                windows = tensors.get(f"windows{name}")
                _check_sketch(fact["digest"], tensors[f"sketch{name}"], windows)
                loaded = cls(fact["digest"], tensors[f"sketch{name}"], windows, fact.get("chance", 0.0), loaded)
            return _with_bins(loaded, tensors)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            raise CheckpointError(f"{path}: is damaged", "copy the checkpoint again, whole") from None


def _with_bins(loaded: TrainedOn | None, tensors: Mapping[str, np.ndarray]) -> TrainedOn | None:
    """Return it with the tenths of items, of a checkpoint that has them. Raises ValueError if these are none."""
    bins, shares = tensors.get("bins"), tensors.get("shares")
    if loaded is None or bins is None or shares is None:
        return loaded
    fit = bins.ndim == shares.ndim == 1 and bins.dtype == np.uint8 and bins.max(initial=0) < len(shares)
    if not fit or not np.isfinite(shares).all() or shares.min(initial=0) < 0:
        raise ValueError("the tenths of items are none")
    return replace(loaded, bins=bins, shares=shares)


def _check_sketch(digest: str, *filters: np.ndarray | None) -> None:
    """Raise ValueError unless filters can be looked up with the digest as their key."""
    if len(bytes.fromhex(digest)) != hashlib.sha256().digest_size:
        raise ValueError("the digest is none")
    for bits in filters:
        if bits is not None and (bits.dtype != np.uint8 or bits.ndim != 1 or not len(bits)):
            raise ValueError("a sketch is none")


def runs_of(items: Sequence[T], before: int) -> Iterator[tuple[T, ...]]:
    """Yield each item but the first after the items before it, at most `before` of them."""
    for end in range(1, len(items)):
        yield tuple(items[max(end - before, 0) : end + 1])


def chance_of_runs(histories: Sequence[Sequence[T]], before: int) -> float:
    """Return in which share of the histories the first, the last or any full run stands in another one; never quite 0.

    The largest of these: many begin with the same items, where all are shown the same at first, and many have the same
    items in the same order throughout, where these are the parts of a series or of a course.
    """
    counts = Counter(run for items in histories for run in set(runs_of(items, before)))
    full = [counts[run] > 1 for items in histories for run in runs_of(items, before) if len(run) > before]
    throughout = sum(full) / max(len(full), 1)
    ends = [(tuple(items[: before + 1]), tuple(items[-before - 1 :])) for items in histories if len(items) > before]
    shared = [sum(counts[pair[end]] > 1 for pair in ends) for end in (0, 1)]
    return max((max(shared) + 1) / (len(ends) + 1), throughout)


def excess(seen: int, count: int, share: float) -> int | None:
    """Return about how many of `count` targets were learned if `seen` look so; None if that may be accident.

    `share`: of targets that were not learned, how many look learned all the same.
    """
    from scipy.special import bdtrc  # here: only evaluations need it

    if not seen or share >= 1 or bdtrc(seen - 1, count, share) >= _ACCIDENT:
        return None
    return max(round((seen - share * count) / (1 - share)), 1)


def digest_of(histories: Histories, catalogue: Catalogue) -> str:
    """Return a hash of who has which items in which order, by their ids; the order of the users does not count."""
    item_ids = catalogue.item_ids
    users = (
        hashlib.sha256(json.dumps([user, *(item_ids[item] for item in items)]).encode()).digest()
        for user, items in zip(histories.user_ids, histories.items, strict=True)
    )
    return hashlib.sha256(b"".join(sorted(users))).hexdigest()


def _filter(entries: Sequence[tuple[str, ...]], key: str) -> np.ndarray:
    """Return the bits of a filter that holds the entries, uint8 [bytes]."""
    bits = np.zeros(8 * math.ceil(max(len(entries), 1) * _BITS_A_PAIR / 8), dtype=bool)
    bits[_places(entries, key, len(bits)).ravel()] = True
    return np.packbits(bits)


def _look_up(sketch: np.ndarray, entries: Sequence[tuple[str, ...]], key: str) -> tuple[np.ndarray, float]:
    """Return which entries a filter seems to hold, bool [entries], and the share of others that it would."""
    bits = np.unpackbits(sketch).astype(bool)
    return bits[_places(entries, key, len(bits))].all(axis=1), float(bits.mean()) ** _HASHES


def _places(entries: Iterable[tuple[str, ...]], key: str, bits: int) -> np.ndarray:
    """Return the places of each entry in a filter, int64 [entries, hashes]."""
    secret = bytes.fromhex(key)
    hashes = b"".join(
        hashlib.blake2b(json.dumps(entry).encode(), digest_size=16, key=secret).digest() for entry in entries
    )
    both = np.frombuffer(hashes, dtype="<u8").reshape(-1, 2)
    steps = np.arange(_HASHES, dtype=np.uint64)
    return ((both[:, :1] + steps * (both[:, 1:] | np.uint64(1))) % np.uint64(bits)).astype(np.int64)
