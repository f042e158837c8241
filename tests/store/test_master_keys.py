"""Master keys: read from where they are, in one meaning or none, and never shown."""

from __future__ import annotations

import base64
import stat

import pytest

from recommender.errors import ConfigError
from recommender.store.master_keys import VARIABLE, MasterKeys, new_master_key

KEY = base64.b64encode(bytes(range(32))).decode()


def test_a_new_key_stands_first_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "keys"
    for name in ("a", "b"):
        new_master_key(path, name)
    read = MasterKeys.read(path)
    assert read.current == "b" and list(read.keys) == ["b", "a"] and len(set(read.keys.values())) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for name, match in (("a", "has a key a already"), ("no space", "no name")):
        with pytest.raises(ConfigError, match=match):
            new_master_key(path, name)
    assert MasterKeys.read(path).keys == read.keys


def test_the_environment_and_a_key_service_give_them_too(monkeypatch):
    monkeypatch.setenv(VARIABLE, f"one:{KEY};two:{base64.b64encode(bytes(32)).decode()}")
    assert MasterKeys.read(None).keys["one"] == bytes(range(32)) and MasterKeys.read(None).current == "one"
    assert MasterKeys.read(f"command:echo three:{KEY}").current == "three"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "holds no master key"),
        (KEY, "line 1 is no master key"),
        (f"a:{KEY}\na:{KEY}", "line 2 is no master key"),
        ("a:***", "not base64"),
        ("a:YWJj", "has not 32 bytes"),
    ],
)
def test_what_is_no_key_is_one_line_that_shows_none(tmp_path, text, match):
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError, match=match) as error:
        MasterKeys.read(tmp_path / "keys")
    assert KEY not in str(error.value) and "\n" not in error.value.message


def test_a_key_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    for source, match in ((None, VARIABLE), (tmp_path / "none", "cannot be read"), ("command:false", "key service")):
        with pytest.raises(ConfigError, match=match):
            MasterKeys.read(source)


def test_keys_are_not_shown(tmp_path):
    new_master_key(tmp_path / "keys", "a")
    keys = MasterKeys.read(tmp_path / "keys")
    assert base64.b64encode(keys.keys["a"]).decode() not in f"{keys!r} {keys}" and str(keys.keys["a"]) not in repr(keys)
