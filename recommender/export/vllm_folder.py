"""Exports a checkpoint for vLLM: base models with all rows, LoRA adapters as peft folders, and what prompts are made of.

`rank/`: the base cut to the ranking depth with codes as rows of its vocabulary, a table of items where those have several
codes, projectors, encoder vectors, and the trie. `write/`: the base unchanged. `listen/`, of a checkpoint that has learned
to listen: see `listening_export`. `lora/rank`, `lora/explain`, `lora/converse`: the adapters. `prompting/`: the base's
tokenizer, semantic ids, config, the features of the items, and what many people had together, if the checkpoint has that.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from recommender import prompts
from recommender.adapters.lora import CONVERSE, EXPLAIN, RANK
from recommender.config import Config
from recommender.conversations.tuned import Tuned
from recommender.data.catalogue import Catalogue
from recommender.encoders.features import Features
from recommender.errors import CheckpointError, ConfigError
from recommender.export import MARKER
from recommender.export.listening_export import LISTEN, compare_listening, save_listening_folder
from recommender.export.merge import (
    ITEMS,
    MergeReport,
    TokenLayout,
    compare_ranking,
    compare_writing,
    plain_base,
    save_ranking,
    write_items,
)
from recommender.export.projectors_export import placeholders, save_served_parts, soft_reading
from recommender.justify.companions import COMPANIONS, Companions
from recommender.model.architecture import positions_read
from recommender.model.checkpoint import Checkpoint, plain_because, reading, writing_prompts
from recommender.model.manifest import catalogue_facts, check_target, read_manifest, write_manifest, written_folder
from recommender.progress import Progress
from recommender.prompting.builder import ExampleBuilder
from recommender.prompting.conversation import ConversationPrompts
from recommender.semantic_ids.codes import SemanticIds
from recommender.strict.json_documents import read_json_object
from recommender.vllm_plugin.served_folder import OFFSETS_FILE, ServedMemory, write_served

FORMAT = 2
FEATURES, SENTENCES = "features.safetensors", "sentences.npy"
#: Most positions of a prompt in a server of an exported folder, which reserves memory for them.
SERVED_WINDOW = 2048


def export_vllm(
    checkpoint: Checkpoint, target: str | Path, progress: Progress | None = None, tuned: Tuned | None = None
) -> MergeReport:
    """Write the folder `target` atomically, in float32; the models are reloaded with their LoRA and compared first.

    `tuned`: what ranks beside what is heard, if the checkpoint's folder has it.

    Raises ConfigError for a 4-bit base, CheckpointError if the logits differ or if something else stands at `target`.
    """
    if checkpoint.config.base.load_in_4bit:
        raise ConfigError("a 4-bit base cannot be exported", "recommender export --full-precision")
    check_target(Path(target), MARKER)
    with torch.no_grad():
        layout = TokenLayout.of(checkpoint.model).served(placeholders(checkpoint.model))
    checkpoint = replace(checkpoint, model=copy.deepcopy(checkpoint.model).float().eval())
    steps = progress or (lambda *_: None)
    with torch.no_grad(), written_folder(Path(target), MARKER) as folder:
        steps("export", 0, 3)
        tied = save_ranking(checkpoint, layout, folder / "rank", merged=False)
        ids = checkpoint.model.ids
        write_served(folder / "rank", layout.words, ids.sizes, ids.codes, layout.first_item)
        _save_memory(checkpoint, folder / "rank")
        save_served_parts(checkpoint.model, layout, folder / "rank")
        _save_base(checkpoint, folder / "write")
        listens = checkpoint.model.listener is not None
        if listens:
            save_listening_folder(checkpoint, folder / LISTEN)
        adapters = [RANK, EXPLAIN, *([CONVERSE] if listens else [])]
        checkpoint.model.peft.save_pretrained(folder / "lora", selected_adapters=adapters, save_embedding_layers=False)
        steps("export", 1, 3)
        ranking = compare_ranking(
            checkpoint, layout, folder / "rank", folder / "lora" / RANK, soft_reading(folder / "rank")
        )
        steps("export", 2, 3)
        writing = compare_writing(checkpoint, folder / "write", folder / "lora" / EXPLAIN)
        if listens:
            compare_listening(checkpoint, folder / LISTEN, folder / "lora" / CONVERSE)
        _save_prompting(checkpoint, layout, folder)
        if listens:
            _save_spoken(checkpoint, folder / "prompting", tuned)
        write_manifest(folder, _manifest(checkpoint, layout))
        steps("export", 3, 3)
    return MergeReport(ranking, writing, tied, layout.size)


def _save_memory(checkpoint: Checkpoint, folder: Path) -> None:
    model = checkpoint.model
    if model.memory is not None:
        rows = model.by_code(model.all_embeddings()) - model.centre
        ServedMemory(rows, model.memory.log_weights.exp(), model.memory.follow).save(folder)


def _save_base(checkpoint: Checkpoint, folder: Path) -> None:
    whole = plain_base(checkpoint.model)
    whole.generation_config = GenerationConfig(do_sample=False, eos_token_id=checkpoint.tokenizer.eos_token_id)
    whole.save_pretrained(folder)
    checkpoint.tokenizer.save_pretrained(folder)


def _save_prompting(checkpoint: Checkpoint, layout: TokenLayout, folder: Path) -> None:
    checkpoint.tokenizer.save_pretrained(folder / "prompting")
    checkpoint.model.ids.save(folder / "prompting" / "semantic_ids.safetensors")
    checkpoint.model.features.save(folder / "prompting" / FEATURES)
    if checkpoint.companions is not None:
        checkpoint.companions.save(folder / "prompting" / COMPANIONS)
    (folder / "prompting" / "config.yaml").write_text(checkpoint.config.to_yaml(), encoding="utf-8")
    write_items(checkpoint, layout, folder / ITEMS)
    facts = {
        "format": FORMAT,
        "words": layout.words,
        "soft": layout.soft,
        "placeholders": layout.placeholders,
        "items_beside": layout.items_beside,
    }
    facts["window"] = min(positions_read(checkpoint.model.llm.config) or SERVED_WINDOW, SERVED_WINDOW)
    (folder / MARKER).write_text(json.dumps(facts) + "\n", encoding="utf-8")


def _save_spoken(checkpoint: Checkpoint, folder: Path, tuned: Tuned | None) -> None:
    """Write what ranks beside what is heard, and the sentence vectors that it compares words with."""
    listener = checkpoint.model.listener
    assert listener is not None
    sentences = listener.known[:, : listener.sentence_width].cpu().numpy().astype(np.float16)
    np.save(folder / SENTENCES, sentences, allow_pickle=False)
    if tuned is not None:
        tuned.save(folder)


def _manifest(checkpoint: Checkpoint, layout: TokenLayout) -> dict[str, object]:
    catalogue = {"items": len(checkpoint.catalogue), "fingerprint": checkpoint.catalogue.fingerprint}
    return {"format": FORMAT, "catalogue": catalogue, "prompts": checkpoint.prompts, "vocabulary": layout.size}


@dataclass(frozen=True)
class Exported:
    """An exported folder as its client needs it: everything to make prompts and to read answers, no weights.

    `plain_because`: why its writing adapter must not be used, None if it may. `conversations`: makes prompts of what is
    said, None if the model has not learned to listen; `popularity` [items]: which of several namesakes is likely meant.
    `tuned`, `sentences`: what ranks beside what is heard, and the vectors [items, width] of the items' texts for it. `pin`:
    the digest of the manifest of a folder that was made for this process, in the place of a signature.
    """

    folder: Path
    catalogue: Catalogue
    config: Config
    tokenizer: PreTrainedTokenizerBase
    ids: SemanticIds
    layout: TokenLayout
    builder: ExampleBuilder
    features: Features
    plain_because: str | None = None
    companions: Companions | None = None
    conversations: ConversationPrompts | None = None
    popularity: np.ndarray | None = None
    tuned: Tuned | None = None
    sentences: np.ndarray | None = None
    pin: str | None = None


def is_export(folder: Path) -> bool:
    """Whether a folder was written by `export_vllm`."""
    return (folder / MARKER).is_file()


def load_exported(
    source: str | Path, catalogue: Catalogue | str | Path | None = None, pin: str | None = None
) -> Exported:
    """Read an exported folder; `catalogue` replaces the one its config names; `pin`: see `Exported`.

    Raises CheckpointError if it is damaged, or made for another catalogue or other prompts.
    """
    folder = Path(source)
    manifest = read_manifest(folder, pin)
    with reading(folder):
        return replace(_loaded(folder, manifest, catalogue), pin=pin)


def _loaded(folder: Path, manifest: dict[str, Any], catalogue: Catalogue | str | Path | None) -> Exported:
    facts = read_json_object(folder / MARKER, "export", "export again", CheckpointError)
    recorded = manifest["prompts"]
    if recorded == prompts.template_hash():  # of no template at all: earlier versions recorded nothing else
        recorded = prompts.template_hashes()
    if not isinstance(recorded, dict) or not prompts.renders_alike(RANK, recorded.get(RANK)):
        raise CheckpointError(
            f"{folder}: was exported with other prompts than those of this installation", "export again"
        )
    config = Config.load(folder / "prompting" / "config.yaml")
    if not isinstance(catalogue, Catalogue):
        catalogue = Catalogue.load(catalogue or config.data.items, config.data, media=False)
    if catalogue.fingerprint != catalogue_facts(folder, manifest)["fingerprint"]:
        raise CheckpointError(f"{folder}: was exported for another catalogue", "give its items, or export again")
    tokenizer = AutoTokenizer.from_pretrained(folder / "prompting")
    ids = SemanticIds.load(folder / "prompting" / "semantic_ids.safetensors")
    # folders of earlier versions say nothing of placeholders: their items are rows
    held, beside = tuple(facts.get("placeholders", ())), facts.get("items_beside", False)
    rows = facts["words"], int(sum(ids.sizes)), len(ids.codes), facts["soft"]
    layout = TokenLayout(*rows, codes_are_items=ids.levels == 1, placeholders=held, items_beside=beside)
    args = tokenizer, layout.words, catalogue, ids, config.prompt
    builder = ExampleBuilder(*args, soft_slots=facts["soft"], window=facts.get("window", SERVED_WINDOW))
    features = Features.load(folder / "prompting" / FEATURES)
    trained_on = writing_prompts(recorded, load_file(folder / "lora" / EXPLAIN / "adapter_model.safetensors"))
    companions = Companions.load(folder / "prompting", len(catalogue))
    plain = plain_because(trained_on)
    exported = Exported(folder, catalogue, config, tokenizer, ids, layout, builder, features, plain, companions)
    if not (folder / LISTEN).is_dir() or not prompts.renders_alike(CONVERSE, recorded.get(CONVERSE)):
        return exported
    heard = ConversationPrompts(tokenizer, layout.words, config.prompt.noun, facts.get("window", SERVED_WINDOW))
    offsets = np.load(folder / LISTEN / OFFSETS_FILE, allow_pickle=False)
    tuned = Tuned.load(folder / "prompting", catalogue, config.training.outside)
    table = folder / "prompting" / SENTENCES
    sentences = np.load(table, allow_pickle=False).astype(np.float32) if table.is_file() else None
    return replace(exported, conversations=heard, popularity=offsets, tuned=tuned, sentences=sentences)
