"""Token rows on another device than the model: the same is learned, and nothing computes with both devices at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from recommender.config import StageConfig
from recommender.data.histories import Histories, leave_one_out
from recommender.inference.item_bias import init_popularity_bias
from recommender.model.network import is_adapter_parameter
from recommender.model.row_window import rows_at
from recommender.training import TrainingData, run_stages, run_state
from recommender.training.run_state import trainable
from recommender.training.sparse_rows import sparse_rows
from recommender.training.validation import rank_histories
from tests.model.elsewhere import DEVICE, Elsewhere, another_device

RANK = {"stage": "rank", "epochs": 2, "batch_tokens": 128, "row_tokens": 64, "learning_rate": 3e-4}
ALIGN = {"stage": "align", "max_steps": 3, "batch_tokens": 128, "row_tokens": 64}


@pytest.fixture
def made(make_checkpoint, config):
    """Return what makes the tiny world with rows that may be elsewhere; inside `another_device` they are."""

    def make(elsewhere: bool):
        keys = {"training.stages": [ALIGN, RANK], "training.softmax": "sampled", "training.negatives": 12}
        checkpoint = make_checkpoint(1, config.updated(keys | {"training.rows_device": "cpu"}))
        if elsewhere:
            checkpoint.model.rows = nn.Parameter(checkpoint.model.rows.detach().to(DEVICE))
        return checkpoint

    return make


def test_rows_elsewhere_learn_and_rank_the_same(made, histories, tmp_path):
    split = leave_one_out(Histories(tuple(map(str, range(len(histories)))), tuple(histories)))

    def run(elsewhere: bool):
        checkpoint = made(elsewhere)
        model, data = checkpoint.model, TrainingData(checkpoint.builder, split)
        init_popularity_bias(model, checkpoint.builder, histories, 0.5)
        results = run_stages(model, data, checkpoint.config, tmp_path / str(elsewhere))
        assert isinstance(model.rows.data, Elsewhere) is elsewhere
        assert model.device == torch.device("cpu")
        ranked = rank_histories(model.eval(), checkpoint.builder, histories[:4], 5, 5)
        listed = model.output_rows(0).detach().numpy(), model.all_items()[0].detach().numpy()
        validations = [result.validation for result in results]
        return {name: value.numpy() for name, value in trainable(model).items()}, ranked, listed, validations

    with another_device():
        found, ranked, listed, validations = run(True)
    expected, theirs, also_listed, also_valid = run(False)
    assert all(np.array_equal(values, found[name]) for name, values in expected.items())
    assert np.array_equal(ranked, theirs) and np.array_equal(listed, also_listed)
    assert validations == also_valid and None not in validations


def test_what_is_kept_of_rows_lies_with_them(made, histories):
    split = leave_one_out(Histories(tuple(map(str, range(len(histories)))), tuple(histories)))
    with another_device():
        checkpoint = made(True)
        data = TrainingData(checkpoint.builder, split)
        kept = sparse_rows(checkpoint.model, data, StageConfig(stage="rank"))
        assert all(tensor.device == DEVICE for tensor in kept.state_dict().values())
        window = rows_at(checkpoint.model.rows.detach(), torch.tensor([[3, 1], [0, 3]]))
        assert window.shape[:2] == (2, 2) and window.device.type == "cpu"
        recorded = rows_at(checkpoint.model.rows, torch.tensor([3, 1]))  # where gradients are recorded too
        assert torch.equal(recorded.detach(), window[0])
        with pytest.raises(RuntimeError, match="two devices"):
            checkpoint.model.rows[torch.tensor([3])]


@pytest.mark.parametrize(
    ("device", "softmax", "stays"), [("cpu", "sampled", True), ("model", "sampled", False), ("cpu", "full", False)]
)
def test_only_rows_that_are_sampled_stay_when_the_model_moves(make_checkpoint, config, device, softmax, stays):
    keys = {"training.rows_device": device, "training.softmax": softmax}
    model = make_checkpoint(1, config.updated(keys)).model
    rows, names = model.rows, own_names(model)
    model.move_to(torch.device("meta"))
    assert model.device.type == "meta"
    assert (model.rows is rows) is stays
    assert own_names(model) == names
    tensors = [*model.named_parameters(), *model.named_buffers()]
    assert {name for name, tensor in tensors if tensor.device.type != "meta"} == ({"rows"} if stays else set())


def own_names(model) -> list[str]:
    """Return the names of what is trained, in order; on `meta` the base has its shared table twice."""
    return [name for name, _ in model.named_parameters() if is_adapter_parameter(name)]


def test_a_stopped_run_may_go_on_with_rows_elsewhere():
    assert not run_state._decides("training.rows_device")
