"""A tiny world for the tests: a three-layer LLM, a word-level tokenizer, twenty items, twelve users, tiny encoders."""

from __future__ import annotations

import csv
import gc
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.testing
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from recommender import prompts
from recommender.config import Config
from recommender.data.catalogue import Catalogue, Item
from recommender.encoders.audio import SAMPLE_RATE
from recommender.encoders.features import Features
from recommender.encoders.reduction import Reduction
from recommender.engine import Recommender
from recommender.engine.vllm import VllmOptions, VllmRecommender
from recommender.export.vllm_folder import export_vllm, load_exported
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint, save_pretrained
from recommender.model.listening import Listener
from recommender.prompting.builder import ExampleBuilder
from recommender.semantic_ids.codes import SemanticIds
from tests.docs.served import SERVE_SHIPPED, served
from tests.film_facts import embedded_facts_are_read_once  # noqa: F401 - a fixture
from tests.media_files import picture, sound
from tests.plots import each_kind_of_plot_is_drawn_once  # noqa: F401 - a fixture
from tests.scheduling import pytest_collection_modifyitems, pytest_xdist_make_scheduler  # noqa: F401 - hooks
from tests.untrained import Untrained
from tests.vllm_environment import vllm_is_missing

ITEMS = 20
WORDS = (
    "recommend items films what next is which one you watched because and the a of in common system user assistant "
    "film red blue green yellow story night day river stone war comedy drama horror genres year 1990 1980 : , . ? ! "
    '" ( ) | Recommended Because Since start good know What Which You The'
).split()
ENCODER_WORDS = "red blue green night day river stone war love song film the of a genres comedy drama".split()
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session", autouse=True)
def imports_are_no_garbage():
    """Keep what imports made out of each collection of garbage: half a second of its own, for some hundred tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Compute on one thread, also in the processes that tests start: two on two cores wait for each other, spinning."""
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def commands_are_built_once() -> Iterator[None]:
    """Keep typer from building its hundred commands with each call: an eighth of a second, for two thousand calls."""
    with pytest.MonkeyPatch.context() as patch:
        once = cache(typer.main.get_command)
        patch.setattr("typer.main.get_command", once)
        patch.setattr("typer.testing._get_command", once)
        yield


@pytest.fixture(scope="session")
def llm_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("llm")
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<|im_start|>", "<|im_end|>", *dict.fromkeys(WORDS)])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        unk_token="<unk>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=TEMPLATE,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    colours, things, genres = (
        ("red", "blue", "green", "yellow"),
        ("story", "night", "day", "river", "stone"),
        ("comedy", "drama"),
    )
    return Catalogue(
        Item(
            item_id=str(100 + i),
            title=f"The {colours[i % 4]} {things[i // 4]}",
            attributes={"genres": (genres[i % 2],), "year": ("1990" if i < 10 else "1980",)},
        )
        for i in range(ITEMS)
    )


@pytest.fixture(scope="session")
def features() -> Features:
    random = np.random.default_rng(0)
    widths = {"text": 8, "image": 6, "audio": 5, "collaborative": 4}
    vectors = {m: random.standard_normal((ITEMS, w)).astype(np.float32) for m, w in widths.items()}
    present = {m: np.ones(ITEMS, dtype=bool) for m in widths}
    present["image"][3] = False
    vectors["image"][3] = 0
    return Features(vectors, present).rounded()


@pytest.fixture(scope="session")
def histories() -> list[np.ndarray]:
    """Users who walk through the items in steps of one or two: the next item follows from the last ones."""
    return [(np.arange(9) * (1 + u % 2) + u) % ITEMS for u in range(12)]


@pytest.fixture
def config(llm_folder) -> Config:
    return Config.parse(
        {
            "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 2},
            "lora": {"r": 4, "lora_alpha": 8},
            "prompt": {"history": 6, "titled": 2, "noun": "films"},
            "justify": {"window": 4, "max_new_tokens": 8},
        }
    )


@pytest.fixture(scope="session")
def untrained(catalogue, features, llm_folder) -> Untrained:
    return Untrained(catalogue, features, str(llm_folder))


@pytest.fixture
def make_checkpoint(untrained, config):
    """Make an untrained checkpoint of the tiny world with atomic or with three-level ids."""

    def make(levels: int = 1, settings: Config = config) -> Checkpoint:
        return untrained.checkpoint(levels, settings)

    return make


