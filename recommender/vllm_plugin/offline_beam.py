"""vLLM's own beam search over an exported folder, for comparison: a process that answers lines of JSON.

`python -m recommender.vllm_plugin.offline_beam FOLDER SETTINGS`, SETTINGS as JSON: {"dtype", "beam", "positions",
"prompts"}, the largest of each that will be asked for. A line {"prompts": [[ids]], "beam": n, "free": bool} is answered by
{"seconds", "processor", "codes": [[[code]]]}: the beams of each prompt, best first. What vLLM itself prints goes to standard
error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from typing import Any, TextIO

from vllm import LLM, TokensPrompt
from vllm.sampling_params import BeamSearchParams

from recommender.vllm_plugin.served_folder import Served
from recommender.vllm_plugin.trie_processor import WholeBatch


class Offline:
    """One engine within this process, so that its processor can be switched between two searches."""

    def __init__(self, folder: str, dtype: str, beam: int, positions: int, prompts: int) -> None:
        """Load the model; `beam`, `positions` and `prompts` are the largest that will be asked for."""
        self.served = Served.load(folder)
        self.llm = LLM(
            folder,
            dtype=dtype,
            max_model_len=positions + self.served.levels + 1,
            max_num_seqs=beam * prompts,
            max_num_batched_tokens=max(prompts * positions, 2048),
            max_logprobs=2 * beam,
            enforce_eager=True,
            block_size=32,
            logits_processors=[WholeBatch],
            logprobs_mode="processed_logits",
        )

    def search(self, prompts: Iterable[list[int]], beam: int, free: bool) -> dict[str, Any]:
        """Search with nothing known of the prompts before; returns seconds, the processor's too, and codes."""
        WholeBatch.free = free
        self.llm.reset_prefix_cache()
        asked = [TokensPrompt(prompt_token_ids=ids) for ids in prompts]
        params = BeamSearchParams(beam_width=beam, max_tokens=self.served.levels, ignore_eos=True)
        start, worked = time.perf_counter(), time.process_time()
        found = self.llm.beam_search(asked, params)
        seconds, processor = time.perf_counter() - start, time.process_time() - worked
        first = self.served.first
        codes = [
            [
                [int(t - first[level]) for level, t in enumerate(b.tokens[len(p["prompt_token_ids"]) :])]
                for b in f.sequences
            ]
            for p, f in zip(asked, found, strict=True)
        ]
        return {"seconds": seconds, "processor": processor, "codes": codes}


def main() -> None:
    """Answer line by line until standard input ends."""
    answers: TextIO = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    offline = Offline(sys.argv[1], **json.loads(sys.argv[2]))
    answers.write("{}\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(offline.search(**json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
