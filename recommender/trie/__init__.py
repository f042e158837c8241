"""Codes -> states of a trie: what may follow a prefix, which items are denied, items that come and go."""

from recommender.trie.arrays import Trie
from recommender.trie.masks import DenseMask, Mask, SparseMask

__all__ = ["DenseMask", "Mask", "SparseMask", "Trie"]
