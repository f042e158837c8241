"""A tiny model whose adapters change what it computes."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def trained(make_checkpoint):
    """A model with two adapters that differ from each other and from nothing."""
    model = make_checkpoint().model
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    return model.eval()
