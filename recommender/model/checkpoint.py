"""Checkpoints: one folder, written atomically, that holds a trained model and no user data.

| file | what it holds |
|---|---|
| adapter.safetensors | all trained weights as float16: both LoRA adapters, projectors, rows of the codes, ranking norm |
| features.safetensors | the items' encoder vectors, and the reductions that new items go through |
| semantic_ids.safetensors | the codes of each item, and the centroids that new items are coded by |
| item_ids.json | the ids of the items in the order of all arrays; checkpoints of the first version have none |
| config.yaml | the whole configuration, with the base model and the tables it was trained on |
| metrics.json | validation of each stage, what was measured later, which templates it writes well |
| README.md | the model card |
| trained_on.safetensors | a digest of the interactions, a sketch of those learned, tenths of items; old ones have none |
| companions.safetensors | items that many people had together, as counts, for justifications; older ones have none |
| media_labels.safetensors | what the frozen towers saw in the items' media, for justifications; older ones have none |
| listening.safetensors | what reads conversations, from the stage converse; without it a chat is read by rules alone |
| tuned.safetensors | weights of what is heard and of plain signals, if `recommender conversations tune` fitted them |
| fusion.safetensors | baselines and weights to rank together with, if `recommender fuse` added them |
| checkpoint.json | the manifest: format, fingerprint of the catalogue, hashes of the prompts, versions, sha256 of files |
| signature.json | an Ed25519 signature over the manifest, if `recommender sign` made one; see `adapters/vouching.py` |

The items themselves and the base model are not in it: the config names them.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from recommender import assets, prompts
from recommender.adapters.lora import AUTO, CONVERSE, EXPLAIN, RANK, is_trained
from recommender.adapters.shipped import resolve as resolve
from recommender.adapters.vouching import SIGNATURE
from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.data.ids import canonical_id
from recommender.encoders.features import Features
from recommender.encoders.labels import MEDIA_LABELS, MediaLabels
from recommender.errors import CheckpointError, DataError, RecommenderError
from recommender.justify.companions import COMPANIONS, Companions
from recommender.model.adapter_file import check_adapter_fits, check_adapter_types, read_adapter
from recommender.model.architecture import positions_read
from recommender.model.card import write_card
from recommender.model.language_model import load_llm
from recommender.model.listening_file import LISTENING, load_listening, save_listening
from recommender.model.manifest import catalogue_facts, read_manifest, tell_unsigned, write_manifest, written_folder
from recommender.model.network import RecommenderModel, is_adapter_parameter, is_listening_parameter
from recommender.model.same_catalogue import catalogue_record, check_catalogue
from recommender.model.trained_on import TRAINED_ON, TrainedOn
from recommender.numerics.drift import ItemBins
from recommender.progress import Progress
from recommender.prompting.builder import ExampleBuilder
from recommender.prompting.conversation import ConversationPrompts
from recommender.semantic_ids.codes import SemanticIds
from recommender.strict.json_documents import JsonError, json_text, parse_json, read_json_object
from recommender.strict.tensor_files import check_shapes, read_header

logger = logging.getLogger(__name__)

FORMAT = 2
ADAPTER, CONFIG, METRICS, CARD, ITEM_IDS = (
    "adapter.safetensors",
    "config.yaml",
    "metrics.json",
    "README.md",
    "item_ids.json",
)
#: the key of metrics.json under which `select-templates` keeps its counts
TEMPLATE_SELECTION = "template_selection"
#: keys of metrics.json that had another name in an earlier version
FORMER_METRICS = {"wordings": TEMPLATE_SELECTION}
#: some checkpoints hold one hash of all templates: what it stands for
_HASHES_OF_ALL = {
    "ca79a9446af34b7a933d01e85de05a780e81bcb8f74380e072674e482ff0a507": {
        "rank": "0395d5aefbfaabfda59dab4bd73628d9e1f9f7e0d3e157f487727df7e88af27a",
        "explain": "f1818b94e270af7f3dffe4446497f66805f2893ae62a30f997080b4e03ad1f2f",
    }
}
PACKAGES = ("torch", "transformers", "peft", "accelerate", "open_clip_torch", "openai-whisper", "numpy", "recommender")


@dataclass
class Checkpoint:
    """A model with all that is needed to prompt it.

    `metrics`: whatever was measured, for the card. `prompts`: the hashes of the templates that ranking and writing were
    trained on; an adapter that never was has none. `trained_on`: what of the interactions; None if that is not known.
    `companions`: what many people had together in them; None if that was not counted. `labels`: what the items' media
    show; None if no tower tells, or none was asked.
    """

    model: RecommenderModel
    tokenizer: PreTrainedTokenizerBase
    catalogue: Catalogue
    config: Config
    metrics: dict[str, Any] = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=prompts.template_hashes)
    trained_on: TrainedOn | None = None
    companions: Companions | None = None
    labels: MediaLabels | None = None

    @property
    def writes(self) -> bool:
        """Whether the writing adapter was trained, and on the prompts of this installation; else it must not be used."""
        return self.plain_because is None

    @property
    def plain_because(self) -> str | None:
        """Why justifications are plain sentences; None if the language model writes them."""
        return plain_because(self.prompts)

    @property
    def builder(self) -> ExampleBuilder:
        """The builder of this model's prompts."""
        return ExampleBuilder(
            self.tokenizer,
            self.model.vocabulary,
            self.catalogue,
            self.model.ids,
            self.config.prompt,
            soft_slots=self.model.soft_slots,
            window=positions_read(self.model.llm.config),
        )

    @property
    def trained_items(self) -> ItemBins | None:
        """How often each item was learned, coarsely, if that is known."""
        return None if self.trained_on is None else self.trained_on.item_bins(self.catalogue.item_ids)

    def conversation_prompts(self, with_words: bool = True, with_items: bool = True) -> ConversationPrompts:
        """Return what makes prompts of conversations; see `ConversationPrompts`."""
        window = positions_read(self.model.llm.config)
        noun = self.config.prompt.noun
        return ConversationPrompts(self.tokenizer, self.model.vocabulary, noun, window, with_words, with_items)


