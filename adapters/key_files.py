"""Ed25519 keys as PEM files: what signs, and what signatures are checked with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from recommender.errors import DataError, import_extra
from recommender.files import replacing, status, write_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_PUBLIC = "write it: recommender audit key > FILE, or recommender keys pair FILE"
_PRIVATE = "make one: recommender keys pair FILE"


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Return the Ed25519 public key of a PEM file. Raises DataError."""
    serialization = import_extra("cryptography.hazmat.primitives.serialization", "a signature", "store")
    kind = import_extra("cryptography.hazmat.primitives.asymmetric.ed25519", "a signature", "store").Ed25519PublicKey
    try:
        key = serialization.load_pem_public_key(_content(path, _PUBLIC))
    except ValueError:
        raise DataError(f"{path}: holds no public key as PEM", _PUBLIC) from None
    if not isinstance(key, kind):
        raise DataError(f"{path}: is no Ed25519 key", _PUBLIC)
    return key


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Return the Ed25519 private key of a PEM file without a password. Raises DataError; no message shows a key."""
    serialization = import_extra("cryptography.hazmat.primitives.serialization", "a signature", "store")
    kind = import_extra("cryptography.hazmat.primitives.asymmetric.ed25519", "a signature", "store").Ed25519PrivateKey
    try:
        key = serialization.load_pem_private_key(_content(path, _PRIVATE), None)
    except TypeError:
        raise DataError(f"{path}: the private key has a password", "give one without") from None
    except ValueError:
        raise DataError(f"{path}: holds no private key as PEM", _PRIVATE) from None
    if not isinstance(key, kind):
        raise DataError(f"{path}: is no Ed25519 key", _PRIVATE)
    return key


def new_pair(path: Path, public: Path) -> None:
    """Write a new private key, which only its owner may read, and its public key. Raises DataError where a file is."""
    serialization = import_extra("cryptography.hazmat.primitives.serialization", "a signature", "store")
    kind = import_extra("cryptography.hazmat.primitives.asymmetric.ed25519", "a signature", "store").Ed25519PrivateKey
    for one in (path, public):
        if status(one, DataError) is not None:
            raise DataError(f"{one}: is there already, and a key is never replaced", "name a new file")
    key, pem = kind.generate(), serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    with replacing(path, private=True) as temporary:
        temporary.touch(0o600)
        temporary.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    write_bytes(public, key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))


def fingerprint(public: Ed25519PublicKey) -> str:
    """Return what names a public key: the first half of the sha256 of its 32 bytes, as hex."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:32]


def _content(path: Path, how: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: the key cannot be read: {error.strerror}", how) from None
