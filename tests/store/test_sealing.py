"""Encryption: only the key opens, only at its place, and no byte can be changed; pseudonyms tell nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.store.sealing import SealError, new_key, pseudonym, seal, unseal


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens_with_its_key_at_its_place_alone(content, place):
    key, other = new_key(), new_key()
    sealed = seal(key, content, place)
    assert unseal(key, sealed, place) == content and seal(key, content, place) != sealed
    for wrong in ((other, sealed, place), (key, sealed, place + "x"), (key, b"", place), (key, sealed[:-1], place)):
        with pytest.raises(SealError):
            unseal(*wrong)


def test_any_changed_byte_is_found():
    key = new_key()
    sealed = seal(key, b"something personal", "here")
    assert b"personal" not in sealed
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(SealError):
            unseal(key, bytes(changed), "here")


def test_a_pseudonym_is_that_of_one_user_in_one_store():
    first, second = new_key(), new_key()
    assert pseudonym(first, "ann") == pseudonym(first, "ann") != pseudonym(second, "ann")
    assert len({pseudonym(first, f"user {n}") for n in range(1000)}) == 1000
    assert pseudonym(first, "ann").isascii() and "ann" not in pseudonym(first, "ann")
