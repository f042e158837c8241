"""Encryption of what is kept: AES-256-GCM with a random nonce, bound to where it stands, and keyed pseudonyms.

What is sealed for one row cannot be put in the place of another: the row's own facts are authenticated with it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE = 12
_VERSION = b"\x01"
_PSEUDONYM_BYTES = 20


class SealError(ValueError):
    """What is sealed cannot be opened: another key, another place, or a changed byte."""


def new_key() -> bytes:
    """Return a random key of 32 bytes."""
    return os.urandom(KEY_BYTES)


def seal(key: bytes, content: bytes, place: str) -> bytes:
    """Return content encrypted for one place: version, nonce, ciphertext with tag."""
    nonce = os.urandom(_NONCE)
    return _VERSION + nonce + AESGCM(key).encrypt(nonce, content, place.encode())


def unseal(key: bytes, sealed: bytes, place: str) -> bytes:
    """Return what `seal` encrypted. Raises SealError."""
    if sealed[:1] != _VERSION:
        raise SealError("sealed by another version")
    try:
        return AESGCM(key).decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], place.encode())
    except (InvalidTag, ValueError):
        raise SealError("cannot be opened: another key, or changed bytes") from None


def pseudonym(key: bytes, user: str) -> str:
    """Return what stands for a user id: an HMAC-SHA256 in base32, which without the key tells nothing of the user."""
    digest = hmac.new(key, user.encode(), hashlib.sha256).digest()[:_PSEUDONYM_BYTES]
    return base64.b32encode(digest).decode().lower()
