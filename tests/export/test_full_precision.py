"""What was learned on a base of 4 bits, merged onto the base in float32."""

from __future__ import annotations

import pytest
import torch

from recommender.errors import ConfigError
from recommender.export.full_precision import PrecisionReport, compare_precision
from recommender.export.merge import merge
from recommender.export.vllm_folder import export_vllm
from recommender.model.checkpoint import from_pretrained, save_pretrained

pytest.importorskip("bitsandbytes")


@pytest.fixture
def saved(make_checkpoint, config, tmp_path):
    """Save a checkpoint whose LoRA does something."""

    def save(**changes):
        checkpoint = make_checkpoint(settings=config.updated(changes))
        with torch.no_grad():
            for name, parameter in checkpoint.model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.2)
        save_pretrained(checkpoint, tmp_path / "saved")
        return tmp_path / "saved"

    return save


def test_one_option_merges_onto_the_full_base_and_compares(saved, catalogue, tmp_path):
    folder = saved(**{"base.load_in_4bit": True})
    trained = from_pretrained(folder, catalogue)
    for write in (merge, export_vllm):
        with pytest.raises(ConfigError, match="a 4-bit base cannot be") as error:
            write(trained, tmp_path / "refused")
        assert "--full-precision" in error.value.hint and not (tmp_path / "refused").exists()
    full = from_pretrained(folder, catalogue, full_precision=True)
    assert not any("4bit" in type(module).__name__ for module in full.model.modules())
    theirs = dict(trained.model.named_parameters())
    for name, parameter in full.model.named_parameters():
        if "lora_" in name or not name.startswith("peft."):
            torch.testing.assert_close(parameter, theirs[name].float())
    assert merge(full, tmp_path / "plain").rank_difference < 1e-3
    report = compare_precision(folder, full)
    assert report.score_difference is not None and 0 < report.score_difference < 2
    assert report.same_items is not None and 0.3 < report.same_items <= 1


def test_there_is_nothing_to_compare_for_a_full_base(saved, catalogue):
    folder = saved()
    assert compare_precision(folder, from_pretrained(folder, catalogue, full_precision=True)) == PrecisionReport()
