"""The network: a causal LLM that reads items as positions and scores codes, with rows, projectors and LoRA."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recommender.adapters.lora import add_adapters
from recommender.adapters.projectors import Projector
from recommender.config import MODALITIES, SOFT_MODALITIES, Config, Modality
from recommender.encoders.features import Features
from recommender.model.block_attention import AttentionBlocks
from recommender.model.language_model import first_layers
from recommender.numerics.vectors import unit_rows
from recommender.prompting.example import FIRST_SOFT, IGNORE, ITEM, MASKED, VectorOverrides
from recommender.prompting.packing import Batch
from recommender.semantic_ids.codes import SemanticIds


@dataclass(frozen=True)
class SoftTargets:
    """What a teacher expects at each training interaction, for knowledge distillation (Hinton et al., 2015).

    `targets` [interactions]: the item that came. `items` [interactions, most]: the likeliest ones, `probabilities`:
    theirs, which sum to one. `weight`: share of the loss that goes by them.
    """

    targets: Tensor
    items: Tensor
    probabilities: Tensor
    weight: float

    def at(self, interaction_ids: Tensor, codes: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Return the codes [labels, most] of one level and their probabilities, given that the levels before are those
        of the item that came; `codes` [items, levels] of all items. Without a place, or where none of its items has
        those levels, the probabilities are zero."""
        asked = interaction_ids.clamp_min(0).to(
            self.targets.device
        )  # the tables may be too large for where the model is
        own, items = self.targets[asked].to(codes.device), self.items[asked].to(codes.device).long()
        same = (codes[items, :level] == codes[own, None, :level]).all(-1)
        probabilities = self.probabilities[asked].to(codes.device).float() * same * (interaction_ids >= 0)[:, None]
        return codes[items, level], probabilities / probabilities.sum(1, keepdim=True).clamp_min(1e-9)


