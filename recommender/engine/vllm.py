"""The vLLM engine: prompts, checks and reasons are made here, the language model runs in vLLM's server."""

from __future__ import annotations

import base64
import copy
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import requests
import torch
from requests.adapters import HTTPAdapter

from recommender.adapters.lora import CONVERSE, EXPLAIN, RANK
from recommender.adapters.vouching import file_digest
from recommender.constraints.choice import choose
from recommender.constraints.text_constraint import BREAK, LONGEST, TEXT_CONSTRAINT, TextConstraint, lines_of
from recommender.conversations.spoken import Likeness
from recommender.conversations.tuned import Tuned
from recommender.data.catalogue import Catalogue
from recommender.engine.background import AbandonedError, check_stop, current_stop
from recommender.engine.engine import Engine
from recommender.engine.listening import ConversationReader, sentence_likeness
from recommender.engine.vllm_parts import ServedPart, SharedScratch, is_version
from recommender.engine.vllm_server import KEY, VllmServer
from recommender.errors import ConfigError, EngineLostError, RecommenderError
from recommender.export.listening_export import LISTEN
from recommender.export.vllm_folder import Exported, export_vllm, is_export, load_exported
from recommender.inference.beam_search import Ranking
from recommender.model.checkpoint import from_pretrained, resolve
from recommender.model.manifest import MANIFEST, weights_of
from recommender.progress import Progress
from recommender.prompting.conversation import ReadMention
from recommender.prompting.example import Example
from recommender.vllm_plugin.served_folder import LISTED

CONNECTIONS = 64
_SECONDS, _PROBE, _LOOK_SECONDS = 300, 5, 0.05
#: statuses by which vLLM says that it is the request which is wrong
_REFUSED = (400, 413, 422)


@dataclass(frozen=True)
class VllmOptions:
    """Where vLLM is. Without addresses, servers are started; `flags` go to them as they are.

    `rank_adapter`, `write_adapter`, `listen_adapter`: the names of the LoRA adapters that answer.
    """

    rank_url: str | None = None
    write_url: str | None = None
    listen_url: str | None = None
    rank_adapter: str = RANK
    write_adapter: str = EXPLAIN
    listen_adapter: str = CONVERSE
    flags: tuple[str, ...] = ()


