"""A study of queries in words: what a query adds to a history, and how far it carries without one.

Each user's query is for one attribute value of their target item, the item that they chose next. It is phrased in words
that training never reads: once with the value's name and once, for values with known descriptions, without it, so that
only a model that knows what the words mean can rank by it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recommender.baselines import FitData, make_baseline
from recommender.baselines.content import tfidf
from recommender.baselines.topk import rank_topk
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.encoders.text import TextEncoder
from recommender.engine import Recommender
from recommender.errors import DataError
from recommender.eval.beyond_accuracy import ItemFacts
from recommender.eval.evaluation import Evaluation, Run, measure_runs
from recommender.eval.holdout import Holdout
from recommender.eval.unseen_queries import NAMED, OTHER_WORDS
from recommender.model.checkpoint import Checkpoint, from_pretrained
from recommender.progress import Progress
from recommender.studies.attributes import attributes_of
from recommender.studies.rankings import rank_histories
from recommender.studies.splits import last_item

KS = (1, 5, 10, 20)
REFERENCE = "history alone"
_FIRST = 10  # places of a list of which the share that meets the query is reported


@dataclass(frozen=True)
class QueryCases:
    """The test users and their queries.

    values: the queried attribute value of each test user. queries: kind of phrasing -> a query for each test user.
    """

    holdout: Holdout
    values: tuple[str, ...]
    queries: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class QueryEvaluation:
    """evaluation: of all ways to rank. met: model -> share of the first ten items that have the queried value."""

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
) -> QueryEvaluation:
    """Rank for queries with a checkpoint, by text similarity and by popularity; each user's last item is the target.

    `attribute`: what is queried for, by default the one that tells kinds of items apart. Seen items are never ranked.
    The baselines that may lie in the checkpoint do not take part. Raises DataError if no target has a value of the
    attribute, CheckpointError, AssetError.
    """
    checkpoint = from_pretrained(folder, items, progress)
    catalogue, data = checkpoint.catalogue, checkpoint.config.data
    histories = Histories.load(interactions or data.interactions, catalogue, data, data.minimum_rating)
    kinds = attributes_of(catalogue, attribute)
    if kinds is None:
        raise DataError("no attribute tells the items apart, so there is nothing to query for", "name one: --attribute")
    cases = draw_queries(last_item(histories, len(catalogue)).sampled(users), catalogue, kinds.name, seed)
    runs = _model_runs(checkpoint, cases, progress) | _baseline_runs(checkpoint, cases)
    named = {name: {"": run} for name, run in runs.items()}
    evaluation = measure_runs(named, cases.holdout, ItemFacts(), KS, REFERENCE, seed, samples=1000)
    item_values = [set(catalogue.facts(item).get(kinds.name, ())) for item in range(len(catalogue))]
    met = {name: share_met(run.lists[:, :_FIRST], cases.values, item_values) for name, run in runs.items()}
    return QueryEvaluation(replace(evaluation, about={**evaluation.about, "exclude_seen": True}), met)


def draw_queries(holdout: Holdout, catalogue: Catalogue, attribute: str, seed: int) -> QueryCases:
    """Draw a query for each user whose target has a value of the attribute; the others lose their target."""
    random, targets = np.random.default_rng(seed), holdout.table[:, 0].copy()
    drawn: dict[int, str] = {}
    for user in holdout.test_users.tolist():
        values = catalogue.facts(int(targets[user])).get(attribute, ())
        described = [value for value in values if value.casefold() in OTHER_WORDS] or list(values)
        if described:
            drawn[user] = described[int(random.integers(len(described)))]
        else:
            targets[user] = -1
    if not drawn:
        raise DataError(f"no target has any {attribute}, so nobody can query for it", "name another: --attribute")
    values = tuple(drawn[user] for user in sorted(drawn))
    queries = {"query": tuple(NAMED[int(random.integers(len(NAMED)))].format(a=value) for value in values)}
    if all(value.casefold() in OTHER_WORDS for value in values):
        descriptions = (OTHER_WORDS[value.casefold()] for value in values)
        queries["other words"] = tuple(texts[int(random.integers(len(texts)))] for texts in descriptions)
    tested = replace(holdout, targets=targets, name=f"{holdout.name}, a query for {attribute}")
    return QueryCases(tested, values, queries)


def _model_runs(checkpoint: Checkpoint, cases: QueryCases, progress: Progress | None) -> dict[str, Run]:
    """Rank with and without histories and queries; where a query is compared with the items' texts, also without that."""
    engine = Recommender(checkpoint)
    histories = cases.holdout.test_histories()
    no_histories = [np.zeros(0, np.int64)] * len(histories)

    def run(inputs: Sequence[np.ndarray], queries: Sequence[str] | None = None, ranker: Recommender = engine) -> Run:
        start = time.perf_counter()
        lists = rank_histories(ranker, inputs, max(KS), histories, queries, progress)
        return Run(lists, math.nan, time.perf_counter() - start, math.nan)

    runs = {REFERENCE: run(histories), "nothing": run(no_histories)}
    reader: Recommender | None = None
    for phrasing, queries in cases.queries.items():
        for name, inputs in ((f"history and {phrasing}", histories), (f"{phrasing} alone", no_histories)):
            runs[name] = run(inputs, queries)
            if engine.scores_query(queries[0]):
                reader = reader or _reader_only(checkpoint)
                runs[f"{name}, read by the language model"] = run(inputs, queries, reader)
    return runs


def _reader_only(checkpoint: Checkpoint) -> Recommender:
    """Return an engine of the same weights in which a query only stands in the prompt."""
    return Recommender(replace(checkpoint, config=checkpoint.config.updated({"decoding.query_weight": 0.0})))


def _baseline_runs(checkpoint: Checkpoint, cases: QueryCases) -> dict[str, Run]:
    """Rank by popularity, and by the similarity of queries and the items' texts."""
    histories, catalogue = cases.holdout.test_histories(), checkpoint.catalogue
    documents = [catalogue.document(item) for item in range(len(catalogue))]
    popularity = make_baseline("popularity")
    popularity.fit(FitData(cases.holdout.histories, len(documents)))
    runs = {"popularity": _run_of_scores(popularity.scores(histories), histories)}
    text = checkpoint.config.encoders.named("text")
    encoder = TextEncoder(text) if text else None
    vectors = None if encoder is None else _encode(encoder, documents)
    for phrasing, queries in cases.queries.items():
        if encoder is not None and vectors is not None:
            cosines = _encode(encoder, queries) @ vectors.T
            runs[f"text vectors, {phrasing}"] = _run_of_scores(cosines, histories)
        joined = tfidf([*documents, *queries])
        cosines = joined[len(documents) :] @ joined[: len(documents)].T
        runs[f"TF-IDF, {phrasing}"] = _run_of_scores(cosines.toarray(), histories)
    return runs


def _encode(encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
    return np.concatenate([encoder.encode(texts[start : start + 64]) for start in range(0, len(texts), 64)])


def _run_of_scores(scores: np.ndarray, seen: Sequence[np.ndarray]) -> Run:
    return Run(rank_topk(scores.astype(np.float32), seen, max(KS)), math.nan, math.nan, math.nan)


def share_met(lists: np.ndarray, values: Sequence[str], item_values: Sequence[set[str]]) -> float:
    """Return the share of the places of lists [users, k] whose item has its user's queried value; padding is no place."""
    rows = zip(lists, values, strict=True)
    return float(np.mean([value in item_values[item] for row, value in rows for item in row if item >= 0]))
