"""vLLM's own server as a child process: started in its own environment, waited for, and ended with all its children."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from recommender.adapters.vouching import PIN_VARIABLE
from recommender.engine.guardian import end_group, guardian
from recommender.errors import RecommenderError
from recommender.export.vllm_folder import SERVED_WINDOW
from recommender.vllm_plugin.served_folder import served_levels
from recommender.vllm_plugin.soft_tokens import SoftTokens

PYTHON = "RECOMMENDER_VLLM_PYTHON"
KEY = "RECOMMENDER_VLLM_API_KEY"
"""Names the key of vLLM's routes; without it each server that is started gets a key that nobody else knows."""
_SECONDS, _ADAPTER_SECONDS = 600, 120
#: seconds before a server that ended is started again, twice as many each time, from the first again after a long life
_FIRST_PAUSE, _LONGEST_PAUSE, _LONG_LIFE = 1.0, 60.0, 300.0
logger = logging.getLogger(__name__)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PDEATHSIG = 1  # PR_SET_PDEATHSIG of prctl(2)
_ERROR = re.compile(r"(?=\b\w*(?:Error|Exception): )")
_CONNECTOR = "recommender.vllm_plugin.partial_block_connector"
_TAILS = {
    "kv_connector": "PartialBlockConnector",
    "kv_connector_module_path": _CONNECTOR,
    "kv_role": "kv_both",
}
_TRIE, _SPANS = (
    "recommender.vllm_plugin.trie_processor:TrieProcessor",
    "recommender.vllm_plugin.text_constraint_processor:TextConstraintProcessor",
)


def vllm_python() -> str:
    """Return the Python that has vLLM: the environment variable, this one, or the one that `make vllm-env` makes.

    Raises RecommenderError if there is none.
    """
    if named := os.environ.get(PYTHON):
        return named
    if importlib.util.find_spec("vllm"):
        return sys.executable
    made = Path("build/venv-vllm/bin/python")
    if made.is_file():
        return str(made.absolute())
    raise RecommenderError("vLLM is not installed", f"make vllm-env, or set {PYTHON} to the Python that has it")


class VllmServer:
    """One vLLM server over one model folder. `url` is where it listens, `key` what its routes ask for."""

    def __init__(
        self,
        folder: Path,
        adapters: dict[str, Path],
        flags: Sequence[str] = (),
        constrained: bool = True,
        pin: str | None = None,
    ) -> None:
        """Start the server; it is ready after `wait`. `flags` go to vLLM as they are, e.g. --data-parallel-size=2.

        `pin`: by which its worker knows a folder that nobody has signed: see `Exported`.
        """
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.key = os.environ.get(KEY) or secrets.token_urlsafe(32)
        #: its log and its temporary files
        self.scratch = new_scratch()
        self.log = self.scratch / "log"
        self._adapters = dict(adapters)
        command = [vllm_python(), "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder.absolute())]
        command += [
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            *_adapter_room(adapters),
            *_defaults(folder, flags),
            *flags,
        ]
        command += ["--logits-processors", _TRIE if constrained else _SPANS]
        if constrained:
            command += ["--logprobs-mode", "processed_logits", "--max-logprobs", "-1", *_soft_flags(folder)]
            command += _beam_flags(folder, flags)
        self._command = command
        self._told = {"VLLM_API_KEY": self.key, "TMPDIR": str(self.scratch)} | ({PIN_VARIABLE: pin} if pin else {})
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*self._command, *_adapter_flags(self._adapters)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment() | self._told,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        guardian().watch("group", process.pid)
        return process

    def wait(self) -> None:
        """Return once the server answers; from then on it is started again whenever it ends.

        Raises RecommenderError with the end of its log if it does not come up.
        """
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            if self._answers():
                self._watcher = threading.Thread(target=self._keep_alive, name="vllm", daemon=True)
                self._watcher.start()
                return
            time.sleep(0.25)
        log = self.log.read_text(encoding="utf-8", errors="replace")
        self.close()
        with tempfile.NamedTemporaryFile("w", prefix="vllm-", suffix=".log", delete=False, encoding="utf-8") as kept:
            kept.write(log)
        raise RecommenderError(f"vLLM did not start: {_reason(log)}", f"its log: {kept.name}")

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=5).ok
        except requests.RequestException:
            return False

    def _keep_alive(self) -> None:
        """Start the server again each time it ends, at the same address; sooner the longer it has lived."""
        pause = _FIRST_PAUSE
        while not self._closing.is_set():
            started = time.monotonic()
            self.process.wait()
            end_group(self.process.pid)  # its children would keep their memory
            guardian().forget("group", self.process.pid)
            if time.monotonic() - started > _LONG_LIFE:
                pause = _FIRST_PAUSE
            if self._closing.is_set():
                return
            logger.error(
                "vLLM at %s has ended (%s); it is started again in %g s", self.url, self.process.returncode, pause
            )
            if self._closing.wait(pause):
                return
            pause = min(2 * pause, _LONGEST_PAUSE)
            self.process = self._started()

    def load_adapter(self, name: str, folder: Path) -> None:
        """Load an adapter beside the others; a server that is started again has it, too.

        Raises RecommenderError if it is not taken.
        """
        self._ask("load_lora_adapter", {"lora_name": name, "lora_path": str(folder.absolute())})
        self._adapters |= {name: folder}

    def unload_adapter(self, name: str) -> None:
        """Take an adapter out. Raises RecommenderError if the server does not answer; started again it has not got it."""
        self._adapters = {other: folder for other, folder in self._adapters.items() if other != name}
        self._ask("unload_lora_adapter", {"lora_name": name})

    def _ask(self, route: str, body: dict[str, str]) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        try:
            answer = requests.post(f"{self.url}/v1/{route}", json=body, headers=headers, timeout=_ADAPTER_SECONDS)
        except requests.RequestException as error:
            raise RecommenderError(f"vLLM at {self.url} does not answer {route} ({type(error).__name__})") from None
        if not answer.ok:
            raise RecommenderError(f"vLLM at {self.url} refused {route} of {body['lora_name']}: {answer.text[:300]}")

    def close(self) -> None:
        """End the server and all its children, and remove what they wrote."""
        self._closing.set()
        end_group(self.process.pid, 10)
        while self._watcher is not None and self._watcher.is_alive():
            end_group(self.process.pid, 10)  # one that was started at this moment
            self._watcher.join(0.1)
        self.process.wait(10)
        guardian().forget("group", self.process.pid)
        remove_scratch(self.scratch)


