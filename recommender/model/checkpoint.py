"""A checkpoint: one folder with LoRA, projectors, rows, codes, features, config and card, and no user data."""

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

from recommender import prompts
from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.encoders.features import Features
from recommender.errors import CheckpointError
from recommender.model.card import write_card
from recommender.model.language_model import load_llm
from recommender.model.manifest import read_manifest, shipped_checkpoints, write_manifest, written_folder
from recommender.model.network import RecommenderModel, is_ours
from recommender.progress import Progress
from recommender.prompting.builder import ExampleBuilder
from recommender.semantic_ids.codes import SemanticIds

FORMAT = 2
ITEM_IDS = "item_ids.json"
#: checkpoints of one hash for all templates, and what that hash stood for
_ONE_HASH = {
    "ca79a9446af34b7a933d01e85de05a780e81bcb8f74380e072674e482ff0a507": {
        "rank": "0395d5aefbfaabfda59dab4bd73628d9e1f9f7e0d3e157f487727df7e88af27a",
        "explain": "f1818b94e270af7f3dffe4446497f66805f2893ae62a30f997080b4e03ad1f2f",
    }
}
PACKAGES = ("torch", "transformers", "peft", "accelerate", "open_clip_torch", "openai-whisper", "numpy", "recommender")


@dataclass
class Checkpoint:
    """A model with all that is needed to prompt it. `metrics`: whatever was measured of it, for the card.
    `prompts`: the hashes of the templates that its weights were trained to read."""

    model: RecommenderModel
    tokenizer: PreTrainedTokenizerBase
    catalogue: Catalogue
    config: Config
    metrics: dict[str, Any] = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=prompts.template_hashes)

    @property
    def writes(self) -> bool:
        """Whether the writing adapter was trained on the prompts of this installation; if not, nobody should ask it."""
        return prompts.reads_alike("explain", self.prompts.get("explain"))

    @property
    def builder(self) -> ExampleBuilder:
        """The prompts of this model."""
        soft = len(self.model.soft_modalities)
        args = self.tokenizer, self.model.vocabulary, self.catalogue, self.model.ids, self.config.prompt
        window = getattr(self.model.llm.config, "max_position_embeddings", None)
        return ExampleBuilder(*args, soft_modalities=soft, window=window)


def save_pretrained(checkpoint: Checkpoint, target: str | Path) -> None:
    """Write the checkpoint folder atomically; parameters are rounded to float16."""
    target = Path(target)
    with written_folder(target) as folder:
        ours = {n: p for n, p in checkpoint.model.named_parameters() if is_ours(n)}
        tensors = {_short(n): p.detach().to("cpu", torch.float16).contiguous() for n, p in ours.items()}
        save_file(tensors, folder / "adapter.safetensors")
        checkpoint.model.features.save(folder / "features.safetensors")
        checkpoint.model.ids.save(folder / "semantic_ids.safetensors")
        ids = json.dumps(checkpoint.catalogue.item_ids, ensure_ascii=False)
        (folder / ITEM_IDS).write_text(ids + "\n", encoding="utf-8")
        (folder / "config.yaml").write_text(checkpoint.config.to_yaml(), encoding="utf-8")
        (folder / "metrics.json").write_text(json.dumps(checkpoint.metrics, indent=1) + "\n", encoding="utf-8")
        write_card(folder / "README.md", checkpoint.config, checkpoint.metrics, len(checkpoint.catalogue))
        write_manifest(folder, _facts(checkpoint))


def from_pretrained(
    source: str | Path, catalogue: Catalogue | str | Path | None = None, progress: Progress | None = None
) -> Checkpoint:
    """Load a checkpoint folder; `catalogue`, or the table it is read from, replaces the one its config names.

    Raises CheckpointError if a file is missing or damaged, or if it was made for another catalogue or other prompts.
    """
    folder = resolve(source)
    facts = read_manifest(folder)
    trained_on = _check_made_by(folder, facts)
    config = Config.load(folder / "config.yaml")
    if not isinstance(catalogue, Catalogue):
        # serving reads the vectors of the checkpoint, not the media
        catalogue = Catalogue.load(catalogue or config.data.items, config.data.columns, media=False)
    _check_catalogue(folder, facts, catalogue)
    llm, tokenizer = load_llm(config.base, progress)
    features = Features.load(folder / "features.safetensors")
    model = RecommenderModel(llm, SemanticIds.load(folder / "semantic_ids.safetensors"), features, config)
    _read_parameters(model, folder / "adapter.safetensors")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return Checkpoint(model.eval(), tokenizer, catalogue, config, metrics, trained_on)


