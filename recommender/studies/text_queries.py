"""A study of queries in words: what a sentence about taste adds to a history, and what it does where there is none.

A user's query is for one attribute value of the item that they chose next. It is put in phrasings that training never reads,
once with the value's name and once, where such words are known, without it: then only who knows what words mean can tell.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from recommender.baselines import FitData, make_baseline
from recommender.baselines.content import tfidf
from recommender.baselines.ranking import rank_topk
from recommender.data.histories import Histories
from recommender.encoders.text import TextEncoder
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.eval.beyond import ItemFacts
from recommender.eval.evaluation import Evaluation, Run, measure
from recommender.eval.holdout import Holdout
from recommender.eval.unseen_queries import NAMED, OTHER_WORDS
from recommender.progress import Progress
from recommender.studies.attributes import attributes_of
from recommender.studies.splits import last_item

KS = (1, 5, 10, 20)
BATCH = 32
REFERENCE = "history alone"


@dataclass(frozen=True)
class QueryCase:
    """Who is asked, and what each of them says: `wanted` [users] values; `said`: kind of words -> a sentence each."""

    holdout: Holdout
    wanted: tuple[str, ...]
    said: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class QueryStudy:
    """The rankings' evaluation, and model -> share of the first ten that have what was asked for."""

    evaluation: Evaluation
    met: dict[str, float]


