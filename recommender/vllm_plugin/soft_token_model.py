"""The models that vLLM serves: a language model with a table of items beside it, and the same with projectors, which turn
encoder vectors into soft tokens of its prompt.

A request brings vectors, never embeddings: image, sound and collaborative vectors, as the frozen encoders made them. Each
fills its placeholders in the prompt; a vector of the kind `item` changes the position that stands for a whole item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from vllm.distributed import get_pp_group
from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding
from vllm.model_executor.models.interfaces import SupportsLoRA, SupportsMultiModal, SupportsPP
from vllm.model_executor.models.module_mapping import MultiModelKeys
from vllm.model_executor.models.utils import (
    AutoWeightsLoader,
    PPMissingLayer,
    WeightsMapper,
    init_vllm_registered_model,
    maybe_prefix,
)
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import ModalityDataItems, MultiModalDataParser
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    PromptReplacement,
)

from recommender.vllm_plugin.soft_projectors import item_changes, make_projectors
from recommender.vllm_plugin.soft_tokens import ITEM_KIND, SoftFacts, input_name

if TYPE_CHECKING:
    from vllm.config import VllmConfig


class _Vectors(ModalityDataItems[Tensor, Tensor]):
    """Vectors of one kind [n, rows, width], each for the soft tokens of one item."""

    def get_count(self) -> int:
        return len(self.data)

    def get(self, index: int) -> Tensor:
        return self.data[index]

    def get_processor_data(self) -> Mapping[str, object]:
        return {}

    def get_passthrough_data(self) -> Mapping[str, object]:
        return {input_name(self.modality): self.data}


class _Parser(MultiModalDataParser):
    """Reads the vectors of a request. A wrong width would crash the server, so it is refused here."""

    def __init__(self, facts: SoftFacts) -> None:
        super().__init__()
        self.facts = facts

    def _get_subparsers(self) -> Mapping[str, Any]:
        return {kind: lambda data, kind=kind: self._vectors(kind, data) for kind in self.facts.kinds}

    def _vectors(self, kind: str, data: Any) -> _Vectors | None:
        vectors = torch.stack(list(data)) if isinstance(data, list) and data else data
        if vectors is None or len(vectors) == 0:
            return None
        shape = self.facts.shape(kind)
        if not isinstance(vectors, Tensor) or tuple(vectors.shape[1:]) != shape:
            raise ValueError(f"{kind}: expected tensors of shape {shape}: an encoder's vector, and 1 if there is one")
        return _Vectors(vectors.float(), kind)


class _Info(BaseProcessingInfo):
    """Tells vLLM which kinds of vectors the model takes."""

    @property
    def facts(self) -> SoftFacts:
        return SoftFacts.of(self.get_hf_config())

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return dict.fromkeys(self.facts.kinds, None)

    def get_data_parser(self) -> MultiModalDataParser:
        return _Parser(self.facts)

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        return {kind: self.facts.slots(kind) for kind in mm_counts}


class _Dummies(BaseDummyInputsBuilder[_Info]):
    """Zeros for memory profiling, which vLLM skips here: vectors pass no encoder of its own."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return ""

    def get_dummy_mm_data(self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Any) -> Any:
        return {kind: torch.zeros(count, *self.info.facts.shape(kind)) for kind, count in mm_counts.items()}


class _Processor(BaseMultiModalProcessor[_Info]):
    """For vLLM's own routes: `multi_modal_data` beside a prompt with one placeholder token for each vector."""

    requires_tokenizer = False

    def _get_mm_fields_config(self, hf_inputs: Any, hf_processor_mm_kwargs: Mapping[str, object]) -> Mapping[str, Any]:
        return {input_name(kind): MultiModalFieldConfig.batched(kind) for kind in self.info.facts.kinds}

    def _get_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Mapping[str, object], out_mm_kwargs: Any
    ) -> Sequence[Any]:
        facts = self.info.facts
        return [
            PromptReplacement(kind, [facts.placeholder(kind)], [facts.placeholder(kind)] * facts.slots(kind))
            for kind in facts.soft
        ]