def start_from(model: RecommenderModel, source: str | Path) -> None:
    """Copy LoRA and ranking norm of another checkpoint into an untrained model; items and projectors stay its own.

    How a history is read has little to do with what the items are, so it can come from another domain. Raises
    CheckpointError if that checkpoint has another base, depth or LoRA.
    """
    folder = resolve(source)
    read_manifest(folder)
    other, own = Config.load(folder / "config.yaml"), model.config
    for key in ("base.llm", "base.rank_layers", "lora.r", "lora.lora_alpha", "lora.target_modules"):
        section, name = key.split(".")
        theirs, ours = (getattr(getattr(config, section), name) for config in (other, own))
        if theirs != ours:
            raise CheckpointError(f"{folder}: has {key} {theirs}, and this config {ours}", f"set {key} to the same")
    saved = load_file(folder / "adapter.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or name.startswith("rank_norm."):
                parameter.copy_(saved[_short(name)])


def known_items(source: str | Path) -> list[str] | None:
    """Return the ids of a checkpoint's items in their order; None if it is older than this list. Raises CheckpointError."""
    folder = resolve(source)
    read_manifest(folder)
    path = folder / ITEM_IDS
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def record(source: str | Path, name: str, value: Any) -> None:
    """Write something that was measured into a checkpoint's metrics.json and card, atomically. Raises CheckpointError."""
    folder = resolve(source)
    facts = read_manifest(folder)
    config = Config.load(folder / "config.yaml")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8")) | {name: value}
    with written_folder(folder) as written:
        shutil.copytree(folder, written, dirs_exist_ok=True)
        (written / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
        write_card(written / "README.md", config, metrics, facts["catalogue"]["items"])
        write_manifest(written, facts)


def save_with(source: str | Path, target: Path, name: str, write: Callable[[Path], None]) -> None:
    """Copy a checkpoint to `target`, which may be itself, with one more file that `write` makes. Raises CheckpointError."""
    folder = resolve(source)
    facts = read_manifest(folder)
    with written_folder(target) as written:
        shutil.copytree(folder, written, dirs_exist_ok=True)
        write(written / name)
        write_manifest(written, facts)


def resolve(source: str | Path) -> Path:
    """Return the folder of a checkpoint: the path itself, or else a shipped one.

    `movielens-100k` and `adapters/movielens-100k` name a shipped checkpoint from any folder. A path to nothing is returned
    as it is: reading it says what is missing.
    """
    path = Path(source)
    named = path.parent in (Path(), Path("adapters"))
    return shipped_checkpoints().get(path.name, path) if named and not path.exists() else path


def _read_parameters(model: RecommenderModel, path: Path) -> None:
    saved = load_file(path)
    ours = {_short(n): p for n, p in model.named_parameters() if is_ours(n)}
    wrong = sorted(set(saved) ^ set(ours)) or [n for n, p in ours.items() if p.shape != saved[n].shape]
    if wrong:
        raise CheckpointError(
            f"{path}: does not fit the base model and config ({wrong[0]} and {len(wrong) - 1} more differ)",
            "use the base model named in the checkpoint's config.yaml",
        )
    with torch.no_grad():
        for name, parameter in ours.items():
            parameter.copy_(saved[name])


def _short(name: str) -> str:
    return name.removeprefix("peft.base_model.model.")


def _check_catalogue(folder: Path, facts: dict[str, Any], catalogue: Catalogue) -> None:
    expected = facts["catalogue"]
    if catalogue.fingerprint != expected["fingerprint"]:
        raise CheckpointError(
            f"{folder}: made for another catalogue ({expected['items']} items, fingerprint"
            f" {expected['fingerprint'][:12]}; this one has {len(catalogue)} items, {catalogue.fingerprint[:12]})",
            "give the items it was trained on, or train on these: recommender train",
        )


def _check_made_by(folder: Path, facts: dict[str, Any]) -> dict[str, str]:
    """A model serves the prompts that it was trained on, or it guesses. Returns the hashes of those prompts.

    Only the prompts of ranking must be the same: a checkpoint whose sentences were learned otherwise still ranks.
    """
    if facts.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder}: has format {facts.get('format')}, this version reads {FORMAT}",
            "train again, or install the version of recommender that it was made with",
        )
    known = facts.get("prompts")
    hashes = dict(known) if isinstance(known, dict) else _ONE_HASH.get(str(known), {})
    if not prompts.reads_alike("rank", hashes.get("rank")):
        raise CheckpointError(
            f"{folder}: was trained with other prompts than those of this installation",
            "train again, or restore the folder prompts as it was",
        )
    return hashes


def _facts(checkpoint: Checkpoint) -> dict[str, Any]:
    catalogue = checkpoint.catalogue
    return {
        "format": FORMAT,
        "catalogue": {
            "source": checkpoint.config.data.items,
            "items": len(catalogue),
            "fingerprint": catalogue.fingerprint,
        },
        "prompts": checkpoint.prompts,
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