def query_study(
    folder: str,
    items: str | None = None,
    interactions: str | None = None,
    attribute: str | None = None,
    users: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> QueryStudy:
    """Rank for queries with a checkpoint, with text similarity and by popularity, each user's last item as target.

    `attribute`: what is queried for, by default what tells kinds of items apart. Seen items are removed everywhere. Raises
    DataError if no target has a value of it, CheckpointError, AssetError.
    """
    model = Recommender.from_pretrained(folder, items, progress)
    data = model.config.data
    told = Histories.load(interactions or data.interactions, model.catalogue, data.columns, data.minimum_rating)
    kinds = attributes_of(model.catalogue, attribute)
    if kinds is None:
        raise DataError("no attribute tells the items apart, so there is nothing to query for", "name one: --attribute")
    asked = _asked(last_item(told, len(model.catalogue)).sampled(users), model, kinds.name, seed)
    runs = {name: {"": run} for name, run in _runs(model, asked, progress).items()}
    evaluation = measure(runs, asked.holdout, ItemFacts(), KS, REFERENCE, seed, samples=1000)
    has = [set(model.catalogue.facts(item).get(kinds.name, ())) for item in range(len(model.catalogue))]
    met = {name: _met(own[""].lists[:, :10], asked.wanted, has) for name, own in runs.items()}
    return QueryStudy(replace(evaluation, about={**evaluation.about, "exclude_seen": True}), met)


def _asked(holdout: Holdout, model: Recommender, attribute: str, seed: int) -> QueryCase:
    """Choose what each user says. Users whose target has no value are not asked."""
    random, targets = np.random.default_rng(seed), holdout.table[:, 0].copy()
    wanted: dict[int, str] = {}
    for user in holdout.asked.tolist():
        values = model.catalogue.facts(int(targets[user])).get(attribute, ())
        spoken = [value for value in values if value.casefold() in OTHER_WORDS] or list(values)
        if spoken:
            wanted[user] = spoken[int(random.integers(len(spoken)))]
        else:
            targets[user] = -1
    if not wanted:
        raise DataError(f"no target has any {attribute}, so nobody can query for it", "name another: --attribute")
    values = tuple(wanted[user] for user in sorted(wanted))
    said = {"query": tuple(NAMED[int(random.integers(len(NAMED)))].format(a=value) for value in values)}
    if all(value.casefold() in OTHER_WORDS for value in values):
        words = (OTHER_WORDS[value.casefold()] for value in values)
        said["other words"] = tuple(lines[int(random.integers(len(lines)))] for lines in words)
    kept = replace(holdout, targets=targets, name=f"{holdout.name}, a query for {attribute}")
    return QueryCase(kept, values, said)


def _runs(model: Recommender, asked: QueryCase, progress: Progress | None) -> dict[str, Run]:
    """Return every way to rank for the users who are asked."""
    known = [asked.holdout.histories[user] for user in asked.holdout.asked.tolist()]
    nothing = [np.zeros(0, np.int64)] * len(known)
    runs = {
        REFERENCE: _ranked(model, known, [None] * len(known), known, progress),
        "nothing": _ranked(model, nothing, [None] * len(known), known, progress),
    }
    for words, said in asked.said.items():
        for told, histories in ((f"history and {words}", known), (f"{words} alone", nothing)):
            runs[told] = _answered(model, histories, said, known, progress)
            if model.scores_query(said[0]):
                runs[f"{told}, read by the language model"] = _ranked(model, histories, said, known, progress)
    return runs | _baselines(model, asked, known)


def _answered(
    model: Recommender,
    histories: Sequence[np.ndarray],
    said: Sequence[str],
    seen: Sequence[np.ndarray],
    progress: Progress | None,
) -> Run:
    """Rank as the model alone answers a request with a query, without baselines that it may be fused with."""
    start, k = time.perf_counter(), max(KS)
    lists = np.full((len(histories), k), -1, dtype=np.int64)
    for row, (history, query) in enumerate(zip(histories, said, strict=True)):
        allowed = torch.ones(1, len(model.catalogue), dtype=torch.bool)
        allowed[0, torch.from_numpy(seen[row])] = False
        (ranking,) = model.rank([history], k, allowed, query)
        lists[row, : len(ranking.items)] = ranking.items
        if progress is not None:
            progress("answering queries", row + 1, len(histories))
    return Run(lists, math.nan, time.perf_counter() - start, math.nan)


def _ranked(
    model: Recommender,
    histories: Sequence[np.ndarray],
    said: Sequence[str | None],
    seen: Sequence[np.ndarray],
    progress: Progress | None,
) -> Run:
    start, k = time.perf_counter(), max(KS)
    lists = np.full((len(histories), k), -1, dtype=np.int64)
    for first in range(0, len(histories), BATCH):
        part = range(first, min(first + BATCH, len(histories)))
        prompts = [model.builder.prompt(histories[row], said[row]) for row in part]
        allowed = torch.ones(len(prompts), len(model.catalogue), dtype=torch.bool)
        for place, row in enumerate(part):
            allowed[place, torch.from_numpy(seen[row])] = False
        for row, ranking in zip(part, model.rank_prompts(prompts, k, allowed), strict=True):
            lists[row, : len(ranking.items)] = ranking.items
        if progress is not None:
            progress("ranking for queries", part.stop, len(histories))
    return Run(lists, math.nan, time.perf_counter() - start, math.nan)


def _baselines(model: Recommender, asked: QueryCase, seen: Sequence[np.ndarray]) -> dict[str, Run]:
    """Rank by what the words have in common with the items' texts, and by popularity."""
    documents = [model.catalogue.document(item) for item in range(len(model.catalogue))]
    popular = make_baseline("popularity")
    popular.fit(FitData(asked.holdout.histories, len(documents)))
    found = {"popularity": _listed(popular.scores(seen), seen)}
    encoder = TextEncoder(model.config.encoders.text) if model.config.encoders.text else None
    vectors = None if encoder is None else _encoded(encoder, documents)
    for words, said in asked.said.items():
        if encoder is not None and vectors is not None:
            found[f"text vectors, {words}"] = _listed(_encoded(encoder, said) @ vectors.T, seen)
        together = tfidf([*documents, *said])
        cosines = together[len(documents) :] @ together[: len(documents)].T
        found[f"TF-IDF, {words}"] = _listed(cosines.toarray(), seen)
    return found


def _encoded(encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
    return np.concatenate([encoder.encode(texts[start : start + 64]) for start in range(0, len(texts), 64)])


def _listed(scores: np.ndarray, seen: Sequence[np.ndarray]) -> Run:
    return Run(rank_topk(scores.astype(np.float32), seen, max(KS)), math.nan, math.nan, math.nan)


def _met(lists: np.ndarray, wanted: Sequence[str], has: Sequence[set[str]]) -> float:
    """Return the share of the places [users, k] whose item has what its user wanted."""
    pairs = zip(lists, wanted, strict=True)
    return float(np.mean([value in has[item] for row, value in pairs for item in row if item >= 0]))
