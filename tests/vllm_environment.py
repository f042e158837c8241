"""Whether vLLM can be run: its own environment may still be in the making when the tests begin."""

from __future__ import annotations

import fcntl
import subprocess
from functools import cache
from pathlib import Path

from recommender.engine.vllm_server import vllm_python
from recommender.errors import RecommenderError

#: held by `make vllm-env` as long as it works
MAKING = Path("build/vllm-env.lock")


@cache
def vllm_is_missing() -> str | None:
    """Say why vLLM cannot be run here, or None; waits for an environment that is being made."""
    _wait_until_made()
    try:
        python = vllm_python()
    except RecommenderError as error:
        return str(error)
    found = subprocess.run([python, "-c", "import vllm, recommender.vllm_plugin"], capture_output=True, text=True)
    return found.stderr.strip().splitlines()[-1] if found.returncode else None


def _wait_until_made() -> None:
    if MAKING.is_file():
        with MAKING.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
