"""Servers of the parts of an export, which versions share that differ in nothing but their adapters.

A version takes a part over from the one before: its adapter is loaded beside the one that answers, under a name of its own,
so that no prefix computed with another one is found again. Each version lets go of what it used once it has answered what
it began.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recommender.engine.vllm_server import VllmServer, new_scratch, remove_scratch
from recommender.errors import RecommenderError
from recommender.export.vllm_folder import Exported
from recommender.model.manifest import MANIFEST

_WEIGHTS = "adapter_model.safetensors"
logger = logging.getLogger(__name__)


class SharedScratch:
    """A temporary folder that is there as long as somebody holds it; who makes it holds it."""

    def __init__(self) -> None:
        self.folder = new_scratch()
        self._holders, self._lock = 1, threading.Lock()

    def hold(self) -> None:
        """Keep the folder for one more."""
        with self._lock:
            self._holders += 1

    def let_go(self) -> None:
        """Keep it for one less; after the last one it is removed."""
        with self._lock:
            self._holders -= 1
            if self._holders:
                return
        remove_scratch(self.folder)


@dataclass
class _Loaded:
    """An adapter in a server: the digest of its weights, and how many versions answer with it."""

    digest: str
    versions: int = 1


class ServedPart:
    """The server of one part of an export, a base with adapters on it, shared by versions that have the same base.

    Whoever makes it has its first adapter, and lets go of it by its name.
    """

    def __init__(
        self,
        exported: Exported,
        part: str,
        adapter: str,
        flags: Sequence[str],
        constrained: bool,
        scratch: SharedScratch | None,
    ) -> None:
        """Start the server of `part`, with the adapter under its own name. `scratch`: what holds the exported folder."""
        self.base, digest = _digests(exported.folder, part, adapter)
        self._adapters, self._lock = {adapter: _Loaded(digest)}, threading.Lock()
        folder = exported.folder / "lora" / adapter
        self.server = VllmServer(exported.folder / part, {adapter: folder}, flags, constrained, exported.pin)
        self._scratch = scratch
        if scratch is not None:
            scratch.hold()

    def serves(self, exported: Exported, part: str, adapter: str) -> bool:
        """Whether its base, and the form of its adapters, are those of another export, too."""
        return self.base == _digests(exported.folder, part, adapter)[0]

    def take(self, exported: Exported, part: str, adapter: str) -> str:
        """Return the name under which the adapter of another version answers, once it is loaded.

        Raises RecommenderError if the server does not take it.
        """
        _, digest = _digests(exported.folder, part, adapter)
        with self._lock:
            for name, loaded in self._adapters.items():
                if loaded.digest == digest:
                    loaded.versions += 1
                    return name
            name = version_name(adapter, digest)
            self.server.load_adapter(name, exported.folder / "lora" / adapter)
            self._adapters[name] = _Loaded(digest)
            return name

    def let_go(self, name: str) -> None:
        """Have an adapter for one version less. What nobody answers with is unloaded; with the last one the server ends."""
        with self._lock:
            self._adapters[name].versions -= 1
            if self._adapters[name].versions:
                return
            del self._adapters[name]
            if self._adapters:
                self._unload(name)
                return
        self.server.close()
        if self._scratch is not None:
            self._scratch.let_go()

    def _unload(self, name: str) -> None:
        try:
            self.server.unload_adapter(name)
        except RecommenderError as error:  # it takes a slot until the server is started again, and nobody names it
            logger.warning("%s", error.message)


def version_name(adapter: str, digest: str) -> str:
    """Return the name of an adapter that is loaded beside another version of it."""
    return f"{adapter}@{digest[:12]}"


def is_version(name: str, adapter: str) -> bool:
    """Whether a name is that of an adapter or of another version of it."""
    return name.partition("@")[0] == adapter


def _digests(folder: Path, part: str, adapter: str) -> tuple[Mapping[str, str], str]:
    """Return the digests of what a server is started with: the files of a base and the form of its adapter; and of the
    adapter's weights, which it can exchange."""
    files: dict[str, str] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    within = {name: digest for name, digest in files.items() if name.startswith((f"{part}/", f"lora/{adapter}/"))}
    return within, within.pop(f"lora/{adapter}/{_WEIGHTS}")
