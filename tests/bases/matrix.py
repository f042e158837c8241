"""What is checked of every base: the cells of the table in docs/base-models.md, each a function that raises if it fails.

Each compares with transformers' own forward of the base, with its own masks and its plainest attention, LoRA added to its
weights by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from recommender.adapters.lora import CONVERSE, EXPLAIN, RANK
from recommender.config import Config
from recommender.data.catalogue import Catalogue, Item
from recommender.encoders.features import Features
from recommender.engine import Recommender
from recommender.export.merge import merge
from recommender.export.vllm_folder import export_vllm
from recommender.inference import beam_search
from recommender.inference.hearing import Hearing
from recommender.inference.layers import FusedStack
from recommender.inference.weight_cache import WeightCache
from recommender.inference.writer import Writer
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint, from_pretrained, save_pretrained
from recommender.model.listening import Listener
from recommender.prompting.conversation import HeardTurn, Supervision
from recommender.prompting.example import Example
from recommender.prompting.packing import collate
from recommender.semantic_ids.codes import SemanticIds
from tests.bases.families import WINDOW, Family

EXACT = 5e-5
"""Largest difference of a score, a log-probability, from the base's own forward, in float32."""
HISTORY = [3, 1, 4, 15, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2]
TURNS = [
    HeardTurn("user", ("I like The red story", 0, "and")),
    HeardTurn("assistant", ("good", 7)),
    HeardTurn("user", ("more",)),
]


@dataclass
class World:
    """A tiny checkpoint over one base, with adapters that change what is computed."""

    checkpoint: Checkpoint
    folder: Path

    @property
    def model(self) -> RecommenderModel:
        """The network."""
        return self.checkpoint.model


def settings(base: Path, **more: object) -> Config:
    """Return the config of the tiny world over a base."""
    plain = {
        "base": {"llm": str(base), "dtype": "float32", "rank_layers": 2, "converse_layers": 2, "item_scale": 1.5},
        "lora": {"r": 2, "lora_alpha": 4},
        "prompt": {"history": 14, "titled": 2, "noun": "films"},
        "justify": {"window": 4, "max_new_tokens": 12},
    }
    return Config.parse(plain).updated(more)


def make_world(base: Path, levels: int = 1, **more: object) -> World:
    """Load a base and put a tiny recommender on it."""
    catalogue, features = tiny_items()
    config = settings(base, **more)
    ids = SemanticIds.atomic(len(catalogue))
    if levels > 1:
        ids = SemanticIds.fit(features.vectors["text"], levels=levels - 1, codebook_size=4)
    llm, tokenizer = load_llm(config.base)
    torch.manual_seed(1)
    model = RecommenderModel(llm, ids, features, config).eval()
    random, hidden = np.random.default_rng(5), model.hidden_size
    known, basis = (random.standard_normal(shape).astype(np.float32) for shape in ((len(catalogue), 6), (hidden, 4)))
    model.add_listener(Listener(model.llm.model.norm, hidden, known, np.zeros(hidden, np.float32), basis))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
            if name.startswith("listener.enter.weight"):
                parameter.normal_(std=0.05)
            if "lora_" in name or not name.startswith("peft."):  # as a checkpoint keeps it
                parameter.copy_(parameter.half().float())
        assert model.listener is not None
        model.listener.with_items(model.all_items()[0])
    return World(Checkpoint(model.eval(), tokenizer, catalogue, config), base)


def tiny_items() -> tuple[Catalogue, Features]:
    """Return twenty items with vectors of text and pictures."""
    colours, things = ("red", "blue", "green", "yellow"), ("story", "night", "day", "river", "stone")
    titles = [f"The {colour} {thing}" for thing in things for colour in colours]
    items = [Item(str(100 + n), title, attributes={"genres": ("drama",)}) for n, title in enumerate(titles)]
    random = np.random.default_rng(0)
    vectors = {m: random.standard_normal((len(items), w)).astype(np.float32) for m, w in (("text", 8), ("image", 6))}
    return Catalogue(items), Features(vectors, {m: np.ones(len(items), bool) for m in vectors}).rounded()


