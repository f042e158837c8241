"""A study of what listening rests on: the same recipe with parts left out.

Pretraining, words, item positions and depth are left out or changed in turn; each variant is taught anew and measured on
conversations, on queries and on items that hardly anybody took. A variant that was measured is not taught again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recommender.config import Config, StageConfig
from recommender.conversations.cases import Case, read_cases, split
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.engine import Recommender
from recommender.engine.listening import ConversationReader
from recommender.eval.bootstrap import Bootstrap
from recommender.eval.report_parts import versions
from recommender.files import write_together
from recommender.justify.facts import PEOPLE, facts_of, role
from recommender.model.checkpoint import Checkpoint, from_pretrained
from recommender.pages import Picture, Report, Table, report_html
from recommender.pages.drawing import bar_chart
from recommender.pipelines.listening_data import listening_stages, prepare_listening
from recommender.pipelines.train import split_histories
from recommender.progress import Progress
from recommender.prompting.example import Example
from recommender.studies.attributes import attributes_of
from recommender.studies.splits import last_item
from recommender.studies.text_queries import QueryCases, draw_queries
from recommender.training import TrainingData, run_stages
from recommender.training.loop import clear_state

METRICS, MEASURES = "metrics.json", "measures.json"
PAGE = "report.html"
KS = (10, 50)
RARE = "rare items"
#: users whose queries, and items that hardly anybody took, are measured; words of a text that are quoted
_USERS, _RARE, _QUOTED = 300, 300, 10
_AT_ONCE = 16
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Variant:
    """What is left out or changed. `layers`: how many read, None as in the recipe; `pretrained`: whether the base keeps its
    weights, or has random ones of the same shape."""

    name: str
    pretrained: bool = True
    with_words: bool = True
    with_items: bool = True
    layers: int | None = None


VARIANTS = (
    Variant("as in the recipe"),
    Variant("random weights", pretrained=False),
    Variant("no words", with_words=False),
    Variant("no item positions", with_items=False),
    Variant("2 layers", layers=2),
    Variant("4 layers", layers=4),
    Variant("16 layers", layers=16),
)


@dataclass(frozen=True)
class _Data:
    """What all variants are measured on."""

    cases: tuple[Case, ...]
    queries: QueryCases | None
    rare: tuple[int, ...]


def listening_study(
    source: str,
    recipe: Config,
    output: Path,
    dialogues: Path | None = None,
    items: str | None = None,
    variants: Sequence[Variant] = VARIANTS,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Teach a checkpoint to listen in each variant, measure all, and write metrics.json into `output`.

    `dialogues`: cases of real people; those that are for tuning are not measured. `changes`: dotted keys of the recipe's
    stage, e.g. epochs, to spend less on each variant. A stopped study goes on where it was.
    """
    stage = (listening_stages(recipe) or (StageConfig(stage="converse"),))[0].model_copy(update=dict(changes or {}))
    measured: dict[str, Any] = {}
    memory: dict[str, Any] = {}
    for variant in variants:
        folder = output / re.sub(r"\W+", "-", variant.name)
        key = _key(source, recipe, stage, variant, dialogues)
        kept = _kept(folder / MEASURES, key)
        if kept is None:
            checkpoint = _taught(source, recipe, stage, variant, folder, items, memory, progress)
            kept = _measures(checkpoint, variant, _data_of(checkpoint, dialogues, seed), seed, progress)
            write_together(folder, {MEASURES: json.dumps({"key": key, "measures": kept}, indent=2).encode()})
        measured[variant.name] = kept
        about = {"model": source, "stage": stage.model_dump(mode="json"), "seed": seed}
        told = {"about": about, "versions": versions(), "variants": measured}
        page = report_html(_report(told)).encode()
        write_together(output, {PAGE: page, METRICS: (json.dumps(told, indent=2) + "\n").encode()})
    return told


