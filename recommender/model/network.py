"""The network: a causal LLM with LoRA that reads items as positions and scores codes. Its losses stand in `loss.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recommender.adapters.lora import CONVERSE, EXPLAIN, RANK, add_adapters, add_listening_adapter
from recommender.config import Config, Modality
from recommender.encoders.features import Features
from recommender.model.architecture import WordScores, embedding_scale
from recommender.model.augmenting import Augmenting
from recommender.model.block_attention import handing_on, row_arguments
from recommender.model.initialization import initial_ranking_norm
from recommender.model.item_memory import ItemMemory, ages_in_rows, ages_of_prompts
from recommender.model.language_model import first_layers
from recommender.model.listening import Listener, listening_loss, listening_view
from recommender.model.loss import ranking_loss, word_loss
from recommender.model.soft_targets import SoftTargets
from recommender.model.training_softmax import TrainingSoftmax
from recommender.prompting.example import FIRST_SOFT, IGNORE, ITEM, MASKED
from recommender.prompting.packing import Batch
from recommender.prompting.row_mask import RowMask
from recommender.prompting.sequences import Sequences
from recommender.semantic_ids.codes import SemanticIds

#: weight of the words of a reading beside the items that are expected
_WORDS_WEIGHT = 0.1
#: spread of the layers' first scores beside a memory, whose scores are right from the start
_BESIDE_MEMORY = 0.25


class RecommenderModel(TrainingSoftmax):
    """The LLM with LoRA, token rows and projectors over one catalogue."""

    def __init__(self, llm: Any, ids: SemanticIds, features: Features, config: Config) -> None:
        """Wrap a frozen `llm`. Rows start from the features: see `initial_rows`."""
        word_embeddings = llm.get_input_embeddings().weight.detach().float()
        super().__init__(ids, config, word_embeddings)
        self.embedding_scale, self.word_scores = embedding_scale(llm), WordScores.of(llm)
        spread = float((word_embeddings - word_embeddings.mean(0)).norm(dim=1).mean())
        self.rank_norm = initial_ranking_norm(llm.model.norm, spread, _BESIDE_MEMORY if config.base.memory else 1.0)
        self.peft = add_adapters(llm, config.lora, config.base.rank_layers)
        self.add_items(features, spread)
        length = config.base.memory
        self.memory = ItemMemory(self.hidden_size, length, spread) if length else None
        #: whether ranking reads the layers; a stage with `layers: false` trains the memory without them
        self.reads_layers = True
        self.listener: Listener | None = None
        self._join(llm.device)

    def add_listener(self, listener: Listener) -> None:
        """Take what listens, with a LoRA adapter of its own; the items must be as they will stay."""
        if self.listener is None:
            add_listening_adapter(self.peft, self.config.lora, self.listening_layers)
        self.listener = listener.to(self.device)
        with torch.no_grad():
            listener.with_items(self.all_embeddings())

    def add_memory(self, length: int) -> None:
        """Give a trained model a memory of its last `length` items that adds nothing yet; one that it has stays."""
        if self.memory is None:
            self.memory = ItemMemory(self.hidden_size, length, None).to(self.device)

    def forget_listener(self) -> None:
        """Give up what listens, so that another depth may, or a training begins anew."""
        if self.listener is not None:
            self.peft.delete_adapter(CONVERSE)
            self.listener = None

    def cut_to(self, layers: int) -> None:
        """Rank with the first `layers` of the ranking layers alone: LoRA of ranking in the others is given up."""
        self.use_adapter(EXPLAIN)  # one that goes must not be the active one
        for layer in self.llm.model.layers[layers:]:
            for module in layer.modules():
                if RANK in getattr(module, "lora_A", ()):
                    module.delete_adapter(RANK)
        self.use_adapter(RANK)
        self.peft.peft_config[RANK].layers_to_transform = list(range(layers))
        self.config = self.config.updated({"base.rank_layers": layers})

    @property
    def listening_layers(self) -> int:
        """How many layers read a conversation."""
        return min(self.config.base.converse_layers, len(self.llm.model.layers))

    def _join(self, device: torch.device) -> None:
        """Move what is trained to where the base lies; a 4-bit base itself cannot be moved."""
        for name, part in self.named_children():
            if name != "peft":
                part.to(device)
        if not self.rows_stay:
            self.rows.data = self.rows.data.to(device)
        for name, buffer in self.named_buffers(recurse=False):
            setattr(self, name, buffer.to(device))

    @property
    def llm(self) -> Any:
        """The base model with the LoRA layers in place."""
        return self.peft.get_base_model()

    def embed(
        self,
        batch: Batch,
        modality_dropout: float = 0.0,
        row_dropout: float = 0.0,
        catalogue: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the input embeddings [rows, positions, hidden] of a batch.

        `catalogue`: an earlier result of `all_items`, for inference; without it the items of the batch are embedded anew.
        """
        is_code = batch.tokens >= self.vocabulary
        words = self.llm.get_input_embeddings()(batch.tokens.masked_fill(is_code, 0))
        embedded = words.to(self.rows.dtype)
        if is_code.any():
            embedded = embedded.masked_scatter(
                is_code[..., None], self.as_input(self.code_rows(batch.tokens[is_code] - self.vocabulary))
            )
        masked = batch.slots == MASKED
        if masked.any():  # the centre of all items says nothing about any of them
            centre = self.as_input(self.centre * self.config.base.item_scale)
            embedded = torch.where(masked[..., None], centre, embedded)
        is_item = batch.items >= 0
        if not is_item.any():
            return embedded
        if catalogue is None:
            unique, inverse = batch.items[is_item].unique(return_inverse=True)
            totals, soft = self.read_items(unique, modality_dropout)
        else:
            totals, soft = (table[batch.items[is_item]] for table in catalogue)
            inverse = torch.arange(len(totals), device=totals.device)
        slots, by_history = batch.slots[is_item], self._augmenting.half is not None
        if not by_history:  # an item is dropped alike wherever it stands
            totals = nn.functional.dropout(totals, row_dropout, self.training)
        table = torch.cat([totals[:, None] * self.config.base.item_scale, soft], 1)
        selected = table[inverse, torch.where(slots == ITEM, 0, slots - FIRST_SOFT + 1)]
        if by_history:
            selected = self._thinned(selected, row_dropout, batch, is_item)
        return embedded.masked_scatter(is_item[..., None], self.as_input(selected))

    def hear(self, batch: Batch) -> Tensor:
        """Return the hidden states [rows, positions, hidden] of conversations, float32."""
        assert self.listener is not None
        words = self.llm.get_input_embeddings()(batch.tokens)
        is_item = batch.items >= 0
        embedded = words.float()
        if is_item.any():
            positions = self.listener.positions(batch.items[is_item]) * self.config.base.item_scale
            embedded = embedded.masked_scatter(is_item[..., None], self.as_input(positions))
        view = listening_view(self.llm, self.listening_layers, self.listener.norm)
        arguments = row_arguments(batch.positions, batch.mask, batch.ends, words.dtype, batch.sequences)
        with handing_on(arguments):
            result = view(
                inputs_embeds=embedded.to(words.dtype),
                position_ids=batch.positions,
                use_cache=False,
                **arguments,
            )
        return result.last_hidden_state.float()

    def _listening_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the summed loss of items and of words that are expected in conversations, and how many there are."""
        assert self.listener is not None and batch.expected is not None
        hidden, labels = self.hear(batch), batch.labels
        items = labels >= self.vocabulary
        expected, probabilities, bare = batch.expected
        scores = self.listener(hidden[items]) - bare[:, None] * self.listener.bias
        loss = listening_loss(scores, expected, probabilities)
        words = (labels != IGNORE) & ~items
        if words.any():
            head = self.llm.get_output_embeddings()
            # a reading is learned within minutes, and its gradients are many times larger than those of the items
            scores = self.word_scores(head(hidden[words].to(head.weight.dtype)))
            loss = loss + _WORDS_WEIGHT * word_loss(scores, labels[words])
        return loss, (labels != IGNORE).sum()

    def ranking_view(self) -> Any:
        """Return the decoder that ranks: the first layers of the LLM and the ranking norm."""
        return first_layers(self.llm.model, self.config.base.rank_layers, self.rank_norm)

    def read(
        self,
        embedded: Tensor,
        positions: Tensor,
        mask: RowMask,
        write: bool = False,
        ends: Sequence[Sequence[int]] = (),
        sequences: Sequences | None = None,
    ) -> Tensor:
        """Run the decoder over embeddings [rows, positions, hidden]; returns hidden states of the same shape.

        `write`: with all layers and the LLM's own norm, as for text; otherwise with the layers that rank. `mask`, `ends`,
        `sequences`: as in Batch.
        """
        backbone = self.llm.model if write else self.ranking_view()
        dtype = self.llm.get_input_embeddings().weight.dtype
        arguments = row_arguments(positions, mask, ends, dtype, sequences)
        with handing_on(arguments):
            result = backbone(
                inputs_embeds=embedded.to(dtype),
                position_ids=positions,
                use_cache=False,
                **arguments,
            )
        return result.last_hidden_state.to(self.rows.dtype)

    def final_states(self, batch: Batch, modality_dropout: float = 0.0, row_dropout: float = 0.0) -> Tensor:
        """Return the states [rows, positions, hidden] whose products with rows score codes; where it writes, of words."""
        remembered = None
        if self.memory is not None and not batch.writes:
            remembered = self._remembered(batch, modality_dropout, row_dropout)
            if not self.reads_layers:
                return remembered
        embedded = self.embed(batch, modality_dropout, row_dropout)
        hidden = self.read(
            embedded, batch.positions, batch.mask, write=batch.writes, ends=batch.ends, sequences=batch.sequences
        )
        return hidden if remembered is None else hidden + remembered

    def _remembered(self, batch: Batch, modality_dropout: float, row_dropout: float) -> Tensor:
        """Return what the memory adds at each position of packed rows, [rows, positions, hidden]."""
        assert self.memory is not None
        is_item = batch.slots == ITEM
        unique, inverse = batch.items[is_item].unique(return_inverse=True)
        vectors = self.read_items(unique, modality_dropout)[0] - self.centre
        read = self._thinned(vectors[inverse], row_dropout, batch, is_item)
        placed = read.new_zeros(*batch.slots.shape, self.hidden_size).masked_scatter(is_item[..., None], read)
        return self.memory(placed, ages_in_rows(batch.slots, batch.mask.segments, self.memory.length))

    def remembered_at_ends(self, embedded: Tensor, slots: Tensor, parts: Sequence[slice]) -> Tensor:
        """Return what the memory adds at the end of prompts, [prompts, hidden]; zeros for a model without one.

        `embedded` [positions, hidden]: the input embeddings of prompts that lie in one row, each in its part of it; `slots`
        [positions] as in Batch.
        """
        if self.memory is None:
            return embedded.new_zeros(len(parts), self.hidden_size)
        scale = self.embedding_scale * self.config.base.item_scale
        vectors = (embedded / scale - self.centre) * (slots == ITEM)[:, None]
        return self.memory(vectors, ages_of_prompts(slots, parts, self.memory.length))

    def forward(
        self,
        batch: Batch,
        modality_dropout: float = 0.0,
        row_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        teacher: SoftTargets | None = None,
        cold_item_dropout: float = 0.0,
        views: Mapping[Modality, Tensor] | None = None,
        augmenting: Augmenting | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the summed loss over a batch's labels (see `loss.py`), and how many labels there are.

        `cold_item_dropout`: share of the items that count as new throughout the batch, drawn anew for each batch. Such
        an item is read, and ranked among all others, by its content alone, as an item is that comes later (Volkovs et
        al., "DropoutNet", NeurIPS 2017). With more than one level items share codes, and no item is drawn.

        `views`: vectors [1 + views, items, width] of some modalities, as in `Views`; throughout the batch each item has
        those of one view of each modality, drawn anew for each batch.

        `augmenting`: what else changes the items that are read.
        """
        few_rows = self._few_rows(batch, teacher)
        changed = self._with_views(views or {}), self._with_augmenting(augmenting)
        with self._with_cold_items(cold_item_dropout), changed[0], changed[1], few_rows:
            return self._loss(batch, modality_dropout, row_dropout, label_smoothing, teacher)

    def _loss(
        self, batch: Batch, modality_dropout: float, row_dropout: float, smoothing: float, teacher: SoftTargets | None
    ) -> tuple[Tensor, Tensor]:
        if batch.expected is not None:
            return self._listening_loss(batch)
        hidden = self.final_states(batch, modality_dropout, row_dropout)
        labelled = batch.labels != IGNORE
        hidden, labels, interaction_ids = hidden[labelled], batch.labels[labelled], batch.interaction_ids[labelled]
        if batch.writes:
            head = self.llm.get_output_embeddings()
            return word_loss(self.word_scores(head(hidden.to(head.weight.dtype))), labels), labelled.sum()
        loss = ranking_loss(
            self._training_logits,
            hidden,
            labels - self.vocabulary,
            self.offsets.tolist(),
            smoothing,
            teacher,
            interaction_ids,
            self.codes,
            self._large_losses,
        )
        return loss, labelled.sum()

    def _training_logits(self, hidden: Tensor, level: int) -> Tensor:
        """Return `code_logits` computed in the precision of the LLM.

        Each step needs all rows of the catalogue: in float32 a few thousand items cost as much as the layers.
        """
        dtype = self.llm.get_input_embeddings().weight.dtype
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32):
            return self.code_logits(hidden, level)

    def use_adapter(self, name: str) -> None:
        """Activate one LoRA adapter; which parameters have gradients stays as the trainer set it."""
        trained = {n: p.requires_grad for n, p in self.named_parameters()}
        self.peft.set_adapter(name)
        for n, p in self.named_parameters():
            p.requires_grad_(trained[n])


def is_adapter_parameter(name: str) -> bool:
    """Whether a parameter is trained and saved in a checkpoint, and not part of the frozen base model."""
    return "lora_" in name or not name.startswith("peft.")


def is_listening_parameter(name: str) -> bool:
    """Whether a parameter of the network belongs to what listens, which a checkpoint has a file of its own for."""
    return f".{CONVERSE}." in name or name.startswith("listener.")
