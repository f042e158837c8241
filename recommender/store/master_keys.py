"""The master keys that wrap everybody's own keys: from a file, the environment, or the command of a key service.

Written a line a key, `name:base64 of 32 bytes`; the first is used from now on, the others still open what they wrapped. So
a rotation puts a new line first, rewraps (`Store.rotate`), and then takes the old line out.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recommender.errors import ConfigError
from recommender.files import replacing

VARIABLE = "RECOMMENDER_MASTER_KEY"
COMMAND = "command:"
BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SECONDS = 30
_HOW = "a line a key, NAME:BASE64; make one: recommender keys master FILE"


@dataclass(frozen=True)
class MasterKeys:
    """`keys`: name -> 32 bytes. `current`: the name of the one that wraps from now on."""

    keys: Mapping[str, bytes]
    current: str

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(self.keys)})"  # a log or a traceback shows no key

    @classmethod
    def read(cls, source: str | Path | None) -> MasterKeys:
        """Read keys from a file, by `command:...` from what a command prints, or by None from RECOMMENDER_MASTER_KEY.

        Raises ConfigError if there are none, or for a line that is none; no message shows a key.
        """
        if source is None:
            text, where = os.environ.get(VARIABLE, ""), VARIABLE
            if not text:
                raise ConfigError("the store needs a master key", f"name its file, or set {VARIABLE}")
        elif str(source).startswith(COMMAND):
            text, where = _printed(str(source).removeprefix(COMMAND)), "the key service"
        else:
            text, where = _content(Path(source)), str(source)
        return cls._parsed(text, where)

    @classmethod
    def _parsed(cls, text: str, where: str) -> MasterKeys:
        keys: dict[str, bytes] = {}
        for number, line in enumerate(filter(None, map(str.strip, re.split(r"[\n;]", text))), start=1):
            name, colon, encoded = line.partition(":")
            if not colon or not _NAME.fullmatch(name) or name in keys:
                raise ConfigError(f"{where}: line {number} is no master key", _HOW)
            try:
                keys[name] = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                raise ConfigError(f"{where}: line {number}: the key {name} is not base64", _HOW) from None
            if len(keys[name]) != BYTES:
                raise ConfigError(f"{where}: line {number}: the key {name} has not {BYTES} bytes", _HOW)
        if not keys:
            raise ConfigError(f"{where}: holds no master key", _HOW)
        return cls(keys, next(iter(keys)))


def new_master_key(path: Path, name: str) -> None:
    """Put a new key first in a file, which only its owner may read; earlier keys stay behind it. Raises ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name of a key", "use letters, digits, dots, dashes and underscores")
    earlier = _content(path) if path.exists() else ""
    if earlier and name in MasterKeys._parsed(earlier, str(path)).keys:
        raise ConfigError(f"{path}: has a key {name} already", "choose another name")
    line = f"{name}:{base64.b64encode(os.urandom(BYTES)).decode()}\n"
    with replacing(path, private=True) as temporary:
        temporary.touch(0o600)
        temporary.write_text(line + earlier, encoding="ascii")


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise ConfigError(f"{path}: the master key cannot be read: {reason}", _HOW) from None


def _printed(command: str) -> str:
    try:
        run = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise ConfigError(
            f"the key service gives no master key: {type(error).__name__}", f"try it: {command}"
        ) from None
    return run.stdout
