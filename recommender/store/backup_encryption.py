"""The encryption of a backup by age (pyrage), in a stream: neither what is written nor what is read lies in memory whole.

age's library streams for keys only. So a passphrase seals a key that is made for the one file: the file begins with an
age file in ASCII, sealed with the passphrase, that holds the key as age keeps identities, and the rest is encrypted for it.
Whoever has another age than ours can open both parts.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyrage

from recommender.errors import DataError
from recommender.files import replacing

_KEY_BEGINS = b"-----BEGIN AGE ENCRYPTED FILE-----"
_KEY_ENDS = b"-----END AGE ENCRYPTED FILE-----\n"
#: how format 1 begins with a passphrase: one age file, sealed with it as a whole
_WHOLE_BEGINS = b"age-encryption.org/v1\n-> scrypt "
_KEY_BYTES = 4096


def check_encryption(passphrase: str | None, recipient: str | None) -> None:
    """Raise DataError unless there is a passphrase, or an age recipient ("age1...")."""
    if recipient is not None:
        _recipient(recipient)
    elif not passphrase:
        raise DataError("a backup is always encrypted", "give a passphrase, or an age recipient")


def write_encrypted(path: Path, lines: Iterable[bytes], passphrase: str | None, recipient: str | None) -> None:
    """Write a file of encrypted lines, whole or not at all, while they are made.

    Raises DataError without a passphrase or recipient, what `lines` raises, and OSError of a disk.
    """
    check_encryption(passphrase, recipient)
    with replacing(path) as temporary, temporary.open("wb") as file:
        if recipient is not None:
            key = _recipient(recipient)
        else:
            secret = pyrage.x25519.Identity.generate()
            key = secret.to_public()
            file.write(pyrage.passphrase.encrypt(f"{secret}\n".encode(), passphrase or "", armored=True))
        ends = _Ends(lines, file)
        try:
            pyrage.encrypt_io(ends, ends, [key])
        finally:
            if ends.failure is not None:
                raise ends.failure


class _Ends:
    """Both ends of age's stream: where it reads and where it writes. It loses errors of both, so they are kept here."""

    def __init__(self, lines: Iterable[bytes], file: BinaryIO) -> None:
        self._lines, self._file = iter(lines), file
        self._line, self._place = b"", 0
        self.failure: Exception | None = None

    def read(self, size: int) -> bytes:
        try:
            while self._place == len(self._line):
                self._line, self._place = next(self._lines), 0
        except StopIteration:
            return b""
        except Exception as error:
            self.failure = error
            raise
        part = self._line[self._place : self._place + size]
        self._place += len(part)
        return part

    def write(self, content: bytes) -> int:
        try:
            return self._file.write(content)
        except Exception as error:
            self.failure = error
            raise


@contextmanager
def decrypted(path: Path, passphrase: str | None, identity: str | None) -> Iterator[Iterator[bytes]]:
    """Yield the lines of an encrypted file, which are not proven to be all of them before the last one was taken.

    Raises DataError, here or at any line, for a file that cannot be read, or is not as it was written, or another key's.
    """
    with _opened(path) as file:
        with telling(path):
            key = _key(file, passphrase, identity)
        if isinstance(key, bytes):
            yield iter(io.BytesIO(key))
            return
        with _piped(path, file, key) as lines:
            yield lines


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Say in one line, as a DataError, that what is read in the block is no backup, or cannot be opened."""
    try:
        yield
    except (pyrage.DecryptError, pyrage.IdentityError, OSError, ValueError, LookupError, TypeError) as error:
        message = f"{path}: cannot be opened as a backup ({error})"
        raise DataError(message, "give its passphrase or identity; the store is as it was") from None


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", "give a file that `store backup` wrote") from None


def _key(file: BinaryIO, passphrase: str | None, identity: str | None) -> pyrage.x25519.Identity | bytes:
    """Return the key of what is left of a file; of one that a passphrase seals as a whole, what is in it."""
    if identity is not None:
        return pyrage.x25519.Identity.from_str(identity)
    begin = file.read(_KEY_BYTES)
    if begin.startswith(_WHOLE_BEGINS):
        return bytes(pyrage.passphrase.decrypt(begin + file.read(), passphrase or ""))
    key, end, _ = begin.partition(_KEY_ENDS)
    if not key.startswith(_KEY_BEGINS) or not end:
        raise ValueError("no passphrase opens it")
    file.seek(len(key) + len(end))
    secret = pyrage.passphrase.decrypt(key + end, passphrase or "")
    return pyrage.x25519.Identity.from_str(secret.decode().strip())


@contextmanager
def _piped(path: Path, file: BinaryIO, key: pyrage.x25519.Identity) -> Iterator[Iterator[bytes]]:
    """Yield the lines that a thread decrypts meanwhile; a pipe between them holds few bytes, and makes it wait."""
    incoming, outgoing = os.pipe()
    failures: list[Exception] = []

    def decrypt() -> None:
        try:
            with os.fdopen(outgoing, "wb") as writer:
                pyrage.decrypt_io(file, writer, [key])
        except Exception as error:  # the end of the pipe tells nothing of it: `lines` raises it
            failures.append(error)

    def lines(reader: BinaryIO) -> Iterator[bytes]:
        rest = b""  # format 1 is one line without an end, and so is what is left of a line that was cut
        for line in reader:
            if line.endswith(b"\n"):
                yield line
            else:
                rest = line
        thread.join()
        with telling(path):
            if failures:
                raise failures[0]
        if rest:
            yield rest

    thread = threading.Thread(target=decrypt, name="decrypting a backup", daemon=True)
    with os.fdopen(incoming, "rb") as reader:
        thread.start()
        try:
            yield lines(reader)
        finally:
            reader.close()  # a thread that still writes then ends
            thread.join()


def _recipient(text: str) -> pyrage.x25519.Recipient:
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise DataError(f"{text!r} is no age recipient ({error})", "it looks like age1...") from None
