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
| trained_on.safetensors | a digest of the interactions, and a sketch of those learned from; older ones have none |
| fusion.safetensors | baselines and weights to rank together with, if `recommender fuse` added them |
| checkpoint.json | the manifest: format, fingerprint of the catalogue, hashes of the prompts, versions, sha256 of files |

The items themselves and the base model are not in it: the config names them.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerBase

from recommender import assets, prompts
from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.encoders.features import Features
from recommender.errors import CheckpointError
from recommender.model.card import write_card
from recommender.model.language_model import load_llm
from recommender.model.manifest import read_manifest, shipped_checkpoints, write_manifest, written_folder
from recommender.model.network import RecommenderModel, is_adapter_parameter
from recommender.model.trained_on import TRAINED_ON, TrainedOn
from recommender.progress import Progress
from recommender.prompting.builder import ExampleBuilder
from recommender.semantic_ids.codes import SemanticIds

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

    `metrics`: whatever was measured, for the card. `prompts`: the hashes of the templates that it was trained on.
    `trained_on`: what of the interactions; None if that is not known.
    """

    model: RecommenderModel
    tokenizer: PreTrainedTokenizerBase
    catalogue: Catalogue
    config: Config
    metrics: dict[str, Any] = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=prompts.template_hashes)
    trained_on: TrainedOn | None = None

    @property
    def writes(self) -> bool:
        """Whether the writing adapter was trained on the prompts of this installation; otherwise it must not be used."""
        return prompts.renders_alike("explain", self.prompts.get("explain"))

    @property
    def builder(self) -> ExampleBuilder:
        """The builder of this model's prompts."""
        return ExampleBuilder(
            self.tokenizer,
            self.model.vocabulary,
            self.catalogue,
            self.model.ids,
            self.config.prompt,
            soft_modalities=len(self.model.soft_modalities),
            window=getattr(self.model.llm.config, "max_position_embeddings", None),
        )


def save_pretrained(checkpoint: Checkpoint, target: str | Path) -> None:
    """Write the checkpoint folder atomically; parameters are rounded to float16."""
    target = Path(target)
    with written_folder(target) as folder:
        tensors = _adapter_parameters(checkpoint.model)
        rounded = {n: p.detach().to("cpu", torch.float16).contiguous() for n, p in tensors.items()}
        save_file(rounded, folder / ADAPTER)
        checkpoint.model.features.save(folder / "features.safetensors")
        checkpoint.model.ids.save(folder / "semantic_ids.safetensors")
        item_ids = json.dumps(checkpoint.catalogue.item_ids, ensure_ascii=False)
        (folder / ITEM_IDS).write_text(item_ids + "\n", encoding="utf-8")
        (folder / CONFIG).write_text(checkpoint.config.to_yaml(), encoding="utf-8")
        if checkpoint.trained_on is not None:
            checkpoint.trained_on.save(folder / TRAINED_ON)
        _write_metrics(folder, checkpoint.metrics)
        manifest = _manifest(checkpoint)
        write_card(folder / CARD, checkpoint.config, checkpoint.metrics, len(checkpoint.catalogue), manifest["encoded"])
        write_manifest(folder, manifest)


def from_pretrained(
    source: str | Path, catalogue: Catalogue | str | Path | None = None, progress: Progress | None = None
) -> Checkpoint:
    """Load a checkpoint folder; `catalogue`, or the path of its table, replaces the one that the config names.

    Raises CheckpointError if a file is missing or damaged, or if it was made for another catalogue or other prompts.
    """
    folder, manifest = _open(source)
    prompt_hashes = _check_format_and_prompts(folder, manifest)
    config = Config.load(folder / CONFIG)
    if not isinstance(catalogue, Catalogue):
        # serving needs the vectors of the checkpoint, not the media
        catalogue = Catalogue.load(catalogue or config.data.items, config.data, media=False)
    _check_catalogue(folder, manifest, catalogue)
    _check_base(folder, manifest, config.base.llm)
    llm, tokenizer = load_llm(config.base, progress)
    features = Features.load(folder / "features.safetensors")
    model = RecommenderModel(llm, SemanticIds.load(folder / "semantic_ids.safetensors"), features, config)
    _read_parameters(model, folder / ADAPTER)
    metrics, trained_on = _read_metrics(folder), TrainedOn.load(folder)
    return Checkpoint(model.eval(), tokenizer, catalogue, config, metrics, prompt_hashes, trained_on)


