"""Keys of callers: shown once, kept as hashes, refused when revoked by whichever process."""

from __future__ import annotations

import time

import pytest

from recommender.errors import DataError
from recommender.store import keys as module


def test_a_key_is_found_by_its_token_and_by_no_other(store, where):
    key, token = store.keys.add("shop", ["feedback", "recommend"], rate=60, days=1)
    assert key.scopes == ("recommend", "feedback") and store.keys.find(token) == key
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for wrong in (
        "",
        token[:-1],
        changed,
        token.upper(),
        f"{token} ",
        f"rk_{'0' * 12}_{'a' * 43}",
        "Bearer x",
        "é" * 60,
    ):
        assert store.keys.find(wrong) is None
    assert all(token.split("_", 2)[2].encode() not in path.read_bytes() for path in where.parent.glob("store.db*"))


def test_a_key_expires_and_is_revoked_for_every_process(store, open_store, monkeypatch):
    key, token = store.keys.add("shop", ["admin"], days=2)
    other = open_store()
    assert other.keys.find(token).state(time.time()) == "valid"
    assert other.keys.find(token).state(time.time() + 2 * 86_400) == "expired"
    monkeypatch.setattr(module, "FRESH", 0.0)
    store.keys.revoke("shop")
    assert other.keys.find(token).state(time.time()) == "revoked"
    assert [each.prefix for each in other.keys.all()] == [key.prefix]


def test_a_name_of_several_keys_revokes_none(store):
    first, _ = store.keys.add("shop", ["recommend"])
    store.keys.add("shop", ["recommend"])
    for name, match in (("shop", "2 keys are called"), ("none", "there is no key")):
        with pytest.raises(DataError, match=match):
            store.keys.revoke(name)
    assert store.keys.revoke(first.prefix).prefix == first.prefix
    assert sum(key.revoked is None for key in store.keys.all()) == 1


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"scopes": ["recomend"]}, "did you mean recommend"),
        ({"scopes": []}, "at least one scope"),
        ({"name": " "}, "needs a name"),
        ({"rate": 0}, "a rate is 1"),
        ({"days": 0}, "longer than 0 days"),
    ],
)
def test_what_no_key_can_be(store, fields, match):
    with pytest.raises(DataError) as error:
        store.keys.add(**{"name": "x", "scopes": ["recommend"]} | fields)
    assert match in f"{error.value.message} {error.value.hint}"


def test_a_check_takes_microseconds(store):
    _, token = store.keys.add("shop", ["recommend"])
    store.keys.find(token)
    start = time.perf_counter()
    for _ in range(1000):
        store.keys.find(token)
    assert (time.perf_counter() - start) / 1000 < 0.2e-3