# ---------------------------------------------------------------------------------------- the base's own forward


def own_llm(world: World, adapter: str) -> Any:
    """Return the base as transformers loads it, with an adapter added to its weights; a wrapper's language model."""
    llm = AutoModelForCausalLM.from_pretrained(world.folder, dtype=torch.float32, attn_implementation="eager").eval()
    backbone = getattr(llm.model, "language_model", llm.model)
    weights = {f"model.{name}": weight for name, weight in backbone.named_parameters()}
    with torch.no_grad():
        for name, module in world.model.llm.named_modules():
            if adapter in getattr(module, "lora_A", ()):
                update = module.lora_B[adapter].weight @ module.lora_A[adapter].weight
                weights[f"{name}.weight"].add_(update * module.scaling[adapter])
    return llm


@torch.no_grad()
def own_states(world: World, adapter: str, embedded: Tensor, layers: int, norm: Any) -> Tensor:
    """Return normalised hidden states [positions, hidden] behind the first layers for embeddings of one example."""
    llm = own_llm(world, adapter)
    backbone = getattr(llm.model, "language_model", llm.model)
    states = backbone(inputs_embeds=embedded, output_hidden_states=True, use_cache=False).hidden_states
    assert layers < len(states) - 1  # the last one is normalised already
    return norm(states[layers][0])


def own_scores(world: World, prompt: Example) -> np.ndarray:
    """Return the log-probabilities of the first codes behind a prompt."""
    model = world.model
    with torch.no_grad():
        embedded = model.embed(collate([[prompt]]))
        state = own_states(world, RANK, embedded, model.config.base.rank_layers, model.rank_norm)[-1]
        return torch.log_softmax(model.code_logits(state, 0), -1).numpy()


# ---------------------------------------------------------------------------------------------------- the cells


def check_train(world: World) -> None:
    """All stages learn; packed rows have the loss of their examples alone."""
    model, builder = world.model, world.checkpoint.builder
    words = world.checkpoint.conversation_prompts()
    expected = np.array([1, 2]), np.array([0.7, 0.3], np.float32), False
    told = Supervision({1: expected, 3: expected}, {}, {})
    stages: dict[str, tuple[Sequence[Example], np.ndarray, str]] = {
        "align": ([builder.describing(item) for item in (1, 2)], np.zeros(0, np.int64), EXPLAIN),
        "rank": ([builder.ranking(np.array(HISTORY[n:])) for n in (0, 3, 9)], builder.prefix, RANK),
        "explain": ([builder.writing("Why The red story?", "Because The blue film.")], np.zeros(0, np.int64), EXPLAIN),
        "converse": ([words.example(TURNS, [5, 6], told), words.example(TURNS, [], told)], words.prefix, CONVERSE),
    }
    for stage, (examples, prefix, adapter) in stages.items():
        with _using(model, adapter), torch.no_grad():
            row, _ = model(collate([examples], prefix))
            alone = sum(float(model(collate([[example]], prefix))[0]) for example in examples)
        assert abs(float(row) - alone) <= 1e-4 * abs(alone), f"{stage}: a row has loss {float(row)}, alone {alone}"
        before, after = _steps(model, adapter, collate([examples], prefix))
        assert after < before, f"{stage}: loss {before} -> {after}"


