"""vLLM's own beam search on the exported checkpoint, in a child process of vLLM's environment."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from recommender.benchmarks.measuring import Elapsed
from recommender.errors import RecommenderError
from recommender.export.merge import TokenLayout, save_ranking
from recommender.model.checkpoint import Checkpoint
from recommender.prompting.example import Example
from recommender.vllm_plugin.served_folder import write_served

#: Memory for keys and values, in GiB; vLLM reserves all of it at the start.
CACHE_GIB = "4"


class VllmRival:
    """The child process. `elapsed`: the time of the last search, measured within it."""

    def __init__(self, python: str | Path, checkpoint: Checkpoint, beam: int, positions: int, prompts: int) -> None:
        """Export `checkpoint` with LoRA merged into its weights, and load it into vLLM.

        `python`: of an environment with vLLM. `beam`, `positions`, `prompts`: the largest of any search. Raises
        RecommenderError if vLLM does not start.
        """
        model = checkpoint.model
        self.layout, self.codes = TokenLayout.of(model), model.ids.codes
        self.items = {tuple(row): item for item, row in enumerate(model.ids.codes.tolist())}
        self.elapsed = Elapsed(0.0, 0.0)
        self.folder = tempfile.TemporaryDirectory(prefix="recommender-vllm-")
        folder = Path(self.folder.name)
        with torch.no_grad():
            save_ranking(checkpoint, self.layout, folder / "rank")
        write_served(folder / "rank", self.layout.words, model.ids.sizes, model.ids.codes)
        dtype = str(model.llm.get_input_embeddings().weight.dtype).removeprefix("torch.")
        settings = {"dtype": dtype, "beam": beam, "positions": positions, "prompts": prompts}
        command = [
            str(python),
            "-m",
            "recommender.vllm_plugin.offline_beam",
            str(folder / "rank"),
            json.dumps(settings),
        ]
        with (folder / "log").open("w") as log:
            try:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=_environment()
                )
            except OSError as error:
                raise RecommenderError(f"{python} cannot be run ({error.strerror})", "check --vllm-python") from None
        self._answer()

    def search(self, prompts: Sequence[Example], beam: int, k: int, free: bool) -> list[list[int]]:
        """Return the best `k` items of each prompt, -1 for codes of no item; `free`: without the trie's constraint."""
        request = {"prompts": [self.layout.ids(prompt, self.codes).tolist() for prompt in prompts], "beam": beam}
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request | {"free": free}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # reading the answer raises with the reason
        answer = self._answer()
        self.elapsed = Elapsed(answer["seconds"], answer["processor"])
        return [[self.items.get(tuple(codes), -1) for codes in beams[:k]] for beams in answer["codes"]]

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        if line := self.process.stdout.readline():
            return json.loads(line)
        log = Path(self.folder.name, "log").read_text(encoding="utf-8").strip().splitlines()
        self.close()
        raise RecommenderError(
            f"vLLM ended: {log[-1] if log else 'it said nothing'}", "make vllm-env makes its environment"
        )

    def close(self) -> None:
        """End the child."""
        with suppress(BrokenPipeError):  # the child may be gone already
            if self.process.stdin:
                self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def _environment() -> dict[str, str]:
    threads = str(torch.get_num_threads())
    ours = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": CACHE_GIB, "VLLM_PLUGINS": ""}
    ours |= {"OMP_NUM_THREADS": threads, "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1"}
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | ours | {"HF_HUB_OFFLINE": "1"}
