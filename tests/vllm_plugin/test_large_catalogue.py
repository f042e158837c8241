"""More items than vLLM's LoRA has rows for: a real server ranks them as the embedded engine does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from recommender.data.catalogue import Catalogue, Item
from recommender.encoders.features import Features
from recommender.engine import Recommender, Request
from recommender.engine.vllm import VllmOptions, VllmRecommender
from recommender.export.vllm_folder import export_vllm, load_exported
from recommender.model.checkpoint import Checkpoint
from recommender.semantic_ids.codes import SemanticIds
from tests.conftest import wide_checkpoint

pytestmark = pytest.mark.slow

MANY, WIDTHS = 300_000, {"text": 8, "image": 6}
#: no server that writes is started
OPTIONS = VllmOptions(write_url="http://127.0.0.1:9")


class Case(NamedTuple):
    items: int
    levels: int
    modalities: tuple[str, ...]


CASES = {
    "atomic": Case(MANY, 1, ("text", "image")),
    "three levels": Case(MANY, 3, ("text", "image")),
    "three levels without vectors": Case(8_000, 3, ("text",)),
}


def checkpoint_of(case: Case, folder: Path) -> Checkpoint:
    """Make a checkpoint with random vectors and, with several levels, random codes, which need no clustering."""
    random, count = np.random.default_rng(0), case.items
    catalogue = Catalogue(
        Item(
            str(100 + i),
            f"Film {i}",
            attributes={"genres": (("comedy", "drama")[i % 2],), "year": (str(1900 + i % 90),)},
        )
        for i in range(count)
    )
    vectors = {m: random.standard_normal((count, WIDTHS[m])).astype(np.float32) for m in case.modalities}
    features = Features(vectors, {m: np.ones(count, dtype=bool) for m in vectors}).rounded()
    if case.levels == 1:
        return wide_checkpoint(folder, catalogue, features, 1)
    sizes = (64, 64, -(-count // 3600))
    drawn = random.permutation(int(np.prod(sizes)))[:count]
    codes = np.column_stack(np.unravel_index(drawn, sizes)).astype(np.int64)
    centroids = tuple(random.standard_normal((64, WIDTHS["text"])).astype(np.float32) for _ in range(2))
    return wide_checkpoint(folder, catalogue, features, 3, SemanticIds(codes, sizes, centroids))


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def exported(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    checkpoint = checkpoint_of(case, folder)
    report = export_vllm(checkpoint, folder / "export")
    assert (report.vocabulary > MANY) == (case == CASES["atomic"])
    yield checkpoint, folder / "export"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def served(exported, vllm_environment):
    checkpoint, folder = exported
    engine = VllmRecommender(load_exported(folder, checkpoint.catalogue), OPTIONS)
    yield engine
    engine.close()


def requests(case: Case) -> list[Request]:
    """Plain ones, one with another picture of a spelled-out item and of one position, and some of many or few items."""
    history = tuple(str(100 + i) for i in np.linspace(0, case.items - 1, 6).astype(int).tolist())
    other = {item: {"image": (1.0,) * WIDTHS["image"]} for item in (history[-1], history[0])}
    many, few = {"genres": ("comedy",)}, {"year": ("1950", "1951")}
    asked = [Request(history=history, k=10, explain=False, filters=filters) for filters in ({}, many, few)]
    asked += [Request(k=10, explain=False), Request(history=history[2:4], k=3, explain=False, only=history)]
    if "image" in case.modalities:
        asked.append(Request(history=history, k=10, explain=False, vectors=other))
    return asked


def check_that_lists_are_alike(served, embedded, asked):
    for request, ours, theirs in zip(asked, embedded.answer_many(asked), served.answer_many(asked), strict=True):
        mine, other = ({item.item_id: item.score for item in answer.items} for answer in (ours, theirs))
        assert other == pytest.approx(mine, abs=1e-3), request


def test_a_list_of_a_large_catalogue_is_that_of_the_embedded_engine(case, exported, served):
    check_that_lists_are_alike(served, Recommender(exported[0]), requests(case))


def test_another_adapter_ranks_a_large_catalogue_too(case, exported, served, tmp_path):
    checkpoint, folder = exported
    before = served.answer(requests(case)[0])
    shutil.copytree(folder / "lora" / "rank", tmp_path / "other")
    file = tmp_path / "other" / "adapter_model.safetensors"
    save_file({name: -w if "lora_B" in name else w for name, w in load_file(file).items()}, file)
    served.load_adapter("rank-2", tmp_path / "other")
    adapted = [p for name, p in checkpoint.model.named_parameters() if "lora_B.rank" in name]
    for parameter in adapted:
        parameter.data.neg_()
    try:
        check_that_lists_are_alike(served.with_adapter("rank-2"), Recommender(checkpoint), requests(case))
    finally:
        for parameter in adapted:
            parameter.data.neg_()
    after = served.answer(requests(case)[0])
    assert [item.item_id for item in after.items] == [item.item_id for item in before.items]