@pytest.fixture(scope="session")
def vllm_environment():
    if reason := vllm_is_missing():
        pytest.skip(f"vLLM cannot be run here: {reason}")


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Make a tokenizer that can spell everything, a byte a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = {piece: i for i, piece in enumerate(["<unk>", "<|im_start|>", "<|im_end|>", *alphabet])}
    raw = Tokenizer(models.BPE(pieces, [], unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    names = {"unk_token": "<unk>", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, **names, chat_template=TEMPLATE)


def in_parts(features: Features) -> Features:
    """Return features whose pictures are three parts of two numbers each, and whose sounds are five of one."""
    cut = {"image": (2, 3), "audio": (1, 5)}
    reductions = {
        m: Reduction(np.zeros(4, np.float32), np.eye(w, 4, dtype=np.float32), 1.0, m, p) for m, (w, p) in cut.items()
    }
    return replace(features, reductions=reductions)


def wide_checkpoint(
    folder: Path,
    catalogue: Catalogue,
    features: Features,
    levels: int,
    ids: SemanticIds | None = None,
    remembers: bool = False,
) -> Checkpoint:
    """Make a checkpoint with heads of a width that vLLM has a kernel for, and adapters that change what is computed.

    `ids`: instead of those of so many levels that are fitted; `remembers`: with a memory of transitions.
    """
    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "bos_token_id": 1, "eos_token_id": 2}
    LlamaForCausalLM(
        LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **sizes, **heads)
    ).save_pretrained(folder)
    config = Config.parse(
        {
            "base": {
                "llm": str(folder),
                "dtype": "float32",
                "rank_layers": 2,
                "item_scale": 1.5,
                "memory": 4 if remembers else 0,
            },
            "lora": {"r": 4, "lora_alpha": 8},
            "prompt": {"history": 6, "titled": 2, "noun": "films"},
            "justify": {"window": 4, "max_new_tokens": 8},
        }
    )
    if ids is None and levels == 1:
        ids = SemanticIds.atomic(len(catalogue))
    elif ids is None:
        ids = SemanticIds.fit(features.vectors["text"], levels=levels - 1, codebook_size=4)
    llm, tokenizer = load_llm(config.base)
    torch.manual_seed(1)
    model = RecommenderModel(llm, ids, features, config).eval()
    with torch.no_grad():  # untrained LoRA is none
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    return Checkpoint(model, tokenizer, catalogue, config)


def add_listener(checkpoint: Checkpoint) -> Checkpoint:
    """Let a tiny model listen, with adapters and maps that change what is computed."""
    model, count = checkpoint.model, len(checkpoint.catalogue)
    random = np.random.default_rng(5)
    known = random.standard_normal((count, 12)).astype(np.float32)
    hidden = model.hidden_size
    basis = random.standard_normal((hidden, 4)).astype(np.float32)
    norm = model.llm.model.norm
    model.add_listener(Listener(norm, hidden, known, np.zeros(hidden, np.float32), basis, np.arange(count) / 10.0))
    assert model.listener is not None
    torch.manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".converse." in name and "lora_B" in name:
                parameter.normal_(std=0.2)
        for layer in (model.listener.query, model.listener.enter):
            layer.weight.normal_(std=0.1)
    checkpoint.prompts = prompts.template_hashes()
    model.eval()
    return checkpoint


class Engines:
    """One checkpoint in both engines. `exported`: its folder, `embedded`, and `vllm`, with servers of its own.

    `writes`: whether vLLM writes, too; what writes does not know levels, and its server costs half a minute.
    """

    def __init__(self, checkpoint: Checkpoint, folder: Path, writes: bool) -> None:
        self.checkpoint, self.exported, self.writes = checkpoint, folder, writes
        self.report = export_vllm(checkpoint, folder)
        self.embedded = Recommender(checkpoint)

    @cached_property
    def vllm(self) -> VllmRecommender:
        if reason := vllm_is_missing():
            pytest.skip(f"vLLM cannot be run here: {reason}")
        os.environ.setdefault("RECOMMENDER_VLLM_API_KEY", "tests")  # for processes that join these servers
        # the worker within its engine: one process less for each server that imports for ten seconds and waits spinning
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        options = VllmOptions() if self.writes else VllmOptions(write_url="http://127.0.0.1:1")  # where nobody listens
        return VllmRecommender(load_exported(self.exported, self.checkpoint.catalogue), options)

    def close(self) -> None:
        if "vllm" in self.__dict__:
            self.vllm.close()