def _key(source: str, recipe: Config, stage: StageConfig, variant: Variant, dialogues: Path | None) -> str:
    told = [source, recipe.training.outside, recipe.base.model_dump(mode="json"), stage.model_dump(mode="json")]
    about = [*told, asdict(variant), None if dialogues is None else hashlib.sha256(dialogues.read_bytes()).hexdigest()]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _kept(path: Path, key: str) -> dict[str, Any] | None:
    """Return what an earlier run measured of the same; None if there is nothing."""
    if not path.is_file():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    return dict(told["measures"]) if told.get("key") == key else None


def _taught(
    source: str,
    recipe: Config,
    stage: StageConfig,
    variant: Variant,
    work: Path,
    items: str | None,
    memory: dict[str, Any],
    progress: Progress | None,
) -> Checkpoint:
    """Return a checkpoint that was taught in a variant; it exists in memory only."""
    checkpoint = from_pretrained(source, items, progress)
    layers = variant.layers or recipe.base.converse_layers
    training = checkpoint.config.training.model_copy(update={"stages": (stage,), "outside": recipe.training.outside})
    base = checkpoint.config.base.model_copy(update={"converse_layers": layers})
    config = checkpoint.config.model_copy(update={"training": training, "base": base})
    checkpoint.config = checkpoint.model.config = config
    if not variant.pretrained:
        forget_pretraining(checkpoint, config.seed)
    histories = split_histories(config, checkpoint.catalogue)
    parts = checkpoint.conversation_prompts(variant.with_words, variant.with_items)
    conversations = prepare_listening(checkpoint, histories.train.items, work, progress, parts=parts)
    conversations.memory = memory
    data = TrainingData(checkpoint.builder, histories, conversations=conversations)
    run_stages(checkpoint.model, data, config, work, progress)
    clear_state(work)
    return checkpoint


@torch.no_grad()
def forget_pretraining(checkpoint: Checkpoint, seed: int) -> None:
    """Give the base random weights of the same shape and, tensor by tensor, the same mean and spread."""
    torch.manual_seed(seed)
    for name, parameter in checkpoint.model.llm.named_parameters():
        if "lora_" not in name and parameter.is_floating_point() and parameter.dim() > 1:
            values = parameter.float()
            parameter.copy_(torch.randn_like(values) * values.std() + values.mean())


def _data_of(checkpoint: Checkpoint, dialogues: Path | None, seed: int) -> _Data:
    config, catalogue = checkpoint.config, checkpoint.catalogue
    cases = () if dialogues is None else tuple(split(read_cases(dialogues, catalogue))[1])
    histories = Histories.load(config.data.interactions, catalogue, config.data, config.data.minimum_rating)
    kinds = attributes_of(catalogue, None)
    held_out = last_item(histories, len(catalogue)).sampled(_USERS)
    queries = None if kinds is None else draw_queries(held_out, catalogue, kinds.name, seed)
    counts = np.zeros(len(catalogue), np.int64)
    for history in split_histories(config, catalogue).train.items:
        np.add.at(counts, history, 1)
    rare = [int(item) for item in np.argsort(counts, kind="stable") if told_of(catalogue, int(item))]
    return _Data(cases, queries, tuple(rare[:_RARE]))


def told_of(catalogue: Catalogue, item: int) -> str:
    """Return what may be said of an item by who has it in mind: a sentence of its text, or kinds and people; "" for none."""
    sentence = _SENTENCE.split(catalogue[item].text or "")[0].split()
    if len(sentence) > 3:
        return " ".join(sentence[:_QUOTED])
    facts = facts_of(catalogue, item)
    kinds = [value for name, values in facts.items() if role(name) == "kind" for value in values]
    people = [value for name, values in facts.items() if role(name) in PEOPLE for value in values[:1]]
    return f"{', '.join(kinds)} with {' and '.join(people)}" if kinds and people else ""


