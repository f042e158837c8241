"""Many sources through a frozen computation: once each, in batches, kept as they come."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from recommender.encoders import cached_batches
from recommender.encoders.cached_batches import Source, Work, map_in_threads, naming_item, run
from recommender.encoders.encoding_cache import EncodingCache
from recommender.errors import DataError


def source(text, size=1, item_id="1"):
    return Source(item_id, text, f"hash of {text}", size)


class Recorder:
    """A computation that reverses texts, and remembers what it was asked for."""

    def __init__(self):
        self.loads, self.batches = 0, []

    def work(self, prepare=lambda text: text, compute=None):
        return Work("reversing", "reverse-1", self._load, prepare, compute or self._compute)

    def _load(self):
        self.loads += 1

    def _compute(self, texts):
        self.batches.append(list(texts))
        return [text[::-1].encode() for text in texts]


@pytest.fixture
def cache(tmp_path):
    return EncodingCache(tmp_path / "cache")


def test_each_content_is_computed_once_smallest_first(cache):
    recorder = Recorder()
    sources = [source("ccc", 3), source("a", 1), source("bb", 2), source("a", 1, "other")]
    values, tally = run(recorder.work(), sources, cache, batch_size=2)
    assert values == {"hash of a": b"a", "hash of bb": b"bb", "hash of ccc": b"ccc"}
    assert recorder.batches == [["a", "bb"], ["ccc"]]
    assert (tally.items, tally.distinct, tally.computed, tally.cached) == (4, 3, 3, 0)


def test_what_is_cached_is_not_computed_and_the_model_not_loaded(cache):
    run(Recorder().work(), [source("ab")], cache, 8)
    recorder, reports = Recorder(), []
    values, tally = run(recorder.work(), [source("ab")], cache, 8, lambda *report: reports.append(report))
    assert values == {"hash of ab": b"ba"} and (recorder.loads, tally.cached) == (0, 1)
    assert reports == [("reversing", 1, 1)]


def test_a_batch_ends_where_it_would_take_too_much_memory(cache, monkeypatch):
    monkeypatch.setattr(cached_batches, "_BATCH_BYTES", 10)
    recorder = Recorder()
    run(recorder.work(), [source(letter, 4) for letter in "abcde"] + [source("large", 99)], cache, 8)
    assert recorder.batches == [["a", "b"], ["c", "d"], ["e"], ["large"]]


def test_batches_before_a_failure_are_kept(cache):
    recorder = Recorder()

    def prepare(text):
        if text == "bad":
            raise DataError("cannot be read", "replace it")
        return text

    sources = [source("ok", 1), source("bad", 2, "item 7")]
    with pytest.raises(DataError, match="item 'item 7': cannot be read") as error:
        run(recorder.work(prepare), sources, cache, 1)
    assert error.value.hint == "replace it"
    assert cache.get("reverse-1", ["hash of ok", "hash of bad"]) == {"hash of ok": b"ko"}


def test_a_source_without_a_usable_value_is_named(cache):
    work = Recorder().work(compute=lambda texts: [None for _ in texts])
    with pytest.raises(DataError, match="item '1': its encoding is not finite"):
        run(work, [source("a")], cache, 2)


def test_nothing_to_do_is_nothing_done(cache):
    recorder = Recorder()
    values, tally = run(recorder.work(), [], cache, 4)
    assert (values, tally.items, recorder.loads) == ({}, 0, 0)


def test_the_next_batch_is_prepared_while_one_is_computed(cache):
    prepared = threading.Event()

    def prepare(text):
        if text == "second":
            prepared.set()
        return text

    def compute(texts):
        assert prepared.wait(10), "the second source is prepared before the first is done"
        return [text.encode() for text in texts]

    run(Recorder().work(prepare, compute), [source("first", 1), source("second", 2)], cache, 1)


def test_results_of_threads_are_in_order():
    assert map_in_threads(lambda number: number * 2, range(50)) == list(range(0, 100, 2))


def test_errors_name_the_item_and_the_file_once(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(DataError) as error, naming_item("7", path):
        raise DataError(f"{path}: broken")
    assert error.value.message == f"item '7': {path}: broken"
    with pytest.raises(DataError) as error, naming_item("7", Path("b.png")):
        raise FileNotFoundError(2, "No such file or directory")
    assert error.value.message == "item '7': b.png: No such file or directory"
    assert error.value.hint == "mend the file, or leave the item's cell empty"
