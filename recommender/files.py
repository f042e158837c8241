"""Files that are whole and written by one at a time: temporary names that are renamed, locks that say who holds them."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from recommender.errors import DataError, RecommenderError

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux
_SAMPLES, _SAMPLE_BYTES = 128, 1 << 16
#: how far below a folder locks are looked for
_DEPTHS = ("", "*/", "*/*/")
_PATH_CHARS = 4096  # as Linux has it
_UMASK = os.umask(0o077)  # can only be read by setting it
os.umask(_UMASK)
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
#: what this thread holds at the moment, so that it may take a lock again within its own block
_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())


def is_folder(path: Path) -> bool:
    """Return whether there is a folder; a name that no file can have is none."""
    return os.path.isdir(path)


def status(path: Path, error: type[RecommenderError] = RecommenderError) -> os.stat_result | None:
    """Return what the system says of a path, None if nothing is there.

    Raises `error` in one line for a name that no file can have (too long, a NUL in it, links in a circle), and for a folder
    that may not be looked into.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as failure:
        raise error(f"{shown_path(path)}: cannot be read ({failure.strerror})", "check the path") from None
    except ValueError:
        raise error(
            f"{shown_path(path)}: is no name of a file (a NUL, or half a character)", "check the path"
        ) from None


def check_plain(path: Path, error: type[RecommenderError] = RecommenderError, hint: str | None = None) -> None:
    """Raise `error` unless there is a plain file: to open a pipe may wait for ever, and a device may have no end."""
    found = status(path, error)
    if found is None:
        raise error(f"{path}: no such file", hint)
    if not stat.S_ISREG(found.st_mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(found.st_mode)), "something else")
        raise error(f"{path}: is {kind}, expected a plain file", hint)


def shown_path(path: Path) -> str:
    """Return a path as a message may show it: of a very long one the beginning."""
    text = str(path)
    return text if len(text) <= _PATH_CHARS else f"{text[:80]}... ({len(text):,} characters)"


def check_input_file(path: Path) -> None:
    """Raise DataError unless there is a file that may be read."""
    check_plain(path, DataError, "check its name")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: may not be read by this user", "check its permissions")


def check_output_file(path: Path) -> None:
    """Raise DataError unless a file can be written at `path`; folders above it that are missing can be made."""
    _check_replaceable(path)
    check_can_write_in(path.parent, path)


def check_output_folder(path: Path) -> None:
    """Raise DataError unless files can be written in a folder `path`, which need not exist."""
    if (status(path, DataError) is not None or path.is_symlink()) and not path.is_dir():
        raise DataError(f"{path}: is a file, and a folder is to be written", "name a folder")
    check_can_write_in(path, path)


def check_can_write_in(folder: Path, output: Path, error_type: type[RecommenderError] = DataError) -> None:
    """Raise `error_type` unless files can be made in `folder`, or it itself in one that exists, for the sake of
    `output`."""
    above = (folder.absolute(), *folder.absolute().parents)
    there = next(path for path in above if status(path, error_type) is not None)
    try:
        with tempfile.TemporaryFile(dir=there):  # what the permissions say is not all: disks may be read-only
            pass
    except OSError as error:
        reason = f"{there} is no folder that you may write to ({error.strerror})"
        raise error_type(f"{shown_path(output)}: cannot be made, {reason}", "name another output") from None


