"""What may be generated next: the trie of item codes, masks over it, and texts held to given names. Knows no model.

`trie_build` is where the trie is built, `trie_edit` where items enter and leave it, `trie_states` the table of its states,
`trie` what a search asks of it, `masks` which states a request may enter. `text_constraint` holds a written list to names.
"""

from recommender.constraints.masks import DenseMask, Mask, SparseMask
from recommender.constraints.trie import Trie

__all__ = ["DenseMask", "Mask", "SparseMask", "Trie"]
