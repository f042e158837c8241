"""Feedback in a file of JSON lines that is only ever added to: for a machine that keeps nothing else of people."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import tempfile
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from recommender.errors import DataError
from recommender.files import status
from recommender.store.opinions import Fact, Feedback, HelpfulText, Opinions, WrongText, check_usable
from recommender.strict.json_documents import parse_json

logger = logging.getLogger(__name__)

#: bytes before the end of what was read, by which the file is known again
_REMEMBERED = 256
#: bytes that a disk must have room for: a block of most
_PROBED = 4096
#: seconds that another process may hold the file while somebody waits to add to it
_LONGEST_HELD = 2.0
#: seconds between two tries to get it: who adds line after line lets go for about a millisecond
_BETWEEN_TRIES = 0.0005


class FeedbackStore:
    """The feedback in one file. Several processes, servers too, may share it: lines are appended one at a time.

    `refresh` reads what the others have appended.
    """

    def __init__(self, path: Path, tell: bool = True) -> None:
        """Read `path`, which need not exist yet. Raises DataError if no file can be there, or one that holds
        something else; single lines that hold no feedback are counted, and a warning tells how many if `tell`."""
        status(path, DataError)
        if (
            (path.exists() and not path.is_file())
            or (path.is_symlink() and not path.exists())
            or not path.parent.is_dir()
        ):
            raise DataError(f"{path}: feedback cannot be kept there", "name a file in a folder that exists")
        self.path = path
        self._lock = threading.Lock()
        self._forget()
        self._read_new_lines()
        if not self._lines and _holds_something_else(path):
            raise DataError(f"{path}: holds no feedback, but something else", "name a new file for it")
        if self.damaged_lines and tell:
            logger.warning("%s: %d lines hold no feedback and do not count", path, self.damaged_lines)

    def _forget(self) -> None:
        self.damaged_lines = self._lines = self._bytes_read = 0
        self._last_read = b""
        self._opinions = Opinions()

    def add(self, feedback: Feedback) -> Feedback:
        """Append feedback, stamped with the time, and return it. Raises DataError if nothing can follow from it."""
        check_usable(feedback)
        stamped = feedback.model_copy(update={"time": datetime.now(UTC).isoformat(timespec="seconds")})
        self._append(stamped.model_dump_json(exclude_defaults=True).encode() + b"\n")
        self.refresh()
        return stamped

    def _append(self, line: bytes) -> None:
        """Write one line at the end, whole and on disk or not at all; who else writes to the file is waited for a while.

        A line that a killed process left unfinished is closed first. Raises OSError, for example if the disk is full, or
        TimeoutError if somebody holds the file.
        """
        with open(self.path, "ab+", opener=_opened_plainly) as file:
            _hold(file.fileno(), self.path)
            end = file.seek(0, os.SEEK_END)
            if end and not _ends_with_newline(file.fileno()):
                line = b"\n" + line
            try:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), end)
                raise

    def check_writable(self) -> None:
        """Raise OSError if nothing can be added at the moment: a full disk, a folder that is gone, somebody who holds the
        file."""
        with tempfile.TemporaryFile(dir=self.path.parent) as file:
            file.write(b" " * _PROBED)
            file.flush()
            os.fsync(file.fileno())
        if self.path.exists():
            with open(self.path, "ab", opener=_opened_plainly) as file:
                _hold(file.fileno(), self.path)

    def refresh(self) -> None:
        """Read the lines that were appended since. Those that hold no feedback are skipped, and counted.

        A file that was rotated or cut is read anew. One that cannot be read at the moment is said in the log; what is
        known goes on to count.
        """
        try:
            self._read_new_lines()
        except OSError as error:
            logger.error("%s: feedback cannot be read: %s", self.path, error.strerror)

    def _read_new_lines(self) -> None:
        with self._lock:
            try:
                with open(self.path, "rb", opener=_opened_plainly) as file:
                    file.seek(self._bytes_read - len(self._last_read))
                    content = file.read()
                    if not content.startswith(self._last_read):
                        self._forget()  # the file was rotated or cut: what it holds now counts
                        file.seek(0)
                        content = file.read()
                    content = content[len(self._last_read) :]
            except FileNotFoundError:
                return
            whole_lines = content[: content.rfind(b"\n") + 1]
            self._bytes_read += len(whole_lines)
            self._last_read = (self._last_read + whole_lines)[-_REMEMBERED:]
            for line in whole_lines.splitlines():
                if line.strip():
                    self._take_in(line)

    def _take_in(self, line: bytes) -> None:
        try:
            feedback = Feedback.model_validate(parse_json(line))
        except ValueError:
            self.damaged_lines += 1
            return
        self._lines += 1
        self._opinions.take_in(feedback)

    def refused_items(self, user: str | None) -> frozenset[str]:
        """Return the ids of the items that are not for this user."""
        return self._opinions.refused_items(user)

    def wrong_facts(self, votes: int = 1) -> Mapping[str, frozenset[Fact]]:
        """Return item id -> the facts that at least `votes` users called wrong; all without a name count as one user."""
        return self._opinions.wrong_facts(votes)

    def wrong_texts(self) -> tuple[WrongText, ...]:
        """Return what was called wrong, oldest first, each once a person."""
        return self._opinions.wrong_texts()

    def helpful_texts(self, user: str | None) -> tuple[HelpfulText, ...]:
        """Return what this user called helpful, one entry an item, oldest first, and nothing that they took back."""
        return self._opinions.helpful_texts(user)


def _opened_plainly(path: str, flags: int) -> int:
    """Open a file; a pipe or a device under its name is an error and keeps nobody waiting."""
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EISDIR, "no plain file", path)
    return descriptor


def _hold(descriptor: int, path: Path) -> None:
    """Lock a file until it is closed. Raises TimeoutError if somebody holds it for `_LONGEST_HELD` seconds."""
    deadline = time.monotonic() + _LONGEST_HELD
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "another process holds the file", str(path)) from None
            time.sleep(_BETWEEN_TRIES)


def _ends_with_newline(descriptor: int) -> bool:
    return os.pread(descriptor, 1, os.fstat(descriptor).st_size - 1) == b"\n"


def _holds_something_else(path: Path) -> bool:
    """Return whether a file without a whole line of feedback is not just empty, or the first line that a kill cut off."""
    content = path.read_bytes().strip() if path.exists() else b""
    return bool(content) and not (content.startswith(b"{") and b"\n" not in content and not content.endswith(b"}"))