class RecommenderTextForCausalLM(nn.Module, SupportsLoRA, SupportsPP):
    """Any language model that vLLM knows, for any number of items.

    vLLM with LoRA reads vocabularies of up to 258,048 rows, because an adapter could change them, and keeps a matrix as
    tall as the vocabulary for each slot. Ours change matrices of layers only, so it is not told of the tables. Items of
    several codes are no rows of the vocabulary at all: their table is only looked up.
    """

    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_prefix={"model.": "language_model.model.", "lm_head.": "language_model.lm_head."}
    )
    packed_modules_mapping = {"qkv_proj": ["q_proj", "k_proj", "v_proj"], "gate_up_proj": ["gate_proj", "up_proj"]}

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        """Build the language model that the folder's config names, and the table of items, divided as that of words is."""
        super().__init__()
        self.config = vllm_config.model_config.hf_config
        self.facts = SoftFacts.of(self.config)
        with self._building(vllm_config):
            self.language_model = init_vllm_registered_model(
                vllm_config=vllm_config,
                hf_config=self.config,
                prefix=maybe_prefix(prefix, "language_model"),
                architectures=[self.facts.base],
            )
        for module in self.language_model.modules():
            if getattr(module, "embedding_modules", None):
                module.embedding_modules = {}
        if self.facts.items:
            first = get_pp_group().is_first_rank
            hidden = self.config.hidden_size
            self.items = VocabParallelEmbedding(self.facts.items, hidden) if first else PPMissingLayer()
        self.packed_modules_mapping = self.language_model.packed_modules_mapping
        self.make_empty_intermediate_tensors = self.language_model.make_empty_intermediate_tensors

    def _building(self, vllm_config: VllmConfig) -> AbstractContextManager[None]:
        """Return what the language model is built within."""
        return nullcontext()

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        """Embed token ids [positions], of which some stand behind the vocabulary: items."""
        if not self.facts.items:
            embedded: Tensor = self.language_model.embed_input_ids(input_ids)
            return embedded
        beside = self.facts.are_items(input_ids)
        embedded = self.language_model.embed_input_ids(input_ids.masked_fill(beside, 0))
        # every position looks a row up: to know which need one a GPU would have to be waited for
        rows = self.items((input_ids - self.facts.first_item).masked_fill(~beside, 0)) * self.facts.embedding_scale
        return torch.where(beside[:, None], rows.to(embedded), embedded)

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
        **_: object,
    ) -> Any:
        """Run the language model."""
        if intermediate_tensors is not None:
            inputs_embeds = None
        elif inputs_embeds is None and self.facts.items and input_ids is not None:
            inputs_embeds = self.embed_input_ids(input_ids)
        return self.language_model.model(input_ids, positions, intermediate_tensors, inputs_embeds=inputs_embeds)

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """Return the logits [positions, vocabulary]."""
        return self.language_model.compute_logits(hidden_states)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Load the weights of the language model and of what stands beside it from one folder."""
        return AutoWeightsLoader(self).load_weights(weights, mapper=self.hf_to_vllm_mapper)


@MULTIMODAL_REGISTRY.register_processor(_Processor, info=_Info, dummy_inputs=_Dummies)
class RecommenderForCausalLM(RecommenderTextForCausalLM, SupportsMultiModal):
    """The same with projectors beside it."""

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        """Return the token that stands for a vector in a chat message."""
        return f"<|{modality}|>"

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        """Build the language model that the folder's config names, and the projectors."""
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        # not marked as a tower of vLLM's: those are not built where only precomputed embeddings may come, as here
        self.projectors = make_projectors(self.facts, self.config.hidden_size)
        self.centre = nn.Parameter(torch.zeros(self.config.hidden_size), requires_grad=False)

    def _building(self, vllm_config: VllmConfig) -> AbstractContextManager[None]:
        building: AbstractContextManager[None] = self._mark_language_model(vllm_config)
        return building

    def embed_multimodal(self, **vectors: Any) -> list[Tensor]:
        """Return the embeddings [slots, hidden] of each vector; a batch has vectors of one kind."""
        embeddings: list[Tensor] = []
        for kind in self.facts.kinds:
            if (batch := vectors.get(input_name(kind))) is not None:
                stacked = batch if isinstance(batch, Tensor) else torch.stack(list(batch))
                embeddings += self._item_changes(stacked) if kind == ITEM_KIND else self._projected(kind, stacked[:, 0])
        return embeddings

    def _projected(self, kind: str, vectors: Tensor) -> Tensor:
        """Project vectors [n, width + 1], the last column 1 where there is one -> [n, tokens, hidden]."""
        typed = vectors[:, :-1].to(self.centre.dtype)
        return (self.projectors[kind](typed, vectors[:, -1] > 0) + self.centre) * self.facts.embedding_scale

    def _item_changes(self, pairs: Tensor) -> Tensor:
        """Return what to add to item positions [n, 1, hidden]; `pairs` [n, 2, widths]: new vectors and old ones."""
        changes = item_changes(self.projectors, self.facts, pairs)[:, None]
        return changes * (self.facts.embedding_scale * self.facts.item_scale)

    def embed_input_ids(
        self, input_ids: Tensor, multimodal_embeddings: Any = None, *, is_multimodal: Tensor | None = None
    ) -> Tensor:
        """Embed token ids [positions] and add the embeddings of vectors; the placeholders' own rows are zero."""
        embedded = super().embed_input_ids(input_ids)
        if multimodal_embeddings is None or len(multimodal_embeddings) == 0:
            return embedded
        from_vectors = torch.cat([part.flatten(0, -2) for part in multimodal_embeddings]).to(embedded)
        embedded[is_multimodal] = embedded[is_multimodal] + from_vectors
        return embedded

    def get_mm_mapping(self) -> MultiModelKeys:
        """Return which submodule is the language model and which are the projectors."""
        return MultiModelKeys.from_string_field(language_model="language_model", connector="projectors", tower_model="")
