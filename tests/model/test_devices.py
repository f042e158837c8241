"""Where a model lives: each of several processes on its own GPU, and one clear line where there is none."""

from __future__ import annotations

import pytest
import torch

from recommender.config import Config
from recommender.errors import ConfigError
from recommender.model.devices import loading_device, of_several, resolve_device, training_device


@pytest.fixture
def gpus(monkeypatch):
    """Let the machine have so many GPUs, and this process be the `rank`-th of several."""

    def have(count: int, rank: int | None = None) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        for name, value in {"WORLD_SIZE": 2, "LOCAL_RANK": rank}.items():
            if rank is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, str(value))

    return have


def test_each_process_has_its_own(gpus):
    gpus(2)
    assert not of_several() and resolve_device("cuda") == resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    gpus(2, rank=1)
    assert of_several() and training_device("cuda") == loading_device("auto") == torch.device("cuda:1")
    assert resolve_device("cpu") == torch.device("cpu")


def test_auto_is_the_cpu_where_there_is_no_gpu_or_accelerate_was_told_so(gpus, monkeypatch):
    gpus(0)
    assert training_device("auto") == torch.device("cpu")
    gpus(1)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    assert training_device("auto") == torch.device("cpu")


def test_a_base_that_will_be_cut_is_read_to_the_host(gpus, monkeypatch):
    gpus(2, rank=0)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert loading_device("cuda") == torch.device("cpu") and training_device("cuda") == torch.device("cuda:0")


@pytest.mark.parametrize(
    ("count", "rank", "name", "said"),
    [
        (0, None, "cuda", "base.device is cuda, but no GPU is there"),
        (0, None, "cuda:1", "base.device is cuda:1, but no GPU is there"),
        (2, None, "cuda:2", "base.device is cuda:2, but this machine has 2 GPUs, from cuda:0"),
        (1, 1, "cuda", "more processes than GPUs: process 1 of this machine has none, there are 1"),
        (2, 0, "cuda:0", "base.device is cuda:0, but several processes train together"),
    ],
)
def test_a_gpu_that_is_not_there_is_one_clear_line(gpus, count, rank, name, said):
    gpus(count, rank)
    with pytest.raises(ConfigError, match=said) as error:
        training_device(name)
    assert error.value.hint and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda1", ""])
def test_no_device_has_that_name(name):
    with pytest.raises(
        ConfigError, match=r"base.device: expected cpu, cuda, the number of a GPU as in cuda:1, or auto"
    ):
        Config.parse({"base": {"device": name}})
