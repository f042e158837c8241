"""Runs a function in several processes that train together, copies of this one: nothing is imported again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import traceback
from collections.abc import Callable
from typing import Any

from accelerate.state import AcceleratorState, PartialState


def in_processes(count: int, work: Callable[[int], Any], seconds: float = 60, **environment: str) -> list[Any]:
    """Return what `work(rank)` returns in each of `count` processes; an interruption returns "stopped"."""
    context = multiprocessing.get_context("fork")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes = [context.Pipe(duplex=False) for _ in range(count)]
    told = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}

    def begin(rank: int) -> None:
        os.environ |= {name: str(value) for name, value in (told | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        os.environ |= environment
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        AcceleratorState._reset_state(True)
        PartialState._reset_state()
        try:
            result = work(rank)
        except KeyboardInterrupt:
            result = "stopped"
        except BaseException:
            result = AssertionError(traceback.format_exc())
        pipes[rank][1].send(result)
        pipes[rank][1].close()

    processes = [context.Process(target=begin, args=(rank,), daemon=True) for rank in range(count)]
    for process in processes:
        process.start()
    try:
        results = [reader.recv() if reader.poll(seconds) else TimeoutError("it hangs") for reader, _ in pipes]
    finally:
        for process in processes:
            process.join(5)
            process.kill()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
