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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.errors import CheckpointError

TRAINED_ON = "trained_on.safetensors"
FALSE_POSITIVES = 1 / 8
_HASHES = 3
_BITS_A_PAIR = -math.log(FALSE_POSITIVES) / math.log(2) ** 2
#: chance with which unseen targets may look seen by accident
_ACCIDENT = 1e-6


@dataclass(frozen=True)
class TrainedOn:
    """The digest of all interactions that were read, kept-out ones too, and the sketch of the pairs that were learned."""

    digest: str
    sketch: np.ndarray
    """uint8 [bytes]: the bits of the filter."""

    @classmethod
    def of(cls, histories: Histories, learned: Sequence[np.ndarray], catalogue: Catalogue) -> TrainedOn:
        """Describe what was read; `learned`: for each user of `histories` the items [n] that training saw."""
        digest, item_ids = digest_of(histories, catalogue), catalogue.item_ids
        count = sum(map(len, learned))
        bits = np.zeros(8 * math.ceil(max(count, 1) * _BITS_A_PAIR / 8), dtype=bool)
        pairs = (
            (user, item_ids[item]) for user, items in zip(histories.user_ids, learned, strict=True) for item in items
        )
        bits[_places(pairs, digest, len(bits)).ravel()] = True
        return cls(digest, np.packbits(bits))

    def count_seen(self, pairs: Sequence[tuple[str, str]]) -> tuple[int, float]:
        """Return how many (user id, item id) pairs look learned, and the share of unseen ones that would."""
        bits = np.unpackbits(self.sketch).astype(bool)
        places = _places(pairs, self.digest, len(bits))
        return int(bits[places].all(axis=1).sum()), float(bits.mean()) ** _HASHES

    def too_many_seen(self, pairs: Sequence[tuple[str, str]]) -> int | None:
        """Return how many of the pairs were learned, about, if that is more than accident; else None."""
        from scipy.special import bdtrc  # here: only evaluations need it

        seen, share = self.count_seen(pairs)
        if not seen or bdtrc(seen - 1, len(pairs), share) >= _ACCIDENT:
            return None
        return max(round((seen - share * len(pairs)) / max(1 - share, 1e-9)), 1)

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        save_file({"sketch": self.sketch}, path, {"recommender": json.dumps({"digest": self.digest})})

    @classmethod
    def load(cls, folder: Path) -> TrainedOn | None:
        """Read what `save` wrote into a checkpoint's folder; None for a checkpoint that is older. Raises CheckpointError."""
        path = folder / TRAINED_ON
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                return cls(json.loads(file.metadata()["recommender"])["digest"], file.get_tensor("sketch"))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            raise CheckpointError(f"{path}: is damaged", "copy the checkpoint again, whole") from None


def digest_of(histories: Histories, catalogue: Catalogue) -> str:
    """Return a hash of who has which items in which order, by their ids; the order of the users does not count."""
    item_ids = catalogue.item_ids
    users = (
        hashlib.sha256(json.dumps([user, *(item_ids[item] for item in items)]).encode()).digest()
        for user, items in zip(histories.user_ids, histories.items, strict=True)
    )
    return hashlib.sha256(b"".join(sorted(users))).hexdigest()


def _places(pairs: Iterable[tuple[str, str]], key: str, bits: int) -> np.ndarray:
    """Return the places of each pair in a filter, int64 [pairs, hashes]."""
    secret = bytes.fromhex(key)
    hashes = b"".join(hashlib.blake2b(json.dumps(pair).encode(), digest_size=16, key=secret).digest() for pair in pairs)
    both = np.frombuffer(hashes, dtype="<u8").reshape(-1, 2)
    steps = np.arange(_HASHES, dtype=np.uint64)
    return ((both[:, :1] + steps * (both[:, 1:] | np.uint64(1))) % np.uint64(bits)).astype(np.int64)
