"""Parameter groups: each stage trains what is its own, and leaves everything else as it is."""

from __future__ import annotations

import pytest

from recommender.config import StageConfig
from recommender.errors import ConfigError
from recommender.training.parameter_groups import parameter_groups


def named(model, groups):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {group["name"]: {names[id(parameter)] for parameter in group["params"]} for group in groups}


@pytest.mark.parametrize("stage", ["rank", "align"])
def test_ranking_stages_train_all_but_the_writing_adapter(make_checkpoint, stage):
    model = make_checkpoint().model
    groups = named(model, parameter_groups(model, StageConfig(stage=stage)))
    assert all(".rank." in name for name in groups["lora"])
    assert groups["rows"] == {"rows", "rank_norm.weight"}
    assert all(name.startswith("projectors.") for name in groups["projectors"])
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == set.union(*groups.values())


def test_the_stage_explain_trains_its_adapter_alone(make_checkpoint):
    model = make_checkpoint().model
    groups = named(model, parameter_groups(model, StageConfig(stage="explain")))
    assert list(groups) == ["lora"] and groups["lora"]
    assert all("lora_" in name and ".explain." in name for name in groups["lora"])


def test_each_group_has_its_rate_or_that_of_the_adapter(make_checkpoint):
    model = make_checkpoint().model
    plain = parameter_groups(model, StageConfig(stage="rank", learning_rate=0.5))
    assert {group["lr"] for group in plain} == {group["peak"] for group in plain} == {0.5}
    rates = {"learning_rate": 0.5, "rows_learning_rate": 0.25, "projector_learning_rate": 2.0}
    groups = parameter_groups(model, StageConfig(stage="rank", **rates))
    assert {group["name"]: group["lr"] for group in groups} == {"lora": 0.5, "rows": 0.25, "projectors": 2.0}


def test_a_rate_of_nought_freezes(make_checkpoint):
    model = make_checkpoint().model
    frozen = StageConfig(stage="rank", rows_learning_rate=0, projector_learning_rate=0)
    assert [group["name"] for group in parameter_groups(model, frozen)] == ["lora"]
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained and all("lora_" in name for name in trained)


def test_a_memory_may_learn_alone_beside_layers(make_checkpoint):
    model = make_checkpoint().model
    model.add_memory(4)
    stage = StageConfig(stage="rank", learning_rate=0, rows_learning_rate=0, memory_learning_rate=0.5)
    groups = parameter_groups(model, stage)
    assert {group["name"]: group["lr"] for group in groups} == {"memory": 0.5}
    assert named(model, groups)["memory"] == {"memory.log_weights", "memory.follow"}


def test_a_stage_that_would_learn_nothing_is_refused(make_checkpoint):
    with pytest.raises(ConfigError, match="stage rank trains nothing"):
        parameter_groups(make_checkpoint().model, StageConfig(stage="rank", learning_rate=0, rows_learning_rate=0))