def _steps(model: RecommenderModel, adapter: str, batch: Any, steps: int = 3) -> tuple[float, float]:
    """Train a few steps and take them back; returns the loss before and after."""
    trained = [
        p for n, p in model.named_parameters() if f".{adapter}." in n or "lora_" not in n and not n.startswith("peft.")
    ]
    kept = [parameter.detach().clone() for parameter in trained]
    losses = []
    with _using(model, adapter):
        for parameter in trained:
            parameter.requires_grad_(True)
        optimizer = torch.optim.AdamW(trained, lr=2e-5)
        for _ in range(steps + 1):
            loss, count = model(batch)
            losses.append(float(loss.detach() / count))
            optimizer.zero_grad()
            (loss / count).backward()
            optimizer.step()
        lora = [
            p.grad for n, p in model.named_parameters() if f".{adapter}." in n and "lora_A" in n and p.requires_grad
        ]
        assert any(grad is not None and float(grad.abs().sum()) > 0 for grad in lora), "LoRA has no gradients"
    with torch.no_grad():
        for parameter, value in zip(trained, kept, strict=True):
            parameter.copy_(value)
            parameter.requires_grad_(False)
            parameter.grad = None
    return losses[0], losses[-1]


@contextmanager
def _using(model: RecommenderModel, adapter: str) -> Iterator[None]:
    model.use_adapter(adapter)
    try:
        yield
    finally:
        model.use_adapter(RANK)


def prompts_of(world: World) -> list[Example]:
    """Return prompts of several lengths, all beyond a short window."""
    prompts = [world.checkpoint.builder.prompt(HISTORY[n:]) for n in (0, 5, 13)]
    assert all(len(prompt) > WINDOW + 4 for prompt in prompts)
    return prompts


def check_rank(world: World) -> None:
    """Scores of served prompts, and of a packed row of training, are those of the base's own forward."""
    model, builder, prompts = world.model, world.checkpoint.builder, prompts_of(world)
    items = range(len(world.checkpoint.catalogue))
    own = [own_scores(world, prompt) for prompt in prompts]
    found = beam_search.score(WeightCache(model), prompts, items, instruction=builder.prefix)
    for mine, expected in zip(found, own, strict=True):
        np.testing.assert_allclose(mine, expected[model.codes[:, 0].numpy()], atol=EXACT)
    batch, ends = collate([prompts]), np.cumsum([len(prompt) for prompt in prompts]) - 1
    with torch.no_grad():
        states = model.read(model.embed(batch), batch.positions, batch.mask, ends=batch.ends)[0, ends]
        rows = torch.log_softmax(model.code_logits(states, 0), -1).numpy()
    np.testing.assert_allclose(rows, np.stack(own), atol=EXACT)


def check_levels(world: World) -> None:
    """With several codes an item, beams score as the base's own forward does over the codes written out."""
    model, builder, prompt = world.model, world.checkpoint.builder, prompts_of(world)[0]
    found = beam_search.score(WeightCache(model), [prompt], [4, 11], instruction=builder.prefix)[0]
    for item, score in zip((4, 11), found, strict=True):
        written = _with_codes(prompt, builder.code_tokens[item][:-1])
        with torch.no_grad():
            embedded = model.embed(collate([[written]]))
            states = own_states(world, RANK, embedded, model.config.base.rank_layers, model.rank_norm)
            total = 0.0
            for level, code in enumerate(model.ids.codes[item]):
                logits = model.code_logits(states[len(prompt) - 1 + level], level)
                total += float(torch.log_softmax(logits, -1)[code])
        assert abs(total - score) <= 2 * EXACT


def _with_codes(prompt: Example, codes: np.ndarray) -> Example:
    size = len(prompt) + len(codes)
    parts = [np.concatenate([part, fill]) for part, fill in zip(
        (prompt.tokens, prompt.items, prompt.slots),
        (codes, np.full(len(codes), -1), np.zeros(len(codes), int)), strict=True)]  # fmt: skip
    return Example(*parts, np.full(size, -1), np.full(size, -100), np.full(size, -1))


def check_write(world: World) -> None:
    """Texts are written as transformers' own `generate` writes them, greedily, and their logits are the same."""
    model, builder = world.model, world.checkpoint.builder
    turn = builder.chat_turn(
        "which film is next and because of The red story or The blue stone : what is in common , The green river"
    )
    assert len(turn) > WINDOW + 4
    writer, llm = Writer(model), own_llm(world, EXPLAIN)
    writer.begin()
    texts = writer.texts([turn, turn[: len(turn) - 3]], lambda: None)
    ids = torch.from_numpy(turn)[None]
    with torch.no_grad():
        for _ in range(4):
            expected = llm(input_ids=ids).logits[0, -1]
            torch.testing.assert_close(texts.logits[0], expected, atol=2e-5 * max(float(expected.std()), 1), rtol=1e-5)
            chosen = int(expected.argmax())
            ids = torch.cat([ids, torch.tensor([[chosen]])], 1)
            texts.append([chosen, chosen])
    writer.end()


