"""The configs that the pages show: those that learn to write start from an adapter that can."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from recommender.adapters.shipped import shipped_checkpoints
from recommender.config import Config
from recommender.model.checkpoint import check_adapter, plain_because, writing_prompts

DOCS = Path(__file__).parents[2] / "docs"


def templates() -> list[tuple[str, dict[str, object]]]:
    """Return the YAML blocks of all pages that name an adapter to start from."""
    blocks = [
        (page.name, yaml.safe_load(block))
        for page in sorted(DOCS.glob("*.md"))
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    ]
    return [(name, block) for name, block in blocks if isinstance(block, dict) and "adapter" in block.get("base", {})]


@pytest.mark.parametrize(("page", "raw"), templates(), ids=[name for name, _ in templates()])
def test_what_a_template_starts_from_fits_and_writes(page, raw):
    config = Config.parse(raw, page)
    assert config.base.adapter is not None
    check_adapter(config, config.base.adapter)
    folder = shipped_checkpoints()[config.base.adapter]
    tensors = {n: t for n, t in load_file(folder / "adapter.safetensors").items() if ".explain." in n}
    recorded = json.loads((folder / "checkpoint.json").read_text())["prompts"]
    assert plain_because(writing_prompts(recorded, tensors)) is None


def test_there_are_templates():
    assert {name for name, _ in templates()} >= {"your-own-data.md", "fine-tuning.md"}
