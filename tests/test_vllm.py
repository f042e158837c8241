"""The vLLM engine against the embedded one, on a real vLLM server: the same lists, the same scores, nothing forbidden."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from recommender.config import Config
from recommender.engine import Recommender, Request
from recommender.engine.vllm import VllmRecommender
from recommender.engine.vllm_process import vllm_python
from recommender.errors import DataError, RecommenderError
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint
from recommender.model.export import export_vllm, load_exported
from recommender.semantic_ids import SemanticIds


def environment_is_missing() -> str | None:
    try:
        python = vllm_python()
    except RecommenderError as error:
        return str(error)
    found = subprocess.run([python, "-c", "import vllm, recommender.vllm_plugin"], capture_output=True, text=True)
    return found.stderr.strip().splitlines()[-1] if found.returncode else None


@pytest.fixture(scope="session")
def vllm_environment():
    if reason := environment_is_missing():
        pytest.skip(f"vLLM cannot be run here: {reason}")


@pytest.fixture(scope="module", params=[1, 3], ids=["atomic", "three levels"])
def checkpoint(request, llm_folder, catalogue, features, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")  # heads of a width that vLLM has a kernel for
    tokenizer = AutoTokenizer.from_pretrained(llm_folder)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "bos_token_id": 1, "eos_token_id": 2}
    words = LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **sizes, **heads)
    LlamaForCausalLM(words).save_pretrained(folder)
    config = Config.parse(
        {
            "base": {"llm": str(folder), "dtype": "float32", "rank_layers": 2, "item_scale": 1.5},
            "lora": {"rank": 4, "alpha": 8},
            "prompt": {"history": 6, "titled": 2, "noun": "films"},
            "justify": {"window": 4, "max_new_tokens": 8},
        }
    )
    levels = request.param
    ids = SemanticIds.atomic(len(catalogue))
    if levels > 1:
        ids = SemanticIds.fit(features.vectors["text"], levels=levels - 1, codebook_size=4)
    llm, tokenizer = load_llm(config.base)
    torch.manual_seed(1)
    model = RecommenderModel(llm, ids, features, config).eval()
    with torch.no_grad():  # untrained LoRA is none: here both adapters change what is computed
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    return Checkpoint(model, tokenizer, catalogue, config)


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "model"
    report = export_vllm(checkpoint, folder)
    assert report.rank_difference < 1e-3 and report.write_difference < 1e-3
    return folder


@pytest.fixture(scope="module")
def embedded(checkpoint):
    return Recommender(checkpoint)


@pytest.fixture(scope="module")
def served(exported, catalogue, vllm_environment):
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    engine = VllmRecommender(load_exported(exported, catalogue))
    yield engine
    engine.close()


def asked(count, most=8, **more):
    random = np.random.default_rng(3)
    return [
        Request(history=tuple(str(100 + i) for i in random.integers(0, 20, int(random.integers(0, most)))), **more)
        for _ in range(count)
    ]


def test_both_engines_rank_alike_with_the_same_scores(embedded, served):
    requests = asked(60, k=5, explain=False, exclude=("104", "111"))
    alike = 0
    for request, ours, theirs in zip(
        requests, embedded.answer_many(requests), served.answer_many(requests), strict=True
    ):
        mine, found = ({i.item_id: i.score for i in answer.items} for answer in (ours, theirs))
        alike += len(mine.keys() & found.keys())
        assert len(found) == 5 and not found.keys() & {*request.history, "104", "111"}
        for item in mine.keys() & found.keys():
            assert found[item] == pytest.approx(mine[item], abs=1e-3)
    assert alike >= 0.99 * 60 * 5


def test_a_swapped_picture_changes_both_engines_lists_alike(embedded, served, features):
    """The vectors go to vLLM as they are and are projected there: of a spelled-out item, and of one that is one position."""
    before = served.answer(Request(history=("101", "104", "107", "112"), k=10, explain=False))
    for item, modality in (("112", "image"), ("107", "audio"), ("101", "image"), ("112", "collaborative")):
        other = {item: {modality: tuple(map(float, 2 * features.vectors[modality][9]))}}
        asked_for = Request(history=("101", "104", "107", "112"), k=10, explain=False, vectors=other)
        ours, theirs = ({i.item_id: i.score for i in e.answer(asked_for).items} for e in (embedded, served))
        assert theirs.keys() == ours.keys()
        assert list(theirs.values()) == pytest.approx(list(ours.values()), abs=1e-3)
        moved = [abs(theirs[i.item_id] - i.score) for i in before.items if i.item_id in theirs]
        assert max(moved) > 5e-3
    assert served.answer(Request(history=("101", "104", "107", "112"), k=10, explain=False)) == before


def test_the_ranking_route_refuses_slots_that_are_not_whole_and_vectors_that_fit_none(served):
    prompt = served._ids(served.builder.prompt([3, 7]))
    url = f"{served.rank_url}/v1/recommender/rank"
    first = served.exported.layout.first_soft
    for broken in (
        {"ids": [*prompt, first + 10**6]},
        {"ids": prompt, "vectors": {"7": {"image": [0.0]}}},
        {"ids": prompt, "vectors": {"7": {"text": [0.0] * 8}}},
        {"ids": prompt, "vectors": {"99": {"image": [0.0] * 6}}},
    ):
        with pytest.raises(Exception, match="400"):
            served._post(url, {"prompts": [broken], "k": 5})
    assert served.recommend(["103"], k=3, explain=False)


def test_both_engines_score_given_items_alike(embedded, served):
    histories = [np.array([3, 7, 12]), np.array([1]), np.array([], dtype=np.int64)]
    ours, theirs = (engine.score(histories, [4, 0, 19, 4]) for engine in (embedded, served))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_both_engines_write_alike(embedded, served):
    messages = ["red film", "what next"]
    assert embedded.write(messages) == served.write(messages)
    told = served.answer(Request(history=("103", "107"), k=3))
    assert all(item.justification and item.evidence["claims"] for item in told.items)


def test_both_engines_refuse_alike(served):
    with pytest.raises(DataError, match="'no'"):
        served.answer(Request(history=("no",)))
    with pytest.raises(RecommenderError, match="k is 21"):
        served.answer(Request(k=21))


def test_a_version_is_loaded_and_unloaded_under_its_own_name(exported, served, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(exported / "lora" / "rank", other)
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "adapter_model.safetensors")
    save_file({n: -w if "lora_B" in n else w for n, w in weights.items()}, other / "adapter_model.safetensors")
    prompt = served.builder.prompt([3, 7])
    body = {"prompts": [{"ids": served._ids(prompt)}], "k": 5, "beam": 20}
    url = f"{served.rank_url}/v1/recommender/rank"
    before = served._post(url, body | {"model": "rank"})
    served.load_adapter("rank-2", other)
    changed = served._post(url, body | {"model": "rank-2"})
    assert served._post(url, body | {"model": "rank"}) == before and changed != before
    served.unload_adapter("rank-2")
    with pytest.raises(Exception, match="404"):
        served._post(url, body | {"model": "rank-2"})