def plain_because(trained_on: Mapping[str, str]) -> str | None:
    """Return why a writing adapter must not be used, None if it may; `trained_on`: as `Checkpoint.prompts`."""
    if EXPLAIN not in trained_on:
        return "the writing adapter was never trained (its recipe has no stage explain)"
    if not prompts.renders_alike(EXPLAIN, trained_on[EXPLAIN]):
        return "the writing adapter was trained on other prompts (train its stage again)"
    return None


def writing_prompts(recorded: Mapping[str, str], writing_adapter: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the part of recorded prompt hashes that is of writing: none if the adapter was never trained.

    Earlier versions recorded it all the same. `writing_adapter`: its tensors by name.
    """
    return {name: text for name, text in recorded.items() if name == EXPLAIN and is_trained(writing_adapter)}


def save_pretrained(
    checkpoint: Checkpoint, target: str | Path, files: Mapping[str, Callable[[Path], None]] = MappingProxyType({})
) -> None:
    """Write the checkpoint folder atomically; parameters are rounded to float16. It is not signed, whatever was there.

    `files`: name -> what writes it: files of a checkpoint that are not parts of a `Checkpoint`.
    """
    target = Path(target)
    with written_folder(target) as folder:
        tensors = _adapter_parameters(checkpoint.model)
        rounded = {n: p.detach().to("cpu", torch.float16).contiguous() for n, p in tensors.items()}
        save_file(rounded, folder / ADAPTER)
        if checkpoint.model.listener is not None:
            save_listening(checkpoint.model, folder / LISTENING)
        checkpoint.model.features.save(folder / "features.safetensors")
        checkpoint.model.ids.save(folder / "semantic_ids.safetensors")
        item_ids = json.dumps(checkpoint.catalogue.item_ids, ensure_ascii=False)
        (folder / ITEM_IDS).write_text(item_ids + "\n", encoding="utf-8")
        (folder / CONFIG).write_text(checkpoint.config.to_yaml(), encoding="utf-8")
        if checkpoint.trained_on is not None:
            checkpoint.trained_on.save(folder / TRAINED_ON)
        if checkpoint.companions is not None:
            checkpoint.companions.save(folder / COMPANIONS)
        if checkpoint.labels is not None:
            checkpoint.labels.save(folder / MEDIA_LABELS)
        for name, write in files.items():
            write(folder / name)
        _write_metrics(folder, checkpoint.metrics)
        manifest = _manifest(checkpoint)
        write_card(folder / CARD, checkpoint.config, checkpoint.metrics, len(checkpoint.catalogue), manifest["encoded"])
        write_manifest(folder, manifest)


def from_pretrained(
    source: str | Path,
    catalogue: Catalogue | str | Path | None = None,
    progress: Progress | None = None,
    full_precision: bool = False,
) -> Checkpoint:
    """Load a checkpoint folder; `catalogue`, or the path of its table, replaces the one that the config names.

    `full_precision`: onto the base in float32, also if it was trained on one of 4 bits.
    Raises CheckpointError if a file is missing or damaged, or if it was made for another catalogue or other prompts.
    """
    folder, manifest = _open(source)
    with reading(folder):
        prompt_hashes = _check_format_and_prompts(folder, manifest)
        config = Config.load(folder / CONFIG)
        if full_precision:
            config = config.updated({"base.load_in_4bit": False, "base.dtype": "float32"})
    table = None
    if not isinstance(catalogue, Catalogue):
        # serving needs the vectors of the checkpoint, not the media
        table = str(catalogue or config.data.items)
        catalogue = Catalogue.load(table, config.data, media=False)
    with reading(folder):
        check_catalogue(folder, manifest, catalogue, lambda: item_ids_of(folder), table, config.data.facts)
        features = Features.load(folder / "features.safetensors")
        ids = SemanticIds.load(folder / "semantic_ids.safetensors")
        _check_items(folder, len(catalogue), ids, features)
        check_adapter_types(folder / ADAPTER)
        _check_base(folder, manifest, config.base.llm)
    llm, tokenizer = load_llm(config.base, progress)
    with reading(folder):
        check_adapter_fits(folder / ADAPTER, llm, ids, features, config)
        model = RecommenderModel(llm, ids, features, config)
        saved = read_adapter(folder / ADAPTER)
        _read_parameters(model, saved, folder / ADAPTER)
        heard = _recorded_prompts(manifest).get(CONVERSE)
        if (folder / LISTENING).is_file() and prompts.renders_alike(CONVERSE, heard):
            load_listening(model, folder / LISTENING)
        hashes = {RANK: prompt_hashes[RANK]} | writing_prompts(prompt_hashes, _of_writing(saved))
        if model.listener is not None:
            hashes[CONVERSE] = str(heard)
        metrics, trained_on = _read_metrics(folder), TrainedOn.load(folder)
        companions, labels = Companions.load(folder, len(catalogue)), MediaLabels.load(folder, len(catalogue))
    return Checkpoint(model.eval(), tokenizer, catalogue, config, metrics, hashes, trained_on, companions, labels)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn whatever a damaged or hostile file makes its reader raise into a CheckpointError of one line."""
    try:
        yield
    except RecommenderError:
        raise
    except Exception as error:
        logger.debug("%s cannot be read", folder, exc_info=True)
        reason = next(iter(str(error).strip().splitlines()), "")[:200]
        message = f"{folder}: is damaged, or no checkpoint ({type(error).__name__}{': ' if reason else ''}{reason})"
        raise CheckpointError(message, "copy the checkpoint again, whole") from None


def _check_items(folder: Path, items: int, ids: SemanticIds, features: Features) -> None:
    counts = {len(ids.codes), *(len(table) for table in features.vectors.values())}
    if counts != {items}:
        raise CheckpointError(
            f"{folder}: holds codes and vectors of {sorted(counts)} items, its catalogue {items}",
            "copy it again, whole",
        )


def check_adapter(config: Config, source: str | Path) -> None:
    """Raise CheckpointError unless training with `config` may start from the checkpoint `source`.

    It needs the same base, depth and LoRA. Nothing is loaded.
    """
    folder, _ = _open(source)
    with reading(folder):
        source_config = Config.load(folder / CONFIG)
    for key in ("base.llm", "base.rank_layers", "lora.r", "lora.lora_alpha", "lora.target_modules"):
        section, name = key.split(".")
        theirs, ours = (getattr(getattr(one, section), name) for one in (source_config, config))
        if theirs != ours and AUTO not in (theirs, ours):  # what is found on the base is compared by its shapes
            raise CheckpointError(f"{folder}: has {key} {theirs}, and this config {ours}", f"set {key} to the same")


def copy_adapter(model: RecommenderModel, source: str | Path, writing_only: bool = False) -> dict[str, str]:
    """Copy LoRA and ranking norm of another checkpoint into a model; its rows and projectors stay.

    How a history is read depends little on the items, so the checkpoint may be of another domain. `writing_only`: only
    what writes. Returns what `writing_prompts` does of it. Raises CheckpointError if that checkpoint has another base,
    depth or LoRA.
    """
    check_adapter(model.config, source)
    folder, manifest = _open(source)
    path = folder / ADAPTER
    with reading(folder), torch.no_grad():
        wanted = {_short(n): p for n, p in model.named_parameters() if "lora_" in n or n.startswith("rank_norm.")}
        if writing_only:
            wanted = _of_writing(wanted)
        shapes = {name: tuple(parameter.shape) for name, parameter in wanted.items()}
        check_shapes(path, read_header(path), shapes)
        saved = read_adapter(path)
        for name, parameter in wanted.items():
            parameter.copy_(saved[name])
    return writing_prompts(_recorded_prompts(manifest), _of_writing(saved))


def item_ids_of(source: str | Path) -> list[str] | None:
    """Return the ids of a checkpoint's items in their order; None if it is older than that file. Raises CheckpointError."""
    folder, _ = _open(source)
    path = folder / ITEM_IDS
    if not path.is_file():
        return None
    try:
        ids = parse_json(path.read_bytes())
        if not isinstance(ids, list):
            raise TypeError(f"it holds a {type(ids).__name__}")
        return list(map(canonical_id, ids))
    except (JsonError, DataError, TypeError) as error:
        raise CheckpointError(f"{path}: is no list of item ids ({error})", "copy the checkpoint again") from None


def record(source: str | Path, name: str, value: Any) -> None:
    """Add a measurement to a checkpoint's metrics.json and card, atomically; a signature is lost. Raises CheckpointError."""
    save_copy_with(source, resolve(source), {}, {name: value})


def save_copy_with(
    source: str | Path,
    target: Path,
    files: Mapping[str, Callable[[Path], None]],
    metrics: Mapping[str, Any],
) -> None:
    """Copy a checkpoint to `target`, which may be itself, with more in it. Raises CheckpointError.

    A signature is of what there was: the copy has none, and that is said.
    `files`: name -> what writes it; `metrics`: what is added to metrics.json and told in the card.
    """
    folder, manifest = _open(source)
    with reading(folder):
        all_metrics = _read_metrics(folder) | dict(metrics)
    with written_folder(target) as written:
        shutil.copytree(folder, written, dirs_exist_ok=True)
        for name, write in files.items():
            write(written / name)
        _write_metrics(written, all_metrics)
        items = catalogue_facts(folder, manifest)["items"]
        write_card(written / CARD, Config.load(written / CONFIG), all_metrics, items, manifest.get("encoded"))
        write_manifest(written, manifest)
    if (folder / SIGNATURE).is_file():  # beside it; in its place `written_folder` has said so
        tell_unsigned(target)


def _open(source: str | Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a checkpoint and its manifest. Raises CheckpointError if there is none or it is damaged."""
    folder = resolve(source)
    return folder, read_manifest(folder)


def _of_writing(saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in saved.items() if f".{EXPLAIN}." in name}


def _read_parameters(model: RecommenderModel, saved: Mapping[str, Tensor], path: Path) -> None:
    parameters = _adapter_parameters(model)
    wrong = sorted(set(saved) ^ set(parameters)) or [n for n, p in parameters.items() if p.shape != saved[n].shape]
    if wrong:
        raise CheckpointError(
            f"{path}: does not fit the base model and config ({wrong[0]} and {len(wrong) - 1} more differ)",
            "use the base model named in the checkpoint's config.yaml",
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[name])


def _adapter_parameters(model: RecommenderModel) -> dict[str, torch.nn.Parameter]:
    """Return what is trained, under the names that a checkpoint has for it."""
    named = model.named_parameters()
    return {_short(n): p for n, p in named if is_adapter_parameter(n) and not is_listening_parameter(n)}


def _read_metrics(folder: Path) -> dict[str, Any]:
    metrics = read_json_object(
        folder / METRICS, "table of metrics", "copy the checkpoint again", CheckpointError, nan_is_null=True
    )
    return {FORMER_METRICS.get(name, name): value for name, value in metrics.items()}


def _write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    (folder / METRICS).write_text(json_text(metrics, indent=1) + "\n", encoding="utf-8")


def _short(name: str) -> str:
    return name.removeprefix("peft.base_model.model.")


def _check_base(folder: Path, manifest: dict[str, Any], llm: str) -> None:
    """Raise CheckpointError if the folder of the base model holds another model than that which the checkpoint extends."""
    known = manifest.get("base")
    # an embedded model is pinned, and of a name on the hub nothing is known without loading it
    is_folder = not assets.is_embedded(llm) and Path(llm).expanduser().is_dir()
    if known is not None and is_folder and known != assets.identity(llm):
        raise CheckpointError(
            f"{folder}: was made for another base model than that which {llm} holds now",
            "restore the base model, or name it: base.llm in config.yaml",
        )


def _check_format_and_prompts(folder: Path, manifest: dict[str, Any]) -> dict[str, str]:
    """Raise CheckpointError unless this version can serve a checkpoint; returns the hashes of its prompts.

    Only the prompts of ranking must be the same: a checkpoint with other prompts of justifications still ranks.
    """
    if manifest.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder}: has format {manifest.get('format')}, this version reads {FORMAT}",
            "train again, or install the version of recommender that it was made with",
        )
    hashes = _recorded_prompts(manifest)
    if not prompts.renders_alike("rank", hashes.get("rank")):
        raise CheckpointError(
            f"{folder}: was trained with other prompts than those of this installation",
            "train again, or restore the folder prompts as it was",
        )
    return hashes


def _recorded_prompts(manifest: Mapping[str, Any]) -> dict[str, str]:
    recorded = manifest.get("prompts")
    return dict(recorded) if isinstance(recorded, dict) else _HASHES_OF_ALL.get(str(recorded), {})


def _manifest(checkpoint: Checkpoint) -> dict[str, Any]:
    catalogue = checkpoint.catalogue
    return {
        "format": FORMAT,
        "catalogue": catalogue_record(catalogue, checkpoint.config.data.items),
        "encoded": {modality: int(rows.sum()) for modality, rows in checkpoint.model.features.present.items()},
        **_imputed(checkpoint.model.features),
        "prompts": checkpoint.prompts,
        "base": assets.identity(checkpoint.config.base.llm),
        "generation": {"do_sample": False, "num_beams": 1},
        "python": platform.python_version(),
        "packages": package_versions(),
    }


def _imputed(features: Features) -> dict[str, Any]:
    """Return for the manifest of how many items vectors are made of other items', if of any."""
    counts = {modality: int(rows.sum()) for modality, rows in features.imputed.items()}
    return {"imputed": counts} if counts else {}


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that decide a result."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