class RecommenderModel(nn.Module):
    """LLM + token rows + projectors + LoRA over one catalogue.

    An item as one position is the mean of its codes' rows plus its projected vectors. With one level the same sum is
    also the output row of its code, so an item that was never trained on can be ranked from its vectors.
    """

    centre: Tensor
    codes: Tensor

    def __init__(self, llm: Any, ids: SemanticIds, features: Features, config: Config) -> None:
        """Wrap a frozen `llm`. Rows start from the features: see `start_rows`."""
        super().__init__()
        self.config = config
        self.ids = ids
        self.hidden_size = int(llm.config.hidden_size)
        self.vocabulary = int(llm.get_input_embeddings().weight.shape[0])
        embeddings = llm.get_input_embeddings().weight.detach().float()
        self.register_buffer("centre", embeddings.mean(0), persistent=False)
        spread = float((embeddings - embeddings.mean(0)).norm(dim=1).mean())
        self.rank_norm = _ranking_norm(llm.model.norm, spread)
        self.peft = add_adapters(llm, config.lora, config.base.rank_layers)
        self.modalities: tuple[Modality, ...] = tuple(m for m in MODALITIES if m in features.vectors)
        self.soft_modalities = tuple(m for m in SOFT_MODALITIES if m in features.vectors)
        self.projectors = nn.ModuleDict(
            {
                m: Projector(features.vectors[m].shape[1], self.hidden_size, config.prompt.soft_tokens, spread / 4)
                for m in self.modalities
            }
        )
        self.offsets = np.concatenate([[0], np.cumsum(ids.sizes)]).astype(int)
        self.rows = nn.Parameter(start_rows(ids, features, self.hidden_size, spread, config.seed))
        self.set_features(features)
        self._muted: frozenset[str] = frozenset()
        self._cold_items: Tensor | None = None
        self._views: dict[Modality, tuple[Tensor, Tensor]] = {}
        # what is ours joins the base where that lies; a 4-bit base cannot be moved again
        for name, part in self.named_children():
            if name != "peft":
                part.to(llm.device)
        self.rows.data = self.rows.data.to(llm.device)
        for name, buffer in self.named_buffers(recurse=False):
            setattr(self, name, buffer.to(llm.device))

    def set_features(self, features: Features) -> None:
        """Replace the items' encoder vectors, e.g. by freshly encoded ones; shapes as at construction."""
        self.features = features
        for m in self.modalities:
            vectors, present = torch.from_numpy(features.vectors[m]).float(), torch.from_numpy(features.present[m])
            self.register_buffer(f"vectors_{m}", vectors.to(self.device), persistent=False)
            self.register_buffer(f"present_{m}", present.to(self.device), persistent=False)
        codes = torch.from_numpy(self.ids.codes + self.offsets[None, :-1])
        self.register_buffer("codes", codes.to(self.device), persistent=False)

    @property
    def llm(self) -> Any:
        """The base model with the LoRA layers in place."""
        return self.peft.get_base_model()

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.rows.device

    @property
    def muted_modalities(self) -> frozenset[str]:
        """The modalities that items are read without at the moment: see `muted`."""
        return self._muted

    def item_embeddings(self, items: Tensor, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """Return for items [n] their one-position embeddings [n, hidden] and soft tokens [n, soft, hidden].

        With probability `dropout`, independently, an item's rows or one of its modalities is replaced by nothing or
        by the modality's null token: the model learns to do without.
        """
        keep = torch.rand(len(items), len(self.modalities) + 1, device=items.device) >= dropout if dropout else None
        total = self.rows[self.codes[items]].mean(1)
        known = None if self._cold_items is None else ~self._cold_items[items]
        if known is not None:
            total = total * known[:, None]
        if keep is not None:
            total = total * keep[:, -1:]
        total = total + self.centre
        soft = []
        for number, m in enumerate(self.modalities):
            present = getattr(self, f"present_{m}")[items] & (m not in self._muted)
            if keep is not None:
                present = present & keep[:, number]
            if known is not None and m == "collaborative":
                present = present & known
            projected = self.projectors[m](self._vectors(m, items), present)
            total = total + projected.sum(1)
            if m in self.soft_modalities:
                soft.append(projected + self.centre)
        empty = total.new_zeros(len(items), 0, self.hidden_size)
        return total, torch.cat(soft, 1) if soft else empty

    def _vectors(self, modality: Modality, items: Tensor) -> Tensor:
        """Return the vectors [n, width] of items [n]: their plain ones, or those of the views that were drawn."""
        if modality not in self._views:
            return getattr(self, f"vectors_{modality}")[items]
        vectors, drawn = self._views[modality]
        return vectors[drawn[items], items]

    @contextmanager
    def muted(self, *modalities: Modality) -> Iterator[None]:
        """Within the block every item is as if it had none of these modalities."""
        before, self._muted = self._muted, frozenset(modalities)
        try:
            yield
        finally:
            self._muted = before

    def all_items(self) -> tuple[Tensor, Tensor]:
        """Return `item_embeddings` of the whole catalogue."""
        return self.item_embeddings(torch.arange(len(self.codes), device=self.device))

    def code_rows(self, codes: Tensor) -> Tensor:
        """Return the input embeddings [n, hidden] of codes [n], numbered through all levels."""
        return (self.rows[codes] + self.centre) * self.config.base.item_scale

    def output_rows(self, level: int) -> Tensor:
        """Return the rows [codes, hidden] that a hidden state is multiplied with to score a level's codes."""
        if self.ids.codes.shape[1] > 1:
            return self.rows[self.offsets[level] : self.offsets[level + 1]]
        by_code = torch.empty(len(self.codes), dtype=torch.long, device=self.device)
        by_code[self.codes[:, 0]] = torch.arange(len(self.codes), device=self.device)
        return self.all_items()[0][by_code]

    def embed(
        self,
        batch: Batch,
        modality_dropout: float = 0.0,
        row_dropout: float = 0.0,
        known: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the input embeddings [rows, positions, hidden] of a batch; `known`: what `all_items` returned before."""
        is_code = batch.tokens >= self.vocabulary
        words = self.llm.get_input_embeddings()(batch.tokens.masked_fill(is_code, 0))
        embedded = words.to(self.rows.dtype)
        if is_code.any():
            embedded = embedded.masked_scatter(
                is_code[..., None], self.code_rows(batch.tokens[is_code] - self.vocabulary)
            )
        masked = batch.slots == MASKED
        if masked.any():  # the point that all items lie around says nothing of any of them
            embedded = torch.where(masked[..., None], self.centre * self.config.base.item_scale, embedded)
        shown = batch.items >= 0
        if not shown.any():
            return embedded
        if known is None:
            unique, inverse = batch.items[shown].unique(return_inverse=True)
            totals, soft = self.item_embeddings(unique, modality_dropout)
        else:
            totals, soft = (table[batch.items[shown]] for table in known)
            inverse = torch.arange(len(totals), device=totals.device)
        slots = batch.slots[shown]
        totals = nn.functional.dropout(totals, row_dropout, self.training)
        table = torch.cat([totals[:, None] * self.config.base.item_scale, soft], 1)
        chosen = table[inverse, torch.where(slots == ITEM, 0, slots - FIRST_SOFT + 1)]
        return embedded.masked_scatter(shown[..., None], chosen)

    @torch.no_grad()
    def put_vectors(self, embedded: Tensor, items: Tensor, slots: Tensor, overrides: VectorOverrides) -> None:
        """Change embeddings [positions, hidden] of a prompt in place, where it has other vectors than the catalogue.

        `items`, `slots` [positions] of the prompt as in Example. What is scored stays the catalogue.
        """
        for item, own in overrides.items():
            here, gained = items == item, embedded.new_zeros(self.hidden_size)
            for m in (m for m in self.soft_modalities if m in own and m not in self._muted):
                vectors = torch.from_numpy(own[m]).to(self.device)[None].float()
                said = self.projectors[m](vectors, torch.ones(1, dtype=torch.bool, device=self.device))[0]
                known = getattr(self, f"vectors_{m}")[item], getattr(self, f"present_{m}")[item]
                gained += (said - self.projectors[m](known[0][None], known[1][None])[0]).sum(0)
                first = FIRST_SOFT + self.soft_modalities.index(m) * len(said)
                at = here & (slots >= first) & (slots < first + len(said))
                embedded[at] = (said + self.centre)[slots[at] - first]
            embedded[here & (slots == ITEM)] += gained * self.config.base.item_scale

    def ranking_view(self) -> Any:
        """Return the decoder that ranks: the first layers of the LLM and the ranking norm."""
        return first_layers(self.llm.model, self.config.base.rank_layers, self.rank_norm)

    def read(
        self,
        embedded: Tensor,
        positions: Tensor,
        mask: Tensor,
        cache: Any = None,
        write: bool = False,
        ends: Sequence[Sequence[int]] = (),
    ) -> Tensor:
        """Run the decoder over embeddings [rows, positions, hidden]; returns hidden states of the same shape.

        `mask` [rows, 1, positions, keys] is True where a position may attend. `write`: all layers and the LLM's own
        norm, as for text; otherwise the ranking depth. `ends`: as in Batch.
        """
        backbone = self.llm.model if write else self.ranking_view()
        dtype = self.llm.get_input_embeddings().weight.dtype
        result = backbone(
            inputs_embeds=embedded.to(dtype),
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
            **({"blocks": AttentionBlocks.cut(mask, ends, dtype)} if ends and mask.device.type == "cpu" else {}),
        )
        return result.last_hidden_state.to(self.rows.dtype)

    def code_logits(self, hidden: Tensor, level: int) -> Tensor:
        """Return the scores [..., codes] of a level's codes at hidden states [..., hidden]."""
        return hidden @ self.output_rows(level).T

    def forward(
        self,
        batch: Batch,
        modality_dropout: float = 0.0,
        row_dropout: float = 0.0,
        smoothing: float = 0.0,
        teacher: SoftTargets | None = None,
        cold_items: float = 0.0,
        views: Mapping[Modality, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy over a batch's labels, and over a teacher's, and how many labels there are.

        `cold_items`: share of the items that are taken for new throughout the batch, drawn anew each time. What is left of
        such an item, its content, has to do for reading it and for ranking it among all others, as it will have to for
        an item that comes later (Volkovs et al., "DropoutNet", NeurIPS 2017). With more than one level an item is
        ranked by codes that it shares with others, and nothing is drawn.

        `views`: vectors [1 + views, items, width] of some modalities, as in `Views`; each item has those of one view of
        each modality throughout the batch, drawn anew each time.
        """
        with self._with_cold_items(cold_items), self._with_views(views or {}):
            return self._loss(batch, modality_dropout, row_dropout, smoothing, teacher)

    @contextmanager
    def _with_cold_items(self, share: float) -> Iterator[None]:
        if share and self.ids.levels == 1:
            self._cold_items = torch.rand(len(self.codes), device=self.device) < share
        try:
            yield
        finally:
            self._cold_items = None

    @contextmanager
    def _with_views(self, views: Mapping[Modality, Tensor]) -> Iterator[None]:
        count = len(self.codes)
        self._views = {m: (v, torch.randint(len(v), (count,), device=self.device)) for m, v in views.items()}
        try:
            yield
        finally:
            self._views = {}

    def _loss(
        self, batch: Batch, modality_dropout: float, row_dropout: float, smoothing: float, teacher: SoftTargets | None
    ) -> tuple[Tensor, Tensor]:
        embedded = self.embed(batch, modality_dropout, row_dropout)
        hidden = self.read(embedded, batch.positions, batch.mask, write=batch.writes, ends=batch.ends)
        labelled = batch.labels != IGNORE
        hidden, labels, interaction_ids = hidden[labelled], batch.labels[labelled], batch.interaction_ids[labelled]
        if batch.writes:
            head = self.llm.get_output_embeddings()
            logits = head(hidden.to(head.weight.dtype)).float()
            return nn.functional.cross_entropy(logits, labels, reduction="sum"), labelled.sum()
        total = hidden.new_zeros(())
        codes = labels - self.vocabulary
        for level in range(self.ids.codes.shape[1]):
            here = (codes >= self.offsets[level]) & (codes < self.offsets[level + 1])
            with self._trained_in():
                logits = self.code_logits(hidden[here], level).float()
            target = codes[here] - int(self.offsets[level])
            losses = nn.functional.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
            if teacher is not None:
                losses = self._taught(losses, logits, interaction_ids[here], level, teacher)
            total = total + losses.sum()
        return total, labelled.sum()

    def _trained_in(self) -> torch.autocast:
        """Within the block the catalogue's rows and scores are computed in the precision of the LLM: each step needs all of
        them, and in float32 a few thousand items cost as much as the layers."""
        dtype = self.llm.get_input_embeddings().weight.dtype
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32)

    def _taught(
        self, losses: Tensor, logits: Tensor, interaction_ids: Tensor, level: int, teacher: SoftTargets
    ) -> Tensor:
        """Mix the losses [labels] against what came with those against what the teacher expects, where it does."""
        codes, probabilities = teacher.at(interaction_ids, self.codes, level)
        logp = torch.log_softmax(logits, -1).gather(1, codes - int(self.offsets[level]))
        expects = probabilities.sum(1) > 0
        return torch.where(
            expects, (1 - teacher.weight) * losses - teacher.weight * (probabilities * logp).sum(1), losses
        )

    def use_adapter(self, name: str) -> None:
        """Make one LoRA adapter active; gradients are switched by the trainer, never here."""
        wanted = {n: p.requires_grad for n, p in self.named_parameters()}
        self.peft.set_adapter(name)
        for n, p in self.named_parameters():
            p.requires_grad_(wanted[n])


def is_ours(name: str) -> bool:
    """Whether a parameter is trained and saved by us, not part of the frozen base model."""
    return "lora_" in name or not name.startswith("peft.")


def _ranking_norm(norm: Any, spread: float) -> nn.Module:
    """Copy the LLM's last norm, scaled so that the first scores over random rows have a spread near one."""
    copied = copy.deepcopy(norm).float().requires_grad_(True)
    weight = copied.weight.data
    # what it multiplies by is one more than its weight in some families (Gemma): signs are their own normal form
    signs = torch.ones_like(weight)
    signs[1::2] = -1
    with torch.no_grad():
        factors = copied(signs) * signs
    weight.add_(factors * (1 / (spread * float(factors.pow(2).mean().sqrt())) - 1))
    return copied


def start_rows(
    ids: SemanticIds,
    features: Features,
    hidden_size: int,
    spread: float,
    seed: int,
    use: Sequence[Modality] = ("text", "knowledge", "collaborative"),
) -> Tensor:
    """Start a code's row from what its items mean: the mean of their [text + knowledge + collaborative] vectors.

    The vectors are turned into the hidden space by a random orthonormal map, which keeps their angles, and scaled to
    `spread`, the mean distance of a word's embedding from the centre. Codes without vectors start at random.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.from_numpy(unit_rows(features.vectors[m])) for m in use if m in features.vectors]
    count = int(sum(ids.sizes))
    noise = torch.randn(count, hidden_size, generator=generator) / hidden_size**0.5
    if not parts:
        return noise * spread
    meaning = torch.cat(parts, 1).float()
    basis = torch.linalg.qr(torch.randn(max(hidden_size, meaning.shape[1]), meaning.shape[1], generator=generator))[0]
    mapped = meaning @ basis.T[:, :hidden_size]
    rows = torch.zeros(count, hidden_size)
    offset = 0
    for level, size in enumerate(ids.sizes):
        rows.index_add_(0, torch.from_numpy(ids.codes[:, level]) + offset, mapped)
        offset += size
    norms = rows.norm(dim=1, keepdim=True)
    return torch.where(norms > 0, rows / norms.clamp_min(1e-9), noise) * spread
