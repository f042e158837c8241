"""The embedded engine: ranks and explains with torch in this process."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from recommender.baselines.fusion.stored import FUSION_FILE, StoredFusion
from recommender.config import Modality
from recommender.constraints import Trie
from recommender.constraints.text_constraint import BREAK, LONGEST, TextConstraint, lines_of, token_pieces
from recommender.conversations.spoken import Likeness
from recommender.conversations.tuned import Tuned
from recommender.data.catalogue import Catalogue
from recommender.encoders.features import Features
from recommender.engine.background import AbandonedError, check_stop, current_stop
from recommender.engine.engine import Engine
from recommender.engine.listening import ConversationReader, sentence_likeness
from recommender.engine.parts import Part, off_now
from recommender.engine.popularity import Popularity
from recommender.engine.priority_lock import PriorityLock
from recommender.engine.ranking import NO_OVERRIDES
from recommender.inference import beam_search
from recommender.inference.beam_search import Ranking
from recommender.inference.hearing import Hearing
from recommender.inference.replaced import score_replaced
from recommender.inference.text_generation import TextGeneration
from recommender.inference.weight_cache import WeightCache
from recommender.inference.writer import Writer
from recommender.justify.template_selection import selected_templates
from recommender.model.card import UNTIL
from recommender.model.checkpoint import TEMPLATE_SELECTION, Checkpoint, from_pretrained, reading, resolve
from recommender.model.manifest import weights_of
from recommender.progress import Progress
from recommender.prompting.conversation import ReadMention
from recommender.prompting.example import Example, VectorOverrides

PROMPTS_AT_ONCE = 16
#: beams of all prompts of a group together, where ids have several levels: memory and time of a step grow with them
BEAMS_AT_ONCE = 1024
#: vectors of one item that are scored together
VECTORS_AT_ONCE = 512


class Recommender(Engine):
    """A trained model that recommends: `Recommender.from_pretrained(folder).recommend(history, k=10)`."""

    name = "embedded"
    at_once = PROMPTS_AT_ONCE

    def __init__(self, checkpoint: Checkpoint, fusion: StoredFusion | None = None) -> None:
        """Serve a loaded checkpoint; `fusion`: what ranks along with it."""
        features = checkpoint.model.features
        catalogue, config = checkpoint.catalogue, checkpoint.config
        counted, labels = checkpoint.companions, checkpoint.labels
        reader = _reader(checkpoint)
        super().__init__(catalogue, config, checkpoint.builder, features, fusion, counted, labels, reader)
        self.setup.until, self.setup.trained = checkpoint.metrics.get(UNTIL), checkpoint.trained_items
        # an adapter that learned nothing, or other prompts, would be replaced sentence by sentence
        self.writes, self.plain_because = checkpoint.writes, checkpoint.plain_because
        if self.writes:  # it is asked for the templates that it writes well
            self.setup.style = replace(
                self.style, lines=selected_templates(checkpoint.metrics.get(TEMPLATE_SELECTION, {}))
            )
        self.model = checkpoint.model.eval()
        self.weights = WeightCache(self.model)
        self._writer = Writer(self.model)
        self._hearing = Hearing(self.model)
        self.tokenizer = checkpoint.tokenizer
        self.trie = Trie.from_codes(self.model.ids.codes, self.model.ids.sizes, device=self.model.device)
        # one adapter is active at a time: two threads must not switch it under each other
        self._lock = PriorityLock()

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        catalogue: Catalogue | str | Path | None = None,
        progress: Progress | None = None,
        bits: int | None = None,
    ) -> Recommender:
        """Load a checkpoint folder; `catalogue`: its items, or their table, if they are not where it says.

        `bits`: rank with matrices of so many bits, 16, 8 or 4, instead of what `decoding.bits` of its config says. Raises
        CheckpointError, AssetError or DataError, and ConfigError for bits that its matrices cannot have.
        """
        kept = resolve(source) / FUSION_FILE
        loaded = from_pretrained(source, catalogue, progress)
        if bits is not None:
            loaded = replace(loaded, config=loaded.config.updated({"decoding.bits": bits}))
            loaded.model.config = loaded.config
        with reading(resolve(source)):
            fusion = StoredFusion.load(kept) if kept.is_file() else None
            if fusion is not None:
                fusion.check_fits(kept, len(loaded.catalogue))
            opened = cls(loaded, fusion)
        if bits is not None:
            opened.weights.check_rounded()
        opened.source, opened.files = str(source), weights_of(resolve(source))
        if opened.listens:
            opened.setup.tuned = Tuned.load(resolve(source), loaded.catalogue, loaded.config.training.outside)
        return opened

    @cached_property
    def likeness(self) -> Likeness | None:
        """What tells how like texts are to those of the items: the sentence encoder that the listener's content is of."""
        listener = self.model.listener
        if listener is None:
            return None
        table = listener.known[:, : listener.sentence_width].cpu().numpy()
        return sentence_likeness(self.config.encoders.named("text"), table)

    def rank_prompts(self, prompts: Sequence[Example], k: int, allowed: torch.Tensor) -> list[Ranking]:
        """Return the best `k` allowed items of each prompt; `allowed` bool [prompts, items]."""
        rankings: list[Ranking] = []
        beam, exact = self.config.decoding.beam, self.config.decoding.exact
        at_once = self._fitting(max(k, beam))
        for start in range(0, len(prompts), at_once):
            check_stop()
            part = slice(start, start + at_once)
            with self._turn():
                rankings += beam_search.rank(
                    self.weights, prompts[part], self.trie, k, beam, allowed[part], self.builder.prefix, exact
                )
        return rankings

    def score_prompts(self, prompts: Sequence[Example], candidates: Sequence[int]) -> np.ndarray:
        """Return exact log-probabilities [prompts, candidates]."""
        rows = []
        # what gives way scores few candidates at a time, at the price of more prefills
        in_small_groups = current_stop() is not None and self.model.ids.levels > 1
        columns = BEAMS_AT_ONCE // PROMPTS_AT_ONCE if in_small_groups else max(len(candidates), 1)
        for start in range(0, len(prompts), PROMPTS_AT_ONCE):
            part = prompts[start : start + PROMPTS_AT_ONCE]
            groups = [candidates[first : first + columns] for first in range(0, len(candidates), columns)]
            rows.append(np.concatenate([self._scores(part, group) for group in groups], axis=1))
        return np.concatenate(rows)

    def _scores(self, prompts: Sequence[Example], candidates: Sequence[int]) -> np.ndarray:
        check_stop()
        with self._turn():
            return beam_search.score(self.weights, prompts, candidates, instruction=self.builder.prefix)

    def hear_prompts(self, prompts: Sequence[Example]) -> np.ndarray:
        """Return the log-probabilities of all items behind conversations [prompts, items]."""
        if self.reader is None:
            return super().hear_prompts(prompts)
        with self._turn(), self._hearing:
            return self._hearing.scores(prompts)

    def read_prompt(self, prompt: Example, mentions: Sequence[ReadMention]) -> list[tuple[str, float]]:
        """Return what is meant by each mention of a conversation, and how sure that is."""
        if self.reader is None:
            return super().read_prompt(prompt, mentions)
        with self._turn(), self._hearing:
            return self._hearing.read(prompt, mentions, self.reader.prompts)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the model for a group of prompts, without what is switched off: whoever may be left gives way to whoever
        waits for a list."""
        with self._lock.high() if current_stop() is None else self._lock.low(), self.model.switched_off(off_now()):
            yield

    @property
    def switchable(self) -> tuple[Part, ...]:
        """The parts that a request may switch off, the model's modalities among them."""
        return (*self.model.modalities, *super().switchable)

    def _fitting(self, width: int) -> int:
        """Return how many prompts are searched together with beams of a width."""
        if self.model.ids.levels == 1:
            return PROMPTS_AT_ONCE
        return min(PROMPTS_AT_ONCE, max(BEAMS_AT_ONCE // width, 1))

    def contributions(
        self,
        history: np.ndarray,
        items: Sequence[int],
        query: str | None = None,
        overrides: VectorOverrides = NO_OVERRIDES,
    ) -> dict[Modality, np.ndarray]:
        """Return for each modality its effect on each item's score [items]: the score less the score with the modality
        absent everywhere."""
        whole = self.score([history], items, query, overrides)[0]
        effects: dict[Modality, np.ndarray] = {}
        for modality in (m for m in self.model.modalities if m not in off_now()):
            with self._turn(), self.model.muted(modality):
                effects[modality] = whole - self.score([history], items, query, overrides)[0]
        return effects

    def score_without(
        self,
        history: np.ndarray,
        modality: Modality | None,
        items: Sequence[int],
        candidates: Sequence[int],
        query: str | None = None,
        overrides: VectorOverrides = NO_OVERRIDES,
    ) -> np.ndarray | None:
        """Return the scores [candidates] while `items` have nothing of a modality, as if the medium were missing."""
        if modality is None:
            return self.score([history], candidates, query, overrides)[0]
        with self._turn(), self.model.muted(modality, items=items):
            return self.score([history], candidates, query, overrides)[0]

    @contextmanager
    def reading_without(self, modalities: Collection[Modality], items: Sequence[int]) -> Iterator[None]:
        """Within the block `items` are read and scored as if they had nothing of these modalities; others wait for it."""
        with self._turn(), self.model.muted(*modalities, items=items):
            yield

    def score_replaced(
        self,
        history: np.ndarray,
        item: int,
        modality: Modality,
        vectors: np.ndarray,
        query: str | None = None,
        overrides: VectorOverrides = NO_OVERRIDES,
    ) -> np.ndarray:
        """Return the log-probabilities [n] of an item with each of `vectors` [n, width] as its own of a modality.

        The history is read once for all of them, or, where the item is part of it, once for each.
        """
        prompt = self.ranker.prompts([history], query, overrides)[0]
        scores = []
        for start in range(0, len(vectors), VECTORS_AT_ONCE):
            check_stop()
            with self._turn():
                part = vectors[start : start + VECTORS_AT_ONCE]
                scores.append(score_replaced(self.weights, prompt, item, modality, part, self.builder.prefix))
        return np.concatenate(scores) if scores else np.zeros(0, np.float32)

    def set_features(self, features: Features) -> None:
        """Replace the items' encoder vectors, e.g. by freshly encoded ones."""
        with self._lock.high():
            self.model.set_features(features)
            self.setup.features = features
            self.popularity = Popularity(self.ranker)

    @torch.no_grad()
    def write(
        self,
        prompts: Sequence[str],
        names: Sequence[Sequence[str]] | None = None,
        stop: threading.Event | None = None,
    ) -> list[str]:
        """Answer user messages with the writing adapter, greedily, one text each; texts are cut short once `stop` is set.

        `names`: for each message, the only texts that may stand within quotation marks.
        """
        constraints = [TextConstraint(tuple(one)) for one in names] if names else [None] * len(prompts)
        turns = [self.builder.chat_turn(prompt) for prompt in prompts]
        between = _BetweenSteps(self._writer, self._lock, stop)
        texts = None
        with self._writing(between):
            if turns:
                texts = self._writer.texts(turns, between.step)
                self._write_on(texts, constraints, between, self.config.justify.max_new_tokens)
        return [self._text(tokens) for tokens in texts.tokens] if texts else [""] * len(prompts)

    @torch.no_grad()
    def write_list(self, prompt: str, constraint: TextConstraint, stop: threading.Event | None = None) -> Iterator[str]:
        """Answer a user message with a list that is held to its items; each line as it is written, in one generation."""
        spans, between, texts = token_pieces(self.tokenizer), _BetweenSteps(self._writer, self._lock, stop), None
        for number in range(len(constraint.items)):
            with self._writing(between):  # between two lines nobody is kept waiting, whoever reads them
                texts = texts or self._writer.texts([self.builder.chat_turn(prompt)], between.step)
                self._write_on(texts, [constraint], between, 2 * LONGEST, spans.known[BREAK])
            if texts is None or between.is_left:
                return
            yield lines_of(spans.text([token for token in texts.tokens[0] if token != spans.end]))[number]

    def _write_on(
        self,
        texts: TextGeneration,
        constraints: Sequence[TextConstraint | None],
        between: _BetweenSteps,
        tokens: int,
        stop_at: int | None = None,
    ) -> None:
        """Write the likeliest tokens until each text has ended, with `stop_at` or for good, or has `tokens` more; a text
        that has ended is padded. Raises AbandonedError once nobody waits for them."""
        pieces, end = token_pieces(self.tokenizer), self.tokenizer.eos_token_id
        ended = [False] * len(constraints)
        for _ in range(tokens):
            between.step()
            for constraint, logits, written in zip(constraints, texts.logits, texts.tokens, strict=True):
                if constraint:
                    constraint.constrain(logits, written, pieces)
            likeliest = texts.logits.argmax(-1).tolist()
            texts.append([end if over else token for over, token in zip(ended, likeliest, strict=True)])
            ended = [over or text[-1] in (end, stop_at) for over, text in zip(ended, texts.tokens, strict=True)]
            if all(ended):
                return

    @contextmanager
    def _writing(self, between: _BetweenSteps) -> Iterator[None]:
        """Hold the model with the adapter that writes; a text that nobody waits for stays as short as it is."""
        with self._lock.low(), suppress(AbandonedError):
            try:
                self._writer.begin()
                yield
            finally:
                self._writer.end()

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True)).strip()


def _reader(checkpoint: Checkpoint) -> ConversationReader | None:
    """Return what makes prompts of conversations; None for a model that has not learned to listen."""
    listener = checkpoint.model.listener
    if listener is None:
        return None
    popularity, languages = listener.offsets().detach().float().cpu().numpy(), checkpoint.config.base.languages
    return ConversationReader(checkpoint.catalogue, checkpoint.conversation_prompts(), popularity, languages)


class _BetweenSteps:
    """Between two tokens of a text, and two layers of its prefill: whoever waits for a ranked list goes first, and nobody
    writes for who has left."""

    def __init__(self, writer: Writer, lock: PriorityLock, stop: threading.Event | None) -> None:
        self.writer, self.lock, self.stop = writer, lock, stop or current_stop()

    @property
    def is_left(self) -> bool:
        """Whether nobody waits for the text any more."""
        return self.stop is not None and self.stop.is_set()

    def step(self) -> None:
        """Let others go first. Raises AbandonedError if nobody waits for the text."""
        if self.lock.high_is_waiting and not self.is_left:
            self.writer.end()
            self.lock.yield_to_high()
            self.writer.begin()
        if self.is_left:
            raise AbandonedError
