"""A version that differs in its adapter takes over in the running vLLM, and no request is lost."""

from __future__ import annotations

import copy
import json
import shutil
import threading
import time

import pytest
import torch
import uvicorn

from recommender.config import ServingConfig
from recommender.engine import Recommender, Request
from recommender.engine.vllm import VllmRecommender
from recommender.export.vllm_folder import load_exported
from recommender.model.checkpoint import Checkpoint
from recommender.model.manifest import read_manifest, write_manifest
from recommender.server.app import create_app
from recommender.server.uvicorn_server import server_config
from recommender.server.versions import RELOAD, Version, Versions
from tests.server.http_server import RANK, Server

ASKED = {"history": ["103", "107"], "k": 5, "explain": False}


class Served(Server):
    """A server of versions in a thread: `exports` are opened one after the other."""

    def __init__(self, exports, catalogue, before):
        limits, left = ServingConfig(drain_seconds=5), list(exports)
        self.now = "first"

        def opened(before):
            engine = VllmRecommender(load_exported(left.pop(0), catalogue), before=before)
            return Version(engine, create_app(engine, "tiny", limits), self.now)

        self.versions = Versions(opened(before), opened, lambda: self.now)
        self.socket = uvicorn.Config(None, port=0, log_level="error").bind_socket()
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = uvicorn.Server(server_config(self.versions, limits, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)


@pytest.fixture(scope="module")
def both(engines):
    return engines(1)


@pytest.fixture
def turned(both, tmp_path):
    """An export of the same model with its ranking adapter turned round."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "turned"
    shutil.copytree(both.exported, folder)
    weights = folder / "lora" / "rank" / "adapter_model.safetensors"
    save_file({n: -w if "lora_B" in n else w for n, w in load_file(weights).items()}, weights)
    facts = {key: value for key, value in read_manifest(both.exported).items() if key != "files"}
    write_manifest(folder, facts)
    return folder


@pytest.fixture
def turned_scores(both):
    """What the embedded engine answers with that adapter."""
    checkpoint = both.checkpoint
    model = copy.deepcopy(checkpoint.model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".rank." in name and "lora_B" in name:
                parameter.neg_()
    engine = Recommender(Checkpoint(model, checkpoint.tokenizer, checkpoint.catalogue, checkpoint.config))
    return scores(engine.answer(Request(**ASKED)).items)


def scores(items):
    return {item.item_id: item.score for item in items}


def test_a_version_takes_over_by_the_name_of_its_adapter(both, turned, turned_scores):
    plain = scores(both.vllm.answer(Request(**ASKED)).items)
    processes = [server.process.pid for server in both.vllm.started]
    server = Served([both.exported, turned], both.checkpoint.catalogue, both.vllm)
    answers, ended = [], threading.Event()

    def ask():
        while not ended.is_set():
            answers.append(server.post(RANK, ASKED))

    clients = [threading.Thread(target=ask) for _ in range(4)]
    try:
        for client in clients:
            client.start()
        server.now = "second"
        told = json.loads(server.post(RELOAD, b"")[2])
        last = json.loads(server.post(RANK, ASKED)[2])
        engine = server.versions.current.engine
        assert told["changed"] and [one.process.pid for one in engine.started] == processes
        assert engine.adapters() == ()  # a client names no version
    finally:
        ended.set()
        for client in clients:
            client.join()
        server.close()
    assert answers and all(status == 200 for status, _, _ in answers)
    found = {entry["item_id"]: entry["score"] for entry in last["items"]}
    assert found == pytest.approx(turned_scores, abs=1e-3) and found != pytest.approx(plain, abs=1e-2)
    for _, _, text in answers:
        listed = {entry["item_id"]: entry["score"] for entry in json.loads(text)["items"]}
        assert listed == pytest.approx(plain, abs=1e-3) or listed == pytest.approx(turned_scores, abs=1e-3)
    after = scores(both.vllm.answer(Request(**ASKED)).items)  # the servers live on for who holds them
    assert after == pytest.approx(plain, abs=1e-4)
    cards = both.vllm.session.get(
        f"{both.vllm.rank_url}/v1/models", headers=both.vllm._headers(f"{both.vllm.rank_url}/")
    )
    assert [card["id"] for card in cards.json()["data"] if card.get("parent")] == ["rank"]