def check_chat(world: World) -> None:
    """What is heard in a conversation is scored by the base's own forward, and a text can be asked for."""
    model, words = world.model, world.checkpoint.conversation_prompts()
    prompt, turns = words.prompt(TURNS, [5, 6])
    assert turns == len(TURNS) and len(prompt) > WINDOW + 4
    listener = model.listener
    assert listener is not None
    with Hearing(model) as hearing:
        found = hearing.scores([prompt])[0]
    with torch.no_grad():
        tokens, items = torch.from_numpy(prompt.tokens), torch.from_numpy(prompt.items)
        table = model.llm.get_input_embeddings()
        embedded = table(tokens.clamp(max=model.vocabulary - 1))
        rows = listener.positions(items[items >= 0]) * model.config.base.item_scale
        embedded[items >= 0] = rows * float(getattr(table, "scalar_embed_scale", 1.0))
        state = own_states(world, CONVERSE, embedded[None], model.listening_layers, listener.norm)[-1]
        expected = torch.log_softmax(listener(state[None])[0], -1).numpy()
    np.testing.assert_allclose(found, expected, atol=EXACT)


def check_save(world: World, folder: Path) -> None:
    """A saved checkpoint ranks and writes as before."""
    save_pretrained(world.checkpoint, folder / "saved")
    loaded = from_pretrained(folder / "saved", world.checkpoint.catalogue)
    prompts, items = prompts_of(world), range(len(world.checkpoint.catalogue))
    before, after = (beam_search.score(WeightCache(model), prompts, items) for model in (world.model, loaded.model))
    np.testing.assert_allclose(after, before, atol=EXACT)
    assert Recommender(loaded).write(["red"])[0] == Recommender(world.checkpoint).write(["red"])[0]


def check_merge(world: World, folder: Path) -> None:
    """The merged folders, read by transformers alone, have the same logits; `rank/` ranks as the checkpoint does."""
    report = merge(world.checkpoint, folder / "merged")
    assert max(report.rank_difference, report.write_difference) < 1e-3


def check_export(world: World, folder: Path) -> None:
    """The folder for vLLM, read by transformers with its adapters, has the same logits, long prompts included."""
    report = export_vllm(world.checkpoint, folder / "vllm")
    assert max(report.rank_difference, report.write_difference) < 1e-3


def check_four_bits(base: Path) -> None:
    """On a base of 4 bits it learns, and what is served is what was trained."""
    world = make_world(base, **{"base.load_in_4bit": True})
    kinds = {type(module).__name__ for module in world.model.llm.modules()}
    assert "Linear4bit" in kinds
    model, builder = world.model, world.checkpoint.builder
    batch = collate([[builder.ranking(np.array(HISTORY))]], builder.prefix)
    before, after = _steps(model, RANK, batch)
    assert after < before
    prompt = prompts_of(world)[0]
    found = beam_search.score(WeightCache(model), [prompt], range(len(world.checkpoint.catalogue)))[0]
    batch = collate([[prompt]])
    with torch.no_grad():
        state = model.read(model.embed(batch), batch.positions, batch.mask)[0, -1]
        expected = torch.log_softmax(model.code_logits(state, 0), -1)[model.codes[:, 0]].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def check_fused(world: World, family: Family) -> None:
    """Faster layers take the place of the base's own exactly where they are the same."""
    stack = WeightCache(world.model).stack()
    assert isinstance(stack, FusedStack) == family.fused, getattr(stack, "refused", "faster layers were taken")