def new_scratch() -> Path:
    """Return a new folder that is removed with this process; the guardian knows of it before it is there."""
    folder = Path(tempfile.gettempdir()) / f"recommender-vllm-{secrets.token_hex(6)}"
    guardian().watch("folder", folder)
    folder.mkdir(mode=0o700)
    return folder


def remove_scratch(folder: Path) -> None:
    """Remove a folder of `new_scratch`."""
    shutil.rmtree(folder, ignore_errors=True)
    guardian().forget("folder", folder)


def _end_with_parent() -> None:
    """Have Linux end a server whose parent was killed: nobody else would, and the next run could not have its memory."""
    if _LIBC is not None:
        _LIBC.prctl(_PDEATHSIG, signal.SIGTERM)


def _reason(log: str) -> str:
    """Return the first error of a log: what follows it is only that others noticed."""
    lines = [line for line in log.splitlines() if " ERROR " in line and _ERROR.search(line)]
    return _ERROR.split(lines[0], maxsplit=1)[-1].strip()[:300] if lines else "its log ends without an error"


def _adapter_room(adapters: dict[str, Path]) -> list[str]:
    """Return flags that make room for adapters, and for versions of them that are loaded later."""
    ranks = [json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))["r"] for path in adapters.values()]
    if not ranks:
        return []
    fitting = next(size for size in (8, 16, 32, 64, 128, 256, 320, 512) if size >= max(ranks))
    return ["--enable-lora", "--max-loras", str(len(adapters) + 2), "--max-lora-rank", str(fitting)]


def _adapter_flags(adapters: dict[str, Path]) -> list[str]:
    modules = [f"{name}={path.absolute()}" for name, path in adapters.items()]
    return ["--lora-modules", *modules] if modules else []


def _soft_flags(folder: Path) -> list[str]:
    """Return flags that let requests bring vectors, and nothing that would have to be encoded first.

    Such a server is asked in ids only. With a tokenizer vLLM would refuse those that stand behind the vocabulary.
    """
    facts = SoftTokens.open(folder).facts
    flags = ["--skip-tokenizer-init"] if facts.kinds or facts.items else []
    if facts.kinds:
        limits = json.dumps(dict.fromkeys(facts.kinds, 0))
        flags += ["--enable-mm-embeds", "--limit-mm-per-prompt", limits, "--mm-processor-cache-gb", "0"]
    return flags


def _beam_flags(folder: Path, flags: Sequence[str]) -> list[str]:
    """Return flags that let beams share a prompt's last block too; with one level there are none, and a caller's stand."""
    name = "--kv-transfer-config"
    wanted = served_levels(folder) > 1 and not any(flag.partition("=")[0] == name for flag in flags)
    return [name, json.dumps(_TAILS)] if wanted else []


def _dtype(folder: Path) -> str:
    """Return float32, or what 8-bit matrices are multiplied with: vLLM's kernel for AMX refuses float32."""
    told = folder / "config.json"
    if not told.is_file() or "quantization_config" not in json.loads(told.read_text(encoding="utf-8")):
        return "float32"
    import torch  # takes a second, and is asked about 8 bits only

    return "bfloat16" if torch.cpu._is_amx_tile_supported() else "float32"


def _defaults(folder: Path, flags: Sequence[str]) -> list[str]:
    """Return flags that decide precision and what a CPU needs, but for those that the caller gives."""
    chosen: dict[str, Any] = {"--dtype": _dtype(folder), "--block-size": "32", "--max-model-len": str(SERVED_WINDOW)}
    given = {flag.partition("=")[0] for flag in flags}
    return ["--enforce-eager"] + [part for name, value in chosen.items() if name not in given for part in (name, value)]


def _environment() -> dict[str, str]:
    ours = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "VLLM_NO_USAGE_STATS": "1"}
    ours |= {"VLLM_PLUGINS": "recommender", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "HF_HUB_OFFLINE": "1"}
    # with --enforce-eager a few helpers are still compiled: ten seconds of the first request, and a compiler is needed
    ours |= {"TORCHDYNAMO_DISABLE": "1"}
    return ours | {k: v for k, v in os.environ.items() if k not in ("VLLM_PLUGINS", "PYTHONPATH")}
