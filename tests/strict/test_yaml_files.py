"""Files of configs: bounded before they are parsed, plain files or what was handed over, and one line for what is none."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from recommender.config import Config
from recommender.errors import ConfigError
from recommender.strict.yaml_documents import MOST_BYTES, parse_yaml


@pytest.mark.parametrize("unit", ["- 1\n", "a", "#\n", "[", "? ", "\n", "é"])
def test_megabytes_of_yaml_are_refused_at_once(tmp_path, unit):
    path = tmp_path / "c.yaml"
    path.write_text(unit * (20_000_000 // len(unit)), encoding="utf-8")
    begun = time.monotonic()
    with pytest.raises(ConfigError, match="256 KB"):
        Config.load(path)
    assert time.monotonic() - begun < 2


def test_an_endless_device_is_refused():
    with pytest.raises(ConfigError, match="is a device"):
        Config.load("/dev/zero")


def test_long_settings_are_refused_too():
    with pytest.raises(ValueError, match="256 KB"):
        parse_yaml("x" * MOST_BYTES)


def test_a_pipe_without_a_writer_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match="is a named pipe, expected a plain file"):
        Config.load(tmp_path / "c.yaml")


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_what_is_handed_over_is_read(path):
    code = f"from recommender.config import Config; print(Config.load({path!r}).seed)"
    done = subprocess.run([sys.executable, "-c", code], input="seed: 7\n", capture_output=True, text=True, timeout=60)
    assert done.stdout == "7\n", done.stderr


@pytest.mark.parametrize("name", ["a" * 5000, "b/" * 3000, "a\0b", "\udc80\ud800", "loop", "file/inside", "missing"])
def test_what_is_no_file_is_one_line(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as error:
        Config.load(tmp_path / name)
    assert len(error.value.message) < 400 and "\0" not in error.value.message