@pytest.fixture(scope="session")
def engines(catalogue, features, tmp_path_factory):
    """Return the engines for a number of levels; servers live until another number is asked for."""
    made: dict[int, Engines] = {}

    def of(levels: int) -> Engines:
        for other in [number for number in made if number != levels]:
            made.pop(other).close()
        if levels not in made:
            folder = tmp_path_factory.mktemp("wide")
            checkpoint = wide_checkpoint(folder, catalogue, in_parts(features) if levels == 1 else features, levels)
            if levels == 1:  # what listens does not know levels, and a third server costs half a minute
                add_listener(checkpoint)
            made[levels] = Engines(checkpoint, folder / "export", writes=levels == 1)
        return made[levels]

    yield of
    for engines in made.values():
        engines.close()


@pytest.fixture
def listening_checkpoint(catalogue, features, tmp_path) -> Checkpoint:
    """A checkpoint that listens, with a tokenizer that spells everything."""
    return add_listener(wide_checkpoint(tmp_path / "wide", catalogue, features, 1))


#: a recipe that teaches to listen in seconds
TEACHING = {
    "training": {
        "stages": [{"stage": "converse", "epochs": 1, "conversations": 24, "batch_tokens": 512, "row_tokens": 512}]
    },
    "base": {"converse_layers": 2},
}


@pytest.fixture(scope="session")
def talk_folder(tmp_path_factory, catalogue, features, histories):
    """A saved checkpoint with tables of its own."""
    folder = tmp_path_factory.mktemp("taught")
    lines = [
        {"item_id": i.item_id, "title": i.title, "genres": i.attributes["genres"], "year": i.attributes["year"][0]}
        for i in catalogue
    ]
    (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = [f"{u},{catalogue[int(i)].item_id},{n}" for u, h in enumerate(histories) for n, i in enumerate(h)]
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    tables = {"data.items": str(folder / "items.jsonl"), "data.interactions": str(folder / "interactions.csv")}
    checkpoint = wide_checkpoint(folder / "base", catalogue, features, 1)
    checkpoint.config = checkpoint.config.updated({**tables, "encoders.text": None})
    checkpoint.model.config = checkpoint.config
    checkpoint.catalogue = Catalogue.load(tables["data.items"], checkpoint.config.data, media=False)
    save_pretrained(checkpoint, folder / "model")
    return folder


@pytest.fixture(scope="session")
def taught(talk_folder):
    """The same checkpoint, taught to listen."""
    from recommender.pipelines.converse import teach_listening  # here: most tests need no training

    result = teach_listening(talk_folder / "model", talk_folder / "taught", Config.parse(TEACHING))
    assert result.stage == "converse" and result.steps > 0
    return talk_folder / "taught"


@pytest.fixture(params=[1, 3], ids=["atomic", "three levels"])
def leveled(request, make_checkpoint) -> tuple[RecommenderModel, ExampleBuilder]:
    """A model and its prompts, with one code an item and with three."""
    checkpoint = make_checkpoint(request.param)
    return checkpoint.model, checkpoint.builder


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *ENCODER_WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(vocabulary), **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def shipped_server(tmp_path_factory) -> Iterator[int]:
    """The port of a server of the shipped adapter, which takes twenty seconds to start."""
    with served(SERVE_SHIPPED, tmp_path_factory.mktemp("served")) as port:
        yield port


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory) -> Path:
    import timm  # here: most tests need no image library, and importing it takes seconds

    from recommender.assets.convert_image import open_clip_folder

    folder = tmp_path_factory.mktemp("image")
    torch.manual_seed(0)
    open_clip_folder(folder, timm.create_model("test_efficientnet", pretrained=False), "test_efficientnet")
    return folder


@pytest.fixture(scope="session")
def audio_file(tmp_path_factory) -> Path:
    import whisper  # here: importing it takes seconds

    path = tmp_path_factory.mktemp("audio") / "tiny.pt"
    torch.manual_seed(0)
    audio = {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 16, "n_audio_head": 2, "n_audio_layer": 2}
    text = {"n_vocab": 51864, "n_text_ctx": 8, "n_text_state": 16, "n_text_head": 2, "n_text_layer": 1}
    model = whisper.model.Whisper(whisper.model.ModelDimensions(**audio, **text))
    torch.nn.init.normal_(model.decoder.positional_embedding)
    torch.save({"dims": audio | text, "model_state_dict": model.state_dict()}, path)
    return path