def _measures(
    checkpoint: Checkpoint, variant: Variant, data: _Data, seed: int, progress: Progress | None
) -> dict[str, Any]:
    """Return recall with its interval on each kind of request."""
    engine = Recommender(checkpoint)
    assert engine.reader is not None
    parts = checkpoint.conversation_prompts(variant.with_words, variant.with_items)
    reader = ConversationReader(checkpoint.catalogue, parts, engine.reader.popularity, engine.reader.languages)
    requests: dict[str, tuple[Sequence[Example], Sequence[Sequence[int]], Sequence[Sequence[int]]]] = {}
    if data.cases:
        prompts = [reader.conversation([(t.role, t.content) for t in case.turns]).prompt for case in data.cases]
        requests["conversations"] = prompts, [c.targets for c in data.cases], [c.named for c in data.cases]
    if data.queries is not None:
        holdout = data.queries.holdout
        known = [history.tolist() for history in holdout.test_histories()]
        targets = [(int(target),) for target in holdout.table[holdout.test_users, 0]]
        for phrasing, queries in data.queries.queries.items():
            alone = [reader.query(query) for query in queries]
            behind = [reader.query(query, history) for query, history in zip(queries, known, strict=True)]
            requests[f"{phrasing} alone"] = alone, targets, known
            requests[f"{phrasing} and history"] = behind, targets, known
    if data.rare:
        prompts = [reader.query(told_of(checkpoint.catalogue, item)) for item in data.rare]
        wanted = [(item,) for item in data.rare]
        requests[RARE] = requests[f"{RARE}, popularity aside"] = prompts, wanted, [()] * len(data.rare)
    assert checkpoint.model.listener is not None
    popularity = checkpoint.model.listener.bias.detach().cpu().numpy()
    found = {}
    for number, (name, request) in enumerate(requests.items(), 1):
        found[name] = _recalls(engine, *request, seed, popularity if name.endswith("aside") else None)
        if progress:
            progress(f"measuring, {variant.name}", number, len(requests))
    return found


def _recalls(
    engine: Recommender,
    prompts: Sequence[Example],
    targets: Sequence[Sequence[int]],
    seen: Sequence[Sequence[int]],
    seed: int,
    aside: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return recalls of `targets` among items that were not `seen`; `aside` [items] is taken from all scores."""
    hits = np.zeros((len(prompts), len(KS)))
    for start in range(0, len(prompts), _AT_ONCE):
        for row, scores in enumerate(engine.hear_prompts(prompts[start : start + _AT_ONCE]), start):
            scores = np.array(scores, np.float64) - (0 if aside is None else aside)
            scores[list(seen[row])] = -np.inf
            best = np.argsort(-scores, kind="stable")
            hits[row] = [np.isin(list(targets[row]), best[:k]).mean() for k in KS]
    means = Bootstrap(hits[:, None, :], seed).means()
    told: dict[str, Any] = {"requests": len(prompts)}
    for column, k in enumerate(KS):
        told[f"recall@{k}"] = float(means.mean[0, column])
        told[f"recall@{k} interval"] = [float(means.low[0, column]), float(means.high[0, column])]
    return told


def headline(told: Mapping[str, Any], k: int = KS[0]) -> list[dict[str, Any]]:
    """Return a row for each variant, a column for each kind of request."""
    return [
        {"variant": name} | {kind: round(of_kind[f"recall@{k}"], 4) for kind, of_kind in measures.items()}
        for name, measures in told["variants"].items()
    ]


def _report(told: Mapping[str, Any]) -> Report:
    rows = headline(told)
    kinds = [name for name in rows[0] if name != "variant"]
    plots = [
        Picture(
            kind, bar_chart({row["variant"]: row[kind] for row in rows}, f"recall@{KS[0]}"), f"each variant on {kind}"
        )
        for kind in kinds
    ]
    best = dict.fromkeys(kinds, True)
    table = Table(f"Recall@{KS[0]}", rows, best=best)
    lead = "What of the recipe makes the model listen: variants of it, taught and measured alike."
    return Report("Listening", lead, [table, *plots], settings=told["versions"] | {"seed": told["about"]["seed"]})


def chosen(names: Sequence[str]) -> tuple[Variant, ...]:
    """Return variants by name; "N layers" is one for any N. Raises KeyError for another name."""
    known = {variant.name: variant for variant in VARIANTS}
    deep = {name: int(name.split()[0]) for name in names if re.fullmatch(r"[1-9]\d* layers", name)}
    return tuple(Variant(name, layers=deep[name]) if name in deep else known[name] for name in names)
