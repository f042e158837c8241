"""Signed receipts: a statement of what was done, which an Ed25519 public key checks without the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from recommender.errors import DataError

_CONTEXT = b"recommender receipt 1\n"
_SIGNED = ("statement", "audit_row")


def signed_receipt(statement: Mapping[str, Any], audit_row: int, signing: Ed25519PrivateKey) -> dict[str, Any]:
    """Return a statement, the number of the audit row that holds it too, and a signature over both.

    The same statement gives the same receipt, so it can be made again from the audit row.
    """
    receipt = {"statement": json.loads(json.dumps(statement, sort_keys=True)), "audit_row": audit_row}
    return receipt | {"signature": signing.sign(_signed_bytes(receipt)).hex()}


def verify_receipt(receipt: Mapping[str, Any], public: Ed25519PublicKey) -> dict[str, Any]:
    """Return the statement of a receipt. Raises DataError if it is none, or not what was signed with this key."""
    try:
        signature, statement = bytes.fromhex(receipt["signature"]), dict(receipt["statement"])
        content = _signed_bytes(receipt)
        # upper case and spaces would read as the same bytes
        whole = set(receipt) == {*_SIGNED, "signature"} and receipt["signature"] == signature.hex()
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"this is no receipt ({error})", "recommender forget writes one") from None
    try:
        public.verify(signature, content)
    except InvalidSignature:
        whole = False
    if not whole:
        raise DataError("the receipt was not signed with this key, or changed since", "give the key of that store")
    return statement


def _signed_bytes(receipt: Mapping[str, Any]) -> bytes:
    content = {name: receipt[name] for name in _SIGNED}
    return _CONTEXT + json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