def copy_adapter(model: RecommenderModel, source: str | Path) -> None:
    """Copy LoRA and ranking norm of another checkpoint into an untrained model; its rows and projectors stay.

    How a history is read depends little on the items, so the checkpoint may be of another domain. Raises
    CheckpointError if that checkpoint has another base, depth or LoRA.
    """
    folder, _ = _open(source)
    source_config = Config.load(folder / CONFIG)
    for key in ("base.llm", "base.rank_layers", "lora.r", "lora.lora_alpha", "lora.target_modules"):
        section, name = key.split(".")
        theirs, ours = (getattr(getattr(config, section), name) for config in (source_config, model.config))
        if theirs != ours:
            raise CheckpointError(f"{folder}: has {key} {theirs}, and this config {ours}", f"set {key} to the same")
    saved = load_file(folder / ADAPTER)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or name.startswith("rank_norm."):
                parameter.copy_(saved[_short(name)])


def item_ids_of(source: str | Path) -> list[str] | None:
    """Return the ids of a checkpoint's items in their order; None if it is older than that file. Raises CheckpointError."""
    folder, _ = _open(source)
    path = folder / ITEM_IDS
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def record(source: str | Path, name: str, value: Any) -> None:
    """Add a measurement to a checkpoint's metrics.json and card, atomically. Raises CheckpointError."""
    folder, manifest = _open(source)
    config, metrics = Config.load(folder / CONFIG), _read_metrics(folder) | {name: value}
    with written_folder(folder) as written:
        shutil.copytree(folder, written, dirs_exist_ok=True)
        _write_metrics(written, metrics)
        write_card(written / CARD, config, metrics, manifest["catalogue"]["items"], manifest.get("encoded"))
        write_manifest(written, manifest)


def save_copy_with(source: str | Path, target: Path, name: str, write: Callable[[Path], None]) -> None:
    """Copy a checkpoint to `target`, which may be itself, with one more file, made by `write`. Raises CheckpointError."""
    folder, manifest = _open(source)
    with written_folder(target) as written:
        shutil.copytree(folder, written, dirs_exist_ok=True)
        write(written / name)
        write_manifest(written, manifest)


def resolve(source: str | Path) -> Path:
    """Return the folder of a checkpoint: the path itself, or else a shipped one.

    `movielens-100k` and `adapters/movielens-100k` name a shipped checkpoint from any folder. A path to nothing is returned
    as it is: reading it says what is missing.
    """
    path = Path(source)
    named = path.parent in (Path(), Path("adapters"))
    return shipped_checkpoints().get(path.name, path) if named and not path.exists() else path


def _open(source: str | Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a checkpoint and its manifest. Raises CheckpointError if there is none or it is damaged."""
    folder = resolve(source)
    return folder, read_manifest(folder)


def _read_parameters(model: RecommenderModel, path: Path) -> None:
    saved, parameters = load_file(path), _adapter_parameters(model)
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
    return {_short(n): p for n, p in model.named_parameters() if is_adapter_parameter(n)}


def _read_metrics(folder: Path) -> dict[str, Any]:
    metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    return {FORMER_METRICS.get(name, name): value for name, value in metrics.items()}


def _write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    (folder / METRICS).write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")


def _short(name: str) -> str:
    return name.removeprefix("peft.base_model.model.")


def _check_catalogue(folder: Path, manifest: dict[str, Any], catalogue: Catalogue) -> None:
    expected = manifest["catalogue"]
    if catalogue.fingerprint != expected["fingerprint"]:
        raise CheckpointError(
            f"{folder}: made for another catalogue ({expected['items']} items, fingerprint"
            f" {expected['fingerprint'][:12]}; this one has {len(catalogue)} items, {catalogue.fingerprint[:12]})",
            "give the items it was trained on, or train on these: recommender train",
        )


def _check_base(folder: Path, manifest: dict[str, Any], llm: str) -> None:
    """Raise CheckpointError if the folder of the base model holds another model than that which the checkpoint extends."""
    known = manifest.get("base")
    if (
        known is not None
        and known != assets.identity(llm)
        and Path(llm).expanduser().is_dir()
        and not assets.is_embedded(llm)
    ):
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
    recorded = manifest.get("prompts")
    hashes = dict(recorded) if isinstance(recorded, dict) else _HASHES_OF_ALL.get(str(recorded), {})
    if not prompts.renders_alike("rank", hashes.get("rank")):
        raise CheckpointError(
            f"{folder}: was trained with other prompts than those of this installation",
            "train again, or restore the folder prompts as it was",
        )
    return hashes


def _manifest(checkpoint: Checkpoint) -> dict[str, Any]:
    catalogue = checkpoint.catalogue
    return {
        "format": FORMAT,
        "catalogue": {
            "source": checkpoint.config.data.items,
            "items": len(catalogue),
            "fingerprint": catalogue.fingerprint,
        },
        "encoded": {modality: int(rows.sum()) for modality, rows in checkpoint.model.features.present.items()},
        "prompts": checkpoint.prompts,
        "base": assets.identity(checkpoint.config.base.llm),
        "generation": {"do_sample": False, "num_beams": 1},
        "python": platform.python_version(),
        "packages": package_versions(),
    }


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that decide a result."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
