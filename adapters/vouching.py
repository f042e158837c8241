"""Who vouches for a checkpoint: its manifest for every file, and a signature for the manifest.

`signature.json` holds an Ed25519 signature over the bytes of `checkpoint.json`, so one changed byte in any file that the
manifest names shows. Whoever names a public key by RECOMMENDER_CHECKPOINT_KEY reads nothing else; then the card counts too,
which otherwise may be edited. Imports nothing heavy, and is read by vLLM's workers too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.adapters.key_files import fingerprint, read_public_key
from recommender.adapters.shipped import MANIFEST
from recommender.errors import CheckpointError
from recommender.files import write_text
from recommender.strict.json_documents import read_json_object

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE, CARD = "signature.json", "README.md"
KEY_VARIABLE = "RECOMMENDER_CHECKPOINT_KEY"
"""Names the public key that every checkpoint must be signed with."""
PIN_VARIABLE = "RECOMMENDER_EXPORT_SHA256"
"""Tells a server of vLLM the digest of the manifest of an export that was made for it, in the place of a signature."""
_CONTEXT = b"recommender checkpoint 1\n"
_AGAIN = "copy the checkpoint again, whole"
#: what a checkpoint may be read from
_READ = (".safetensors", ".yaml", ".json", ".jinja", ".bin", ".pt", ".npy")


def trusted_key() -> Path | None:
    """Return the file of the public key that checkpoints must be signed with; None: none need be."""
    named = os.environ.get(KEY_VARIABLE)
    return Path(named) if named else None


def trust(key: str | None, instead: bool = False) -> None:
    """From now on read, in this process and in those that it starts, only what was signed with a key; None changes nothing.

    A key that the environment names stays, unless it is to be replaced (`instead`).
    """
    if key is not None and (instead or trusted_key() is None):
        os.environ[KEY_VARIABLE] = str(Path(key).expanduser().absolute())


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, which may be larger than memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def vouched_manifest(
    folder: Path, pin: str | None = None, signed: bool = True, within: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the manifest of a folder after checking every file against it, and its signature if a key is trusted.

    `pin`: the digest of a manifest that was just made by us, in the place of a signature. `signed`: False where it does not
    matter. `within`: names of folders in it to which the check of files is limited. Raises CheckpointError naming what is
    wrong.
    """
    path = folder / MANIFEST
    manifest = read_json_object(path, "manifest, or is damaged", "copy the checkpoint again", CheckpointError)
    guarded = signed and trusted_key() is not None
    if guarded:
        check_signature(folder, pin)
    digests = manifest.get("files")
    if not (isinstance(digests, dict) and digests and all(isinstance(digest, str) for digest in digests.values())):
        raise CheckpointError(f"{path}: is damaged: it vouches for no files", "copy the checkpoint again")
    _check_names(folder, digests, guarded)
    for name, expected in digests.items():
        if within and Path(name).parts[0] not in within:
            continue
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: the file {name} is missing", _AGAIN)
        if (guarded or name != CARD) and file_digest(folder / name) != expected:
            raise CheckpointError(f"{folder}: the file {name} is damaged, or was edited", _AGAIN)
    return manifest


def check_file(folder: Path, name: str) -> None:
    """Raise CheckpointError if a key is trusted and a file of a folder is not as it was signed: before all is checked."""
    if trusted_key() is None or not (folder / MANIFEST).is_file():
        return
    check_signature(folder)
    digests = json.loads((folder / MANIFEST).read_bytes())["files"]
    if digests.get(name) != file_digest(folder / name):
        raise CheckpointError(f"{folder}: the file {name} is damaged, or was edited", _AGAIN)


def check_served(model: str | Path) -> None:
    """Check, within vLLM's worker, the part of an export that it serves, with its adapters, if a key is trusted.

    Raises CheckpointError.
    """
    if trusted_key() is not None:
        part = Path(model).absolute()
        vouched_manifest(part.parent, os.environ.get(PIN_VARIABLE), within=(part.name, "lora"))


def check_signature(folder: Path, pin: str | None = None) -> None:
    """Raise CheckpointError unless the trusted key signed the manifest of a folder, or it is the one that is pinned."""
    key, manifest = trusted_key(), folder / MANIFEST
    if pin is not None:
        if file_digest(manifest) != pin:
            raise CheckpointError(f"{folder}: is not as it was exported", "export again")
        return
    assert key is not None
    public = read_public_key(key)
    path = folder / SIGNATURE
    if not path.is_file():
        hint = f"recommender sign, or do not set {KEY_VARIABLE} (serving.checkpoint_key)"
        raise CheckpointError(f"{folder}: is not signed", hint)
    try:
        told = path.read_text(encoding="utf-8")
        signature = bytes.fromhex(json.loads(told)["signature"])
        public.verify(signature, _CONTEXT + manifest.read_bytes())
        whole = told == _signature_text(fingerprint(public), signature)
    except Exception:  # whatever it is, it is no signature of this key
        whole = False
    if not whole:
        message = f"{folder}: was changed since it was signed, or signed with another key than {key}"
        raise CheckpointError(message, "do not trust it: get it again from whoever signed it")


def sign(folder: Path, signing: Ed25519PrivateKey) -> dict[str, str]:
    """Sign a checkpoint or an export, and return the digest of its manifest and the fingerprint of the key.

    Every file is checked first; a card that was edited is taken into the manifest as it is. Raises CheckpointError.
    """
    manifest = vouched_manifest(folder, signed=False)
    if CARD in manifest["files"]:
        manifest["files"][CARD] = file_digest(folder / CARD)
    text = manifest_text(manifest)
    if text.encode() != (folder / MANIFEST).read_bytes():
        write_text(folder / MANIFEST, text)
    signature, key = signing.sign(_CONTEXT + text.encode()), fingerprint(signing.public_key())
    write_text(folder / SIGNATURE, _signature_text(key, signature))
    return {"manifest": hashlib.sha256(text.encode()).hexdigest(), "key": key}


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """Return a manifest as its file holds it."""
    return json.dumps(manifest, indent=1) + "\n"


def _signature_text(key: str, signature: bytes) -> str:
    """Return the one text that the file of a signature may hold."""
    return json.dumps({"key": key, "signature": signature.hex()}, indent=1) + "\n"


def _check_names(folder: Path, digests: Mapping[str, str], all_of_them: bool) -> None:
    """Raise CheckpointError unless every file of a folder is vouched for that could be read, or just `all_of_them`, and no
    file elsewhere is."""
    if outside := [name for name in digests if Path(name).is_absolute() or ".." in Path(name).parts]:
        raise CheckpointError(f"{folder}: its {MANIFEST} names {outside[0]!r}, outside the folder", "do not trust it")
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    beside = sorted(present - set(digests) - {MANIFEST, SIGNATURE})
    # without a signature notes and pictures may lie beside; these are read
    unknown = [name for name in beside if all_of_them or Path(name).suffix in _READ]
    if unknown:
        message = f"{folder}: its {MANIFEST} does not vouch for {unknown[0]}"
        raise CheckpointError(message, _AGAIN)
