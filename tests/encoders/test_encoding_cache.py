"""The cache of encodings: shared by processes, safe from kills, clear when it cannot be used."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recommender.encoders.encoding_cache import EncodingCache, cache_folder
from recommender.errors import ConfigError


def test_cache_keeps_encoders_apart_and_many_keys(tmp_path):
    cache = EncodingCache(tmp_path / "new" / "folder")
    cache.put("one", {str(number): str(number).encode() for number in range(1300)})
    cache.put("two", {"7": b"other"})
    assert cache.get("one", [str(number) for number in range(1400)]) == {str(n): str(n).encode() for n in range(1300)}
    assert cache.get("two", ["7", "8"]) == {"7": b"other"}
    assert os.listdir(tmp_path / "new" / "folder") == ["encodings.sqlite"]


def _fill(folder: str, start: int) -> None:
    cache = EncodingCache(Path(folder))
    for number in range(start, start + 40):
        cache.put("encoder", {f"{number}-{part}": bytes(2000) for part in range(4)})


def test_two_processes_fill_one_cache(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_fill, args=(str(tmp_path), start)) for start in (0, 20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    keys = [f"{number}-{part}" for number in range(60) for part in range(4)]
    assert len(EncodingCache(tmp_path).get("encoder", keys)) == 240


def test_a_kill_within_a_write_loses_that_write_only(tmp_path):
    EncodingCache(tmp_path).put("encoder", {"kept": b"1"})
    code = (
        "import os, sys; from pathlib import Path; from recommender.encoders.encoding_cache import EncodingCache\n"
        "with EncodingCache(Path(sys.argv[1]))._connection() as c:\n"
        "    c.execute(\"insert into encodings values ('encoder', 'lost', x'00')\"); os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 9
    assert EncodingCache(tmp_path).get("encoder", ["kept", "lost"]) == {"kept": b"1"}


def test_an_unusable_cache_says_what_to_do(tmp_path):
    (tmp_path / "encodings.sqlite").write_bytes(b"no database at all, but something else" * 50)
    with pytest.raises(ConfigError, match="cache cannot be used") as error:
        EncodingCache(tmp_path).get("encoder", ["a"])
    assert "RECOMMENDER_CACHE" in error.value.hint
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cache cannot be used"):
        EncodingCache(tmp_path / "file").put("encoder", {"a": b""})


def test_the_cache_lies_where_config_or_environment_say(tmp_path, monkeypatch):
    monkeypatch.setenv("RECOMMENDER_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "encodings"
    assert cache_folder("elsewhere") == Path("elsewhere")