@pytest.fixture(scope="session")
def media_catalogue(catalogue, tmp_path_factory):
    """The tiny catalogue with pictures and sounds; item 3 has neither."""
    import soundfile  # here, as below: most tests need neither sound nor encoders

    folder = tmp_path_factory.mktemp("media")
    pictures, sounds = {}, {}
    for item in (n for n in range(len(catalogue)) if n != 3):
        pictures[item], sounds[item] = folder / f"{item}.png", folder / f"{item}.wav"
        picture(item).save(pictures[item])
        soundfile.write(sounds[item], sound(2.6, item), SAMPLE_RATE)
    return catalogue.with_media(pictures, sounds)


@pytest.fixture(scope="session")
def encoded_media(media_catalogue, features, image_folder, audio_file, tmp_path_factory):
    """Settings of the encoders, and features whose pictures and sounds they have read."""
    from recommender.encoders.pipeline import Encoders, fit_reductions, reduce

    changes = {"encoders.text": None, "encoders.image": str(image_folder), "encoders.audio": str(audio_file)}
    changes |= {"encoders.width": 5, "encoders.cache": str(tmp_path_factory.mktemp("encodings"))}
    raw = Encoders.from_config(Config().updated(changes).encoders).encode(media_catalogue)
    read = reduce(raw, fit_reductions(raw, 5))
    return changes, read.with_modality("collaborative", features.vectors["collaborative"]).rounded()


@pytest.fixture
def make_media_engine(media_catalogue, encoded_media, config):
    """Make an engine of the tiny world that pictures and sounds matter to."""

    def make(levels=1, catalogue=media_catalogue, features=None):
        changes, read = encoded_media
        settings, read = config.updated(changes), features or read
        ids = SemanticIds.atomic(len(catalogue))
        if levels > 1:
            ids = SemanticIds.fit(read.vectors["image"], levels=levels - 1, codebook_size=4)
        llm, tokenizer = load_llm(settings.base)
        torch.manual_seed(1)
        model = RecommenderModel(llm, ids, read, settings).eval()
        with torch.no_grad():  # what an untrained projector adds would be rounding
            for name in ("image", "audio"):
                model.projectors[name].leave.weight *= 20
        return Recommender(Checkpoint(model, tokenizer, catalogue, settings))

    return make


@pytest.fixture
def media_engine(make_media_engine):
    return make_media_engine()


def tiny_recipe(
    data: dict[str, Any], llm: Path, text: Path, cache: Path, training: dict[str, Any], **prompt: Any
) -> dict[str, Any]:
    """Return a recipe of seconds over tables of the tiny world, by texts alone, as plain data; `prompt`: its settings."""
    encoders = {"text": str(text), "image": None, "audio": None, "width": 6, "collaborative_width": 0}
    return {
        "data": data,
        "base": {"llm": str(llm), "dtype": "float32", "rank_layers": 2},
        "encoders": encoders | {"cache": str(cache)},
        "lora": {"r": 4, "lora_alpha": 8},
        "prompt": {"history": 6, "titled": 2, "noun": "films"} | prompt,
        "training": training,
    }


def write_tables(folder: Path, catalogue: Catalogue, histories: Sequence[Sequence[int] | np.ndarray]) -> dict[str, str]:
    """Write items.csv and interactions.csv into `folder`; returns their paths under the names that `data` has for them."""
    genres = ["|".join(item.attributes["genres"]) for item in catalogue]
    items = [(item.item_id, item.title, g, *item.attributes["year"]) for item, g in zip(catalogue, genres, strict=True)]
    events = [(f"u{u}", catalogue[int(i)].item_id, t) for u, h in enumerate(histories) for t, i in enumerate(h)]
    write_csv(folder / "items.csv", "item_id title genres year", items)
    write_csv(folder / "interactions.csv", "user_id item_id timestamp", events)
    return {name: str(folder / f"{name}.csv") for name in ("items", "interactions")}


def write_csv(path: Path, header: str, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(), *rows])