class VllmRecommender(Engine):
    """Recommends through vLLM servers over an exported folder."""

    name = "vllm"
    at_once = 16
    parallel = 8
    written_at_once = 1

    def __init__(
        self,
        exported: Exported,
        options: VllmOptions | None = None,
        before: Engine | None = None,
        scratch: SharedScratch | None = None,
    ) -> None:
        """Start or join the servers; those that are started are ended by `close`.

        `before`: the version that answers meanwhile; where nothing but an adapter differs, its server is used on.
        `scratch`: what holds the exported folder; it is held until `close`.
        """
        if exported.config.decoding.exact:
            raise ConfigError(
                "decoding.exact: vLLM's beams cannot be widened", "use the embedded engine, or a wider beam"
            )
        catalogue, heard, likely = exported.catalogue, exported.conversations, exported.popularity
        reader = None
        if heard is not None and likely is not None:
            reader = ConversationReader(catalogue, heard, likely, exported.config.base.languages)
        parts = catalogue, exported.config, exported.builder, exported.features
        super().__init__(*parts, companions=exported.companions, reader=reader)
        self.setup.tuned = exported.tuned
        self.exported, self.options = exported, options or VllmOptions()
        self.source, self.files = str(exported.folder), weights_of(exported.folder)
        self.plain_because = exported.plain_because
        self.writes = exported.plain_because is None
        #: the servers that were not joined by an address, and the name of the adapter that is used of each
        self.parts: dict[str, tuple[ServedPart, str]] = {}
        self._before = before.parts if isinstance(before, VllmRecommender) else {}
        self._scratch = scratch
        if scratch is not None:
            scratch.hold()
        self._keys: dict[str, str] = {}
        self.session = requests.Session()
        self.session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))
        self.pool = ThreadPoolExecutor(CONNECTIONS)
        try:
            self.rank_url = self.options.rank_url or self._served("rank", RANK, constrained=True)
            # a server that nobody asks would only take memory
            self.write_url = self.options.write_url or (
                self._served("write", EXPLAIN, constrained=False) if self.writes else None
            )
            self.listen_url = self.options.listen_url or (
                self._served(LISTEN, CONVERSE, constrained=True) if self.reader is not None else None
            )
            for part, (served, _) in self.parts.items():
                if served is not self._before.get(part, (None,))[0]:
                    served.server.wait()
        except BaseException:
            self.close()
            raise
        names = {part: name for part, (_, name) in self.parts.items()}
        self.options = replace(
            self.options,
            rank_adapter=names.get("rank", self.options.rank_adapter),
            write_adapter=names.get("write", self.options.write_adapter),
            listen_adapter=names.get(LISTEN, self.options.listen_adapter),
        )
        self._before = {}

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        catalogue: Catalogue | str | Path | None = None,
        progress: Progress | None = None,
        options: VllmOptions | None = None,
        before: Engine | None = None,
    ) -> VllmRecommender:
        """Serve an exported folder, or a checkpoint, which is exported into a temporary folder first.

        `before`: the version that answers meanwhile, see `__init__`.
        """
        if is_export(Path(source)):
            return cls(load_exported(source, catalogue), options, before)
        scratch = SharedScratch()
        target = scratch.folder / "export"
        try:
            checkpoint = from_pretrained(source, catalogue, progress)
            tuned = Tuned.load(resolve(source), checkpoint.catalogue, checkpoint.config.training.outside)
            export_vllm(checkpoint, target, progress, tuned)
            exported = load_exported(target, checkpoint.catalogue, file_digest(target / MANIFEST))
            engine = cls(exported, options, before, scratch)
        finally:
            scratch.let_go()  # the engine holds it
        engine.setup.trained = checkpoint.trained_items
        return engine

    @cached_property
    def likeness(self) -> Likeness | None:
        """What tells how like texts are to those of the items, by their sentence vectors."""
        return sentence_likeness(self.config.encoders.named("text"), self.exported.sentences)

    @property
    def started(self) -> list[VllmServer]:
        """The servers that are used and were not joined by an address."""
        return [served.server for served, _ in self.parts.values()]

    def _served(self, part: str, adapter: str, constrained: bool) -> str:
        """Return the address of a part's server: of the version before, with the adapter loaded, or a new one."""
        served, _ = self._before.get(part, (None, ""))
        if served is not None and served.serves(self.exported, part, adapter):
            name = served.take(self.exported, part, adapter)
        else:
            name = adapter
            served = ServedPart(self.exported, part, adapter, self.options.flags, constrained, self._scratch)
        self.parts[part] = served, name
        self._keys[served.server.url] = served.server.key
        return served.server.url

    def close(self) -> None:
        """Let go of the servers that were not joined by an address; those that no other version uses end."""
        while self.parts:
            served, name = self.parts.popitem()[1]
            served.let_go(name)
        self.pool.shutdown(cancel_futures=True)
        if self._scratch:
            self._scratch.let_go()
            self._scratch = None

    def rank_prompts(self, prompts: Sequence[Example], k: int, allowed: torch.Tensor) -> list[Ranking]:
        """Return the best `k` allowed items of each prompt; `allowed` bool [prompts, items]."""
        rows = zip(prompts, allowed.cpu().numpy(), strict=True)
        return self._rank([self._prompt_field(prompt, row) for prompt, row in rows], k, self.config.decoding.beam)

    def score_prompts(self, prompts: Sequence[Example], candidates: Sequence[int]) -> np.ndarray:
        """Return exact log-probabilities [prompts, candidates]: a beam as wide as what may be shown loses nothing."""
        if not len(candidates):
            return np.zeros((len(prompts), 0), np.float32)
        columns = {int(item): column for column, item in enumerate(dict.fromkeys(map(int, candidates)))}
        fields = [self._positions_field(prompt) | {"only": list(columns)} for prompt in prompts]
        scores = np.full((len(prompts), len(columns)), -np.inf)
        for start in range(0, len(fields), self.at_once):
            rankings = self._rank(fields[start : start + self.at_once], len(columns), len(columns))
            for row, ranking in enumerate(rankings, start):
                scores[row, [columns[int(item)] for item in ranking.items]] = ranking.scores
        return scores[:, [columns[int(item)] for item in candidates]]

    def _prompt_field(self, prompt: Example, allowed: np.ndarray) -> dict[str, Any]:
        """Return a prompt as the ranking route reads it, with what is allowed in the shortest of three ways."""
        positions, count = self._positions_field(prompt), int(allowed.sum())
        if min(count, len(allowed) - count) > LISTED:
            return positions | {"bits": base64.b64encode(np.packbits(allowed).tobytes()).decode()}
        if 2 * count >= len(allowed):
            return positions | {"deny": np.flatnonzero(~allowed).tolist()}
        return positions | {"only": np.flatnonzero(allowed).tolist()}

    def _positions_field(self, prompt: Example) -> dict[str, Any]:
        overrides = prompt.overrides.items()
        vectors = {item: {m: vector.tolist() for m, vector in by_modality.items()} for item, by_modality in overrides}
        return {"ids": self._ids(prompt)} | ({"vectors": vectors} if vectors else {})

    def _ids(self, prompt: Example) -> list[int]:
        return [int(token) for token in self.exported.layout.ids(prompt, self.exported.ids.codes)]

    def _rank(self, prompts: list[dict[str, Any]], k: int, beam: int) -> list[Ranking]:
        check_stop()
        body = {"prompts": prompts, "k": k, "beam": beam, "model": self.options.rank_adapter}
        rankings = self._post(f"{self.rank_url}/v1/recommender/rank", body)["rankings"]
        return [Ranking(np.array(row["items"], np.int64), np.array(row["scores"], np.float32)) for row in rankings]

    def hear_prompts(self, prompts: Sequence[Example]) -> np.ndarray:
        """Return the log-probabilities of all items behind conversations [prompts, items]."""
        if self.listen_url is None:
            return super().hear_prompts(prompts)
        items = len(self.catalogue)
        scores = np.full((len(prompts), items), -np.inf, np.float32)
        for start in range(0, len(prompts), self.at_once):
            check_stop()
            part = [{"ids": self._heard_ids(prompt)} for prompt in prompts[start : start + self.at_once]]
            body = {"prompts": part, "k": items, "beam": items, "model": self.options.listen_adapter}
            answer = self._post(f"{self.listen_url}/v1/recommender/rank", body)["rankings"]
            for row, ranking in enumerate(answer, start):
                scores[row, ranking["items"]] = ranking["scores"]
        return scores

    def read_prompt(self, prompt: Example, mentions: Sequence[ReadMention]) -> list[tuple[str, float]]:
        """Return what is meant by each mention of a conversation, and how sure that is."""
        if self.listen_url is None or self.reader is None:
            return super().read_prompt(prompt, mentions)
        ids, words, answers = self._heard_ids(prompt), self.reader.prompts, []
        for mention in mentions:
            ids += words.reading_step(mention).tolist()
            meant, share = choose(options := words.options(mention), partial(self._likely, tuple(ids)))
            answers.append((meant, share))
            ids += [*options[meant], *words.line_end.tolist()]
        return answers

    def _likely(self, ids: Sequence[int], prefix: Sequence[int], tokens: Sequence[int]) -> list[float]:
        """Return how likely each of some tokens is behind a prompt, among them; vLLM keeps what it has read of it."""
        check_stop()
        body = {"model": self.options.listen_adapter, "prompt": [*ids, *prefix], "max_tokens": 1, "temperature": 0}
        body |= {"allowed_token_ids": list(tokens), "logprobs": len(tokens), "return_tokens_as_token_ids": True}
        answer = self._post(f"{self.listen_url}/v1/completions", body)["choices"][0]["logprobs"]["top_logprobs"][0]
        logits = torch.tensor([answer.get(f"token_id:{token}", -torch.inf) for token in tokens])
        return [float(share) for share in torch.softmax(logits, -1)]

    def _heard_ids(self, prompt: Example) -> list[int]:
        """Return a conversation's positions as token ids of the model that listens: items come behind the words."""
        return [
            int(token) if item < 0 else self.exported.layout.words + int(item)
            for token, item in zip(prompt.tokens, prompt.items, strict=True)
        ]

    def write(
        self,
        prompts: Sequence[str],
        names: Sequence[Sequence[str]] | None = None,
        stop: threading.Event | None = None,
    ) -> list[str]:
        """Answer user messages with the writing adapter, greedily, one text each; texts are cut short once `stop` is set.

        `names`: for each message, the only texts that may stand within quotation marks.
        """
        constraints: list[TextConstraint | None] = [None] * len(prompts)
        if names is not None:
            constraints = [TextConstraint(tuple(allowed)) for allowed in names]
        return list(self.pool.map(partial(self._text, stop=stop or current_stop()), prompts, constraints))

    def write_list(self, prompt: str, constraint: TextConstraint, stop: threading.Event | None = None) -> Iterator[str]:
        """Answer a user message with a list that is held to its items; each line as it is written, in one request."""
        text, yielded = "", 0
        for part in self._stream_text(prompt, constraint, stop):
            text += part
            while text.count(BREAK) > yielded:
                yield lines_of(text)[yielded]
                yielded += 1
        if yielded < len(constraint.items) and not (stop is not None and stop.is_set()):
            yield lines_of(text)[yielded]

    def _text(self, prompt: str, constraint: TextConstraint | None, stop: threading.Event | None) -> str:
        return "".join(self._stream_text(prompt, constraint, stop)).strip()

    def _stream_text(
        self, prompt: str, constraint: TextConstraint | None, stop: threading.Event | None
    ) -> Iterator[str]:
        """Read a text as it is written; leaving the stream ends the work in vLLM."""
        turn = self.builder.chat_turn(prompt).tolist()
        items = 0 if constraint is None else len(constraint.items)
        most = LONGEST * items or self.config.justify.max_new_tokens
        body: dict[str, Any] = {"model": self.options.write_adapter, "prompt": turn, "max_tokens": most}
        body |= {"temperature": 0, "stream": True}
        if constraint is not None:
            body["vllm_xargs"] = {TEXT_CONSTRAINT: constraint.to_json()}
        url = f"{self.write_url}/v1/completions"
        try:
            opened = self._opened(url, body, stream=True, left=stop)
        except AbandonedError:
            return
        with opened as answer:
            try:
                for line in answer.iter_lines():
                    if (stop is not None and stop.is_set()) or line == b"data: [DONE]":
                        return
                    if line.startswith(b"data: "):
                        yield str(json.loads(line[6:])["choices"][0]["text"])
            except requests.RequestException as error:  # it was killed while it wrote
                raise _lost(url, type(error).__name__) from None

    def _post(self, url: str, body: dict[str, Any]) -> Any:
        with self._opened(url, body, left=current_stop()) as answer:
            return answer.json()

    def _opened(
        self, url: str, body: dict[str, Any], stream: bool = False, left: threading.Event | None = None
    ) -> requests.Response:
        """Send a request. Raises AbandonedError once `left` is set, whatever vLLM does by then."""
        send = partial(self.session.post, url, json=body, stream=stream, timeout=_SECONDS, headers=self._headers(url))
        try:
            answer = send() if left is None else _unless_left(send, left)
        except requests.exceptions.InvalidJSONError as error:  # numbers that JSON has not
            raise RecommenderError(f"the request cannot be sent to vLLM ({error})") from None
        except requests.RequestException as error:
            raise _lost(url, type(error).__name__) from None
        if answer.status_code >= 500 and not self._is_alive(url):
            raise _lost(url, f"it answered {answer.status_code}")
        if answer.status_code in _REFUSED:
            raise RecommenderError(f"vLLM refused the request ({answer.text[:300]})")
        if not answer.ok:
            raise VllmError(f"vLLM at {url} answered {answer.status_code}: {answer.text[:300]}")
        return answer

    def _headers(self, url: str) -> dict[str, str]:
        """Return the key of the server behind an address: its own, or the one that the environment names."""
        own = [key for started, key in self._keys.items() if url.startswith(f"{started}/")]
        key = own[0] if own else os.environ.get(KEY)
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _is_alive(self, url: str) -> bool:
        """Whether the server behind an address still computes."""
        try:
            return self.session.get(urljoin(url, "/health"), timeout=_PROBE).ok
        except requests.RequestException:
            return False

    def is_alive(self) -> bool:
        """Whether its servers compute."""
        return all(self._is_alive(url) for url in self.addresses().values())

    def addresses(self) -> dict[str, str]:
        """Where vLLM's servers are: one ranks, another writes if the model does."""
        told = {"vLLM ranks at": self.rank_url, "vLLM writes at": self.write_url, "vLLM listens at": self.listen_url}
        return {what: url for what, url in told.items() if url}

    def adapters(self) -> tuple[str, ...]:
        """The names of the ranking adapters that are loaded, beside the engine's own."""
        url = f"{self.rank_url}/v1/models"
        try:
            cards = self.session.get(url, timeout=_PROBE, headers=self._headers(url)).json()["data"]
        except (requests.RequestException, KeyError) as error:
            raise _lost(url, type(error).__name__) from None
        own = self.options.rank_adapter
        return tuple(c["id"] for c in cards if c.get("parent") and c["id"] != own and not is_version(c["id"], RANK))

    def with_adapter(self, adapter: str) -> VllmRecommender:
        """Return this engine with another ranking adapter, which must be loaded; both ask the same servers."""
        other = copy.copy(self)
        other.options, other.parts, other._scratch = replace(self.options, rank_adapter=adapter), {}, None
        other._bind()
        return other

    def load_adapter(self, name: str, folder: Path) -> None:
        """Load a ranking adapter into the running server under a name of its own, so that no stale cache answers."""
        body = {"lora_name": name, "lora_path": str(folder.absolute())}
        self._opened(f"{self.rank_url}/v1/load_lora_adapter", body).close()

    def unload_adapter(self, name: str) -> None:
        """Take an adapter out of the running server."""
        self._opened(f"{self.rank_url}/v1/unload_lora_adapter", {"lora_name": name}).close()


