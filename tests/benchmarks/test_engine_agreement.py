"""Two engines on one checkpoint: what counts as the same, as wrong and as an error.

Copies of the embedded engine stand in for vLLM, which tests/vllm_plugin compares for real.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from recommender.adapters.lora import RANK
from recommender.benchmarks.engine_agreement import (
    EnginesSettings,
    answers_or_errors,
    compare_engines,
    drawn_requests,
    under_adapters,
    wrong_lists,
)
from recommender.engine import RankedItem, Recommender, Request, Response
from recommender.errors import RecommenderError

SETTINGS = EnginesSettings(histories=6, longest=5, k=4)


@pytest.fixture
def engine(make_checkpoint) -> Recommender:
    return Recommender(make_checkpoint())


class Named(Recommender):
    """The embedded engine under another name, with what it answers changed if wanted."""

    name = "other"

    def answer_many(self, requests):
        return [self.change(answer) for answer in super().answer_many(requests)]

    @staticmethod
    def change(answer: Response) -> Response:
        return answer


class Reversed(Named):
    """The same items in the other order, half a nat apart."""

    @staticmethod
    def change(answer: Response) -> Response:
        items = [RankedItem(i.rank, i.item_id, i.title, i.score + 0.5) for i in reversed(answer.items)]
        return Response(tuple(items), answer.notes)


def test_an_engine_agrees_with_itself(engine, make_checkpoint):
    row = compare_engines(engine, Named(make_checkpoint()), SETTINGS)
    assert row["what"] == "other beside embedded" and row["requests"] == 6
    assert row["same items"] == row["same order"] == 1
    assert row["scores apart, median"] == row["at most"] == row["wrong lists"] == 0
    assert row["of embedded"] == pytest.approx(row["seconds"] / (row["seconds"] / row["of embedded"]))


def test_order_and_scores_are_told_apart_from_items(engine, make_checkpoint):
    row = compare_engines(engine, Reversed(make_checkpoint()), SETTINGS)
    assert row["same items"] == 1 and row["same order"] == 0 and row["wrong lists"] == 0
    assert row["scores apart, median"] == pytest.approx(0.5, abs=1e-5) and row["at most"] == pytest.approx(
        0.5, abs=1e-5
    )


def test_lists_without_a_common_item_have_no_difference_of_scores(engine, make_checkpoint):
    class Elsewhere(Named):
        @staticmethod
        def change(answer: Response) -> Response:
            return Response(tuple(RankedItem(i.rank, f"x{i.item_id}", "", 0.0) for i in answer.items))

    row = compare_engines(engine, Elsewhere(make_checkpoint()), SETTINGS)
    assert row["same items"] == 0 and row["scores apart, median"] is None and row["at most"] is None
    assert row["wrong lists"] == 6  # nobody knows such items


def test_an_error_of_a_request_is_raised(engine, make_checkpoint):
    class Failing(Named):
        def answer_many(self, requests):
            return [RecommenderError("lost")] * len(requests)

    with pytest.raises(RecommenderError, match="lost"):
        compare_engines(engine, Failing(make_checkpoint()), SETTINGS)


def test_requests_are_random_unseen_histories_that_the_seed_decides(engine):
    requests = drawn_requests(engine, 30, SETTINGS, seed=1)
    assert requests == drawn_requests(engine, 30, SETTINGS, seed=1) != drawn_requests(engine, 30, SETTINGS, seed=2)
    for request in requests:
        assert len(set(request.history)) == len(request.history) < 5
        assert (request.k, request.explain, request.fused) == (4, False, False)


def test_wrong_lists_are_counted(engine):
    def listed(*ids: str) -> Response:
        return Response(tuple(RankedItem(rank, item, "", 0.0) for rank, item in enumerate(ids, 1)))

    request = Request(history=("100",), k=2)
    answers = [listed("101", "102"), listed("100", "102"), listed("101", "101"), listed("101"), listed("101", "x")]
    assert wrong_lists(engine, [request] * 5, answers) == 4


class Adapters:
    """Stands in for vLLM: adapters are loaded and unloaded, each an engine of its own."""

    def __init__(self, folder: Path, engines: dict[str, Recommender]) -> None:
        self.exported = SimpleNamespace(folder=folder)
        self.catalogue = engines["first"].catalogue
        self.engines, self.events = engines, []

    def with_adapter(self, name: str) -> Recommender:
        engine = self.engines[name]
        engine.options = SimpleNamespace(rank_adapter=name)
        return engine

    def load_adapter(self, name: str, folder: Path) -> None:
        weights = load_file(folder / "adapter_model.safetensors")
        self.events.append(("load", name, float(weights["lora_B"].max())))

    def unload_adapter(self, name: str) -> None:
        self.events.append(("unload", name, None))


@pytest.fixture
def exported(tmp_path) -> Path:
    (tmp_path / "export" / "lora" / RANK).mkdir(parents=True)
    weights = {"lora_A": torch.ones(2), "lora_B": torch.full((2,), 4.0)}
    save_file(weights, tmp_path / "export" / "lora" / RANK / "adapter_model.safetensors")
    return tmp_path / "export"


def test_adapters_come_and_go_while_both_answer(make_checkpoint, exported, tmp_path):
    engines = {name: Named(make_checkpoint()) for name in ("first", "second", "first-again")}
    served = Adapters(exported, engines)
    rows = under_adapters(served, tmp_path, EnginesSettings(requests=40, longest=5, k=3))
    assert [row["what"] for row in rows] == ["vllm, adapter first", "vllm, adapter second"]
    assert all(row["same order"] == 1 and row["errors"] == row["wrong lists"] == 0 for row in rows)
    assert all(row["first error"] is None and row["requests"] == 40 for row in rows)
    assert served.events[0] == ("load", "first", 4.0) and ("load", "second", 2.0) in served.events
    assert {name for what, name, _ in served.events if what == "unload"} == {"first", "second", "first-again"}


def test_an_adapter_that_fails_is_a_row_with_its_reason(make_checkpoint, exported, tmp_path):
    class Failing(Named):
        def answer_many(self, requests):
            raise ConnectionError("reset")

    engines = {"first": Failing(make_checkpoint()), "second": Named(make_checkpoint())}
    engines["first-again"] = engines["second"]
    first, second = under_adapters(Adapters(exported, engines), tmp_path, EnginesSettings(requests=20, longest=5, k=3))
    assert first["errors"] == 20 and first["first error"] == "ConnectionError: reset"
    assert first["same items"] == first["same order"] == 0 and first["at most"] is None
    assert second["errors"] == 0 and second["same order"] == 1


def test_only_the_requests_of_a_failing_group_are_lost(make_checkpoint):
    class Flaky(Named):
        groups = 0

        def answer_many(self, requests):
            self.groups += 1
            if self.groups == 2:
                raise TimeoutError("slow")
            return super().answer_many(requests)

    engine, steps = Flaky(make_checkpoint()), []
    engine.options = SimpleNamespace(rank_adapter="mine")
    requests = drawn_requests(engine, 40, SETTINGS, seed=0)
    answers = answers_or_errors(engine, requests, lambda *step: steps.append(step))
    assert [isinstance(answer, str) for answer in answers] == [False] * 16 + [True] * 16 + [False] * 8
    assert set(answers[16:32]) == {"TimeoutError: slow"}
    assert steps[-1] == ("lists under mine", 40, 40)
    assert np.isfinite([item.score for answer in answers[:16] for item in answer.items]).all()
