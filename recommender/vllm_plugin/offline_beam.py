"""vLLM's own beam search over an exported folder, for benchmarks: a process that answers lines of JSON.

`python -m recommender.vllm_plugin.offline_beam FOLDER SETTINGS`, where SETTINGS is JSON: {"dtype", "beam", "positions",
"prompts"}, the numbers being the largest that a request will have. A line {"prompts": [[ids]], "beam": n, "free": bool} is
answered by {"seconds", "processor", "codes": [[[code]]]}: wall-clock and processor seconds, and the beams of each prompt,
best first. What vLLM itself prints goes to stderr.
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


class OfflineBeamSearch:
    """A vLLM engine within this process, so that its logits processor can be switched between two searches."""

    def __init__(self, folder: str, dtype: str, beam: int, positions: int, prompts: int) -> None:
        """Load the model; `beam`, `positions` and `prompts` are the largest that a search will have."""
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
        """Search with an empty prefix cache; returns wall-clock seconds, processor seconds, and the codes of the beams."""
        WholeBatch.free = free
        self.llm.reset_prefix_cache()
        token_prompts = [TokensPrompt(prompt_token_ids=ids) for ids in prompts]
        params = BeamSearchParams(beam_width=beam, max_tokens=self.served.levels, ignore_eos=True)
        start, processor_start = time.perf_counter(), time.process_time()
        outputs = self.llm.beam_search(token_prompts, params)
        seconds, processor = time.perf_counter() - start, time.process_time() - processor_start
        codes = [
            [
                self._codes(beam.tokens[len(prompt["prompt_token_ids"]) :])
                for beam in output.sequences
                if _is_alive(beam)
            ]
            for prompt, output in zip(token_prompts, outputs, strict=True)
        ]
        return {"seconds": seconds, "processor": processor, "codes": codes}

    def _codes(self, tokens: Iterable[int]) -> list[int]:
        starts = self.served.level_starts
        return [int(token - starts[level]) for level, token in enumerate(tokens)]


def _is_alive(beam: Any) -> bool:
    """Whether a beam follows the trie: where fewer than a beam may follow, vLLM fills up with what may not."""
    return bool(beam.cum_logprob > float("-inf"))


def main() -> None:
    """Answer line by line until stdin ends."""
    answers: TextIO = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    search = OfflineBeamSearch(sys.argv[1], **json.loads(sys.argv[2]))
    answers.write("{}\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(search.search(**json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
