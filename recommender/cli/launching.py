"""Several processes on CPUs: `accelerate launch --cpu` starts one, however many it was asked for; here the others start."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import typer

from recommender.cli.stopping import Terminated
from recommender.errors import ConfigError
from recommender.strict.yaml_documents import read_yaml

_TOLD = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
#: the ways to call it: `accelerate launch`, `accelerate-launch`, `python -m accelerate.commands.launch`
_LAUNCHERS = ("accelerate-launch", "accelerate.commands.launch", "accelerate/commands/launch.py")
_GRACE_SECONDS = 20.0


def start_all_processes() -> None:
    """Begin this command in as many processes as accelerate was asked for, and end with their exit code.

    Returns where there is nothing to start: in one process, in one of those that it has started, or under torchrun. Raises
    ConfigError if the number cannot be told.
    """
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
    # accelerate names a meeting place only for several processes, and then starts one
    if not on_cpu or "MASTER_ADDR" not in os.environ or any(name in os.environ for name in _TOLD):
        return
    count = _asked_for()
    if count > 1:
        raise typer.Exit(_run([_begun(rank, count) for rank in range(count)]))


def _asked_for() -> int:
    """Return how many processes `accelerate launch` was asked for, as its command line or its config file says."""
    import psutil  # comes with accelerate

    parent = psutil.Process().parent()
    words = [] if parent is None else parent.cmdline()
    start = next((i for i, word in enumerate(words) if word == "launch" or word.endswith(_LAUNCHERS)), len(words))
    count = processes_of(words[start + 1 :])
    if count is None:
        command = sys.argv[1] if len(sys.argv) > 1 else "train"
        raise ConfigError(
            "accelerate was asked for several processes on CPUs, and started one",
            f"torchrun --nproc-per-node N -m recommender {command} ...",
        )
    return count


def processes_of(words: Sequence[str]) -> int | None:
    """Return how many processes the arguments of `accelerate launch` ask for on one machine; None if they do not say."""
    options = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    for name in ("num_processes", "num_machines", "config_file"):
        options.add_argument(f"--{name}", f"--{name.replace('_', '-')}")
    asked = vars(options.parse_known_args(words)[0])
    if asked["config_file"]:
        told = read_yaml(Path(asked["config_file"]), ConfigError)
        asked = {name: asked[name] or told.get(name) for name in asked} if isinstance(told, dict) else asked
    count, machines = (str(asked[name] or "") for name in ("num_processes", "num_machines"))
    return int(count) if count.isdecimal() and machines in ("", "1") else None


def _begun(rank: int, count: int) -> subprocess.Popen[bytes]:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _port()}
    environment = os.environ | {name: str(value) for name, value in (place | meeting).items()}
    return subprocess.Popen([sys.executable, "-m", "recommender", *sys.argv[1:]], env=environment)


_ports: list[int] = []


def _port() -> int:
    """Return a free port, the same at each call."""
    if not _ports:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            _ports.append(free.getsockname()[1])
    return _ports[0]


def _run(children: Sequence[subprocess.Popen[bytes]]) -> int:
    """Wait for all; where one fails, end the others. Returns the exit code of the first that failed, else 0."""
    try:
        while True:
            codes = [child.poll() for child in children]
            failed = next((code for code in codes if code), None)
            if failed is not None:
                return failed if failed > 0 else 128 - failed  # a signal, as a shell tells it
            if all(code == 0 for code in codes):
                return 0
            time.sleep(0.1)
    except KeyboardInterrupt as stop:
        if isinstance(stop, Terminated):  # Ctrl-C reaches all processes of a terminal by itself
            _end(children)
        return max(child.wait(_GRACE_SECONDS) for child in children)
    finally:
        _end(children)


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    for child in children:
        try:
            child.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
