"""Codes -> states of a trie: what may follow a prefix, which items are denied, items that come and go."""

from recommender.constraints.masks import DenseMask, Mask, SparseMask
from recommender.constraints.trie import Trie

__all__ = ["DenseMask", "Mask", "SparseMask", "Trie"]