@contextmanager
def replacing(path: Path, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well, what was written there takes its place.

    Folders above `path` are made. The temporary name ends as the target's does, for libraries that go by it, and holds
    the numbers of process and thread, so that several may write the same file. Raises RecommenderError for a device, a pipe
    or a folder, which would be replaced; OSErrors of writing name `path`. `private`: only its owner may read the file.
    """
    _check_replaceable(path)
    temporary = _beside(path)
    try:
        with _naming(path, temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if private:
                temporary.chmod(stat.S_IRUSR | stat.S_IWUSR)
            else:
                _open_to_readers(temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _open_to_readers(path: Path) -> None:
    """Give a file the usual mode: libraries that write under a name of their own leave it to its owner alone.

    Without this a checkpoint that one account trained could not be served by another.
    """
    if stat.S_IMODE(path.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR:
        path.chmod(0o666 & ~_UMASK)


def _check_replaceable(path: Path) -> None:
    if status(path) is not None:
        check_plain(path, DataError, "name another file for the output")


@contextmanager
def _naming(path: Path, temporary: Path) -> Iterator[None]:
    """Let errors of writing, such as a full disk, name what was asked for and not the temporary name of the moment."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename).startswith(str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_together(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files of one folder, which is made if missing: all are written before the first one takes its name.

    They are renamed in the order given, so the last one can vouch for the others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = {name: _beside(folder / name) for name in contents}
    for name in contents:
        _check_replaceable(folder / name)
    try:
        for name, content in contents.items():
            with _naming(folder / name, temporary[name]):
                temporary[name].write_bytes(content)
        for name in contents:
            os.replace(temporary[name], folder / name)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`; when the block ends well, it takes the target's place.

    On Linux the two change places in one step, so that there is a whole folder at `target` at any moment.
    """
    target = target.absolute()
    temporary = target.with_name(f".{target.name}.{_writer()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with _naming(target, temporary):
            temporary.mkdir(parents=True)
            yield temporary
            for path in temporary.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    _open_to_readers(path)
            _swap(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, target: Path) -> None:
    if not target.exists():
        os.replace(new, target)
    elif not _exchange(new, target):
        old = target.with_name(f".{target.name}.{_writer()}.old")
        os.replace(target, old)
        try:
            os.replace(new, target)
        except OSError:
            os.replace(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    done: int = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return done == 0


@contextmanager
def locked(target: Path, task: str, wait: bool = False) -> Iterator[None]:
    """Hold `target`, a file or folder that need not exist, for this process alone while the block runs.

    `task`: what is done to it, as others are told. The lock is the hidden file `.NAME.lock` beside it. The system lets go
    of it when its process ends, however that happens, and what a killed writer left of `target` is then removed. A thread
    may take a lock again within its own block. Raises RecommenderError that says who holds it, or holds a folder above it,
    or something in it (down to two folders below), which would be replaced together; `wait`: waits instead, and looks at
    `target` alone. Links in the path are followed. Hard links of one file are two targets: what is locked is replaced under
    its name, and never changed under the other one.
    """
    named, target = target.absolute(), Path(os.path.realpath(target))
    if target in _held.get():
        yield
        return
    path = _lock_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(target, error) from None
    descriptor = _acquire(path, target, wait)
    _held.set(_held.get() | {target})
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_holder(task)).encode(), 0)
        if not wait:
            _check_relatives(target)
        for name in {named, target}:  # of a link: what is written to replace it lies beside the link
            remove_leftovers(name)
        yield
    finally:
        _held.set(_held.get() - {target})
        path.unlink(missing_ok=True)  # while it is held: whoever has opened it sees that it is gone, and opens another
        os.close(descriptor)


def _acquire(path: Path, target: Path, wait: bool) -> int:
    """Return the descriptor of the lock file, locked."""
    told = False
    while True:
        try:  # a link would lead to a file of somebody else
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except OSError as error:
            if not os.path.lexists(path):
                raise _unwritable(target, error) from None
            raise RecommenderError(
                f"{path}: cannot be the lock of {target.name} ({error.strerror})", "remove it, or name another output"
            ) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise RecommenderError(f"{path}: is no plain file, so it locks nothing", "remove it")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return descriptor
            os.close(descriptor)
        except BlockingIOError:
            holder = _told_of(os.pread(descriptor, 4096, 0)) or "another process"
            os.close(descriptor)
            if not wait:
                raise RecommenderError(
                    f"{target}: is held by {holder}", "wait until it ends, or name another output"
                ) from None
            if not told:
                logger.warning("%s: waiting for %s", target, holder)
            told = True
            time.sleep(_POLL_SECONDS)


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _unwritable(target: Path, error: OSError) -> RecommenderError:
    message = f"{target}: cannot be written there ({error.strerror})"
    return RecommenderError(message, "name an output in a folder that you may write to")


def _check_relatives(target: Path) -> None:
    """Raise RecommenderError if others hold a folder above `target`, or something in it."""
    above = [folder for folder in target.parents if folder.name]
    below = [lock.with_name(lock.name[1 : -len(".lock")]) for part in _DEPTHS for lock in target.glob(f"{part}.*.lock")]
    for other in (*above, *below):
        if other not in _held.get() and (holder := _holder_of(_lock_of(other))):
            where = "lies in" if other in above else "holds"
            raise RecommenderError(
                f"{target}: {where} {other}, which is held by {holder}", "wait until it ends, or name another output"
            )


def _holder_of(path: Path) -> str | None:
    """Return who holds a lock, None if nobody does or it is none of ours."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _told_of(os.pread(descriptor, 4096, 0))
    finally:
        os.close(descriptor)
    return None


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file still has its name: whoever held the lock removes it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _holder(task: str) -> dict[str, object]:
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return {"pid": os.getpid(), "host": socket.gethostname(), "task": task, "since": since}


def _told_of(content: bytes) -> str | None:
    """Return in words who holds a lock. Its file is empty for a moment after it was locked: None then."""
    try:
        holder = json.loads(content)
        return f"process {holder['pid']} on {holder['host']} ({holder['task']}, since {holder['since']})"
    except (ValueError, KeyError, TypeError):
        return None


def remove_leftovers(target: Path) -> None:
    """Remove what killed writers left of `target`, and of the files in it if it is a folder; only who holds it may do so.

    A folder that was set aside when its writer was killed is put back.
    """
    target = target.absolute()
    aside = _named(target.parent, rf"\.{re.escape(target.name)}\.\d+-\d+\.old")
    if aside and not target.exists():
        os.replace(aside.pop(), target)
    end = re.escape(target.suffix)
    left = _named(
        target.parent, rf"\.({re.escape(target.name)}\.\d+-\d+\.tmp|{re.escape(target.stem)}\.\d+-\d+\.tmp{end})"
    )
    for path in [*aside, *left, *_named(target, r"\..*\.\d+-\d+\.tmp[^/]*")]:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _named(folder: Path, pattern: str) -> list[Path]:
    if not folder.is_dir():
        return []
    return [folder / name for name in os.listdir(folder) if re.fullmatch(pattern, name)]


def sampled_digest(path: Path) -> str:
    """Return a hash of a file's size and of blocks spread evenly over it: 8 MB are read, however large it is.

    It tells other weights from these, and damage of more than a hundredth of the file; single bytes it may miss.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= _SAMPLES * _SAMPLE_BYTES:
            digest.update(file.read())
        else:
            for number in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{_writer()}.tmp{path.suffix}")


def _writer() -> str:
    """Return what tells this writer from all others of the machine."""
    return f"{os.getpid()}-{threading.get_native_id()}"