def _unless_left(send: Callable[[], requests.Response], left: threading.Event) -> requests.Response:
    """Send in a thread of its own, and wait for the answer until `left` is set; then it is closed as soon as it comes."""
    answer = Future[requests.Response]()

    def work() -> None:
        try:
            answer.set_result(send())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=work, name="vllm", daemon=True).start()
    while not wait((answer,), _LOOK_SECONDS).done:
        if left.is_set():
            answer.add_done_callback(_close)
            raise AbandonedError
    return answer.result()


def _close(late: Future[requests.Response]) -> None:
    if late.exception() is None:
        late.result().close()


def _lost(url: str, why: str) -> EngineLostError:
    return EngineLostError(f"vLLM at {url} is gone ({why})", "start it again; a batch goes on by the same command")


class VllmError(Exception):
    """vLLM's server failed: no fault of a request."""


def open_vllm(
    model: str | Path, catalogue: Any, progress: Progress | None, before: Engine | None = None, **options: Any
) -> VllmRecommender:
    """Open the engine by name. Raises RecommenderError for an option that it has not."""
    try:
        chosen = VllmOptions(**options)
    except TypeError as error:
        raise RecommenderError(f"engine vllm: {error}") from None
    return VllmRecommender.from_pretrained(model, catalogue, progress, chosen, before)
