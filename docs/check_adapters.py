"""Checks every file of the shipped checkpoints against the sha256 in its manifest. Needs the standard library only."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

ADAPTERS = Path(__file__).resolve().parent.parent / "adapters"


def changed_files(folder: Path = ADAPTERS) -> list[str]:
    """Return the files of the checkpoints below `folder` that are missing or not as their manifest says."""
    changed = []
    for manifest in sorted(folder.glob("*/checkpoint.json")):
        for name, expected in json.loads(manifest.read_text(encoding="utf-8"))["files"].items():
            path = manifest.parent / name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                changed.append(f"{manifest.parent.name}/{name}")
    return changed


def main() -> None:
    """Name what differs; exit code 1 if anything does."""
    if changed := changed_files():
        sys.exit(f"not as their checkpoint.json says: {', '.join(changed)}")


if __name__ == "__main__":
    main()
