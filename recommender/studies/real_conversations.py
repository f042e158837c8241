"""A study of conversations that real people had: is what was recommended next among the first items of a list?

Beside the model stand popularity, item-kNN of the items that were named, sentence vectors of the words, and a weighed sum of
plain signals. What is fitted is fitted on every third dialogue; all are measured on the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recommender.baselines import FitData, make_baseline
from recommender.chat import Chat
from recommender.conversations import signals
from recommender.conversations.cases import Case, split
from recommender.conversations.spoken import SpokenOf, spoken_of
from recommender.conversations.tuned import Tuned, tune
from recommender.data.catalogue import Catalogue
from recommender.encoders.text import TextEncoder
from recommender.engine import Recommender
from recommender.eval.bootstrap import Bootstrap
from recommender.eval.report_parts import versions
from recommender.files import write_together
from recommender.numerics.vectors import unit_rows
from recommender.pages import Picture, Report, Table, report_html
from recommender.pages.drawing import bar_chart
from recommender.progress import Progress

#: lengths of the lists that are measured
KS = (1, 10, 50)
METRICS, LISTS = "metrics.json", "lists.jsonl"
PAGE = "report.html"
SUM, ALL_SIGNALS = "sum of plain signals", "sum of all signals but the model"
_AT_ONCE = 64


@dataclass(frozen=True)
class Listed:
    """What one system answers to each case: catalogue indices best first, [cases, at most 50] with -1 where there are no
    more, whether it asked back, and seconds a case."""

    lists: np.ndarray
    asked: np.ndarray
    seconds: float


@dataclass(frozen=True)
class ConversationEvaluation:
    """The reported cases and what each system answered to them."""

    about: dict[str, Any]
    cases: tuple[Case, ...]
    answers: dict[str, Listed]
    weights: dict[str, dict[str, float]]

    def metrics(self, seed: int = 0) -> dict[str, Any]:
        """Return recall with its interval, and shares, of each system."""
        recalls = np.stack([_recalls(self.cases, answer.lists) for answer in self.answers.values()], 1)
        estimates = Bootstrap(recalls, seed).means()
        models = {}
        for row, (name, answer) in enumerate(self.answers.items()):
            of_model: dict[str, Any] = {}
            for column, k in enumerate(KS):
                of_model[f"recall@{k}"] = float(estimates.mean[row, column])
                bounds = estimates.low[row, column], estimates.high[row, column]
                of_model[f"recall@{k} interval"] = [float(bound) for bound in bounds]
            of_model["listed"] = float((answer.lists[:, 0] >= 0).mean())
            of_model["asked back"] = float(answer.asked.mean())
            models[name] = of_model | {"seconds": answer.seconds}
        return {"about": self.about, "versions": versions(), "weights": self.weights, "models": models}


def study_real_conversations(
    model: str,
    engine: Recommender,
    histories: Sequence[np.ndarray],
    cases: Sequence[Case],
    progress: Progress | None = None,
) -> ConversationEvaluation:
    """Answer every case that is not for tuning by each system. `histories`: what `engine` learned from."""
    tuned, reported = split(cases)
    answers: dict[str, Listed] = {}

    def answer(name: str, scores: Callable[[Sequence[Case]], np.ndarray]) -> None:
        start = time.perf_counter()
        lists = np.concatenate([_best(scores(part), part) for part in _parts(reported)])
        answers[name] = Listed(lists, np.zeros(len(lists), bool), (time.perf_counter() - start) / len(lists))
        if progress:
            progress("systems", len(answers), 10)

    plain = _plain_signals(engine.catalogue, histories, engine.config.encoders.named("text"))
    for name, signal in plain.items():
        if name != "kinds named":
            answer(name, signal)
    of_tuned = {name: signal(tuned) for name, signal in plain.items()}
    weighed = signals.WeighedSum.fit(of_tuned, tuned)
    answer(SUM, lambda part: weighed({name: signal(part) for name, signal in plain.items()}))
    for name, (with_items, with_words) in _INPUTS.items():
        answer(f"{model}, {name}", partial(_of_model, engine, with_items=with_items, with_words=with_words))
    weights = {SUM: dict(weighed.weights)}
    if engine.setup.tuned is not None:
        fitted = _without_model(engine, engine.setup.tuned, tuned)
        weights |= {ALL_SIGNALS: dict(fitted.weights), f"{model}, tuned": dict(engine.setup.tuned.weights)}
        answer(ALL_SIGNALS, lambda part: fitted.scores(np.zeros(1), _spoken(engine, fitted, part), engine.likeness))
        answer(f"{model}, tuned", lambda part: _of_tuned(engine, part))
    answers[f"{model}, chat"] = _of_chat(Chat.of(engine), reported, progress)
    about = {"model": model, "cases": len(cases), "tuned on": len(tuned), "reported": len(reported)}
    return ConversationEvaluation(about, tuple(reported), answers, weights)


_INPUTS = {"history only": (True, False), "words only": (False, True), "history and words": (True, True)}


def _spoken(engine: Recommender, tuned: Tuned, cases: Sequence[Case]) -> list[SpokenOf]:
    conversations = [engine.converse(_messages(case)) for case in cases]
    return [spoken_of(c.messages, c.mentions, tuned.works) for c in conversations]


def _without_model(engine: Recommender, tuned: Tuned, cases: Sequence[Case]) -> Tuned:
    """Return the same signals with weights that are fitted without what the model hears."""
    return tune(tuned.taste, cases, _spoken(engine, tuned, cases), None, engine.likeness, tuned.works)


def _of_tuned(engine: Recommender, cases: Sequence[Case]) -> np.ndarray:
    nobody = [np.zeros(0, np.int64)]
    return np.concatenate([engine.score_all(nobody, conversation=engine.converse(_messages(case))) for case in cases])


def _messages(case: Case) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in case.turns]


def _plain_signals(
    catalogue: Catalogue, histories: Sequence[np.ndarray], encoder: str | None
) -> dict[str, Callable[[Sequence[Case]], np.ndarray]]:
    """Return the signals by name: cases -> scores [cases, items]."""
    items = len(catalogue)
    popularity = signals.log_popularity(histories, items)
    knn, together = make_baseline("item-knn"), signals.company(histories, items)
    knn.fit(FitData(histories, items))
    found: dict[str, Callable[[Sequence[Case]], np.ndarray]] = {
        "popularity": lambda cases: np.tile(popularity, (len(cases), 1)),
        "item-knn": lambda cases: np.maximum(knn.scores([np.array(case.named, np.int64) for case in cases]), 0),
        "company": lambda cases: signals.of_company(cases, together),
        "kinds named": lambda cases: signals.of_kinds(cases, catalogue),
    }
    if encoder is not None:
        sentences = TextEncoder(encoder)
        texts = _encoded(sentences, [catalogue.document(item) for item in range(items)])
        found["sentence vectors"] = lambda cases: _encoded(sentences, [case.said() for case in cases]) @ texts.T
    return found


def _encoded(encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
    parts = [encoder.encode(texts[start : start + _AT_ONCE]) for start in range(0, len(texts), _AT_ONCE)]
    return unit_rows(np.concatenate(parts))


def _of_model(engine: Recommender, cases: Sequence[Case], with_items: bool, with_words: bool) -> np.ndarray:
    """Return the language model's own scores [cases, items]: the items that were named as a history, what was said as a
    conversation with or without positions behind the names, or as a query where the model has not learned to listen."""
    rows = []
    for case in cases:
        history = np.array(case.named if with_items else (), np.int64)
        if with_words and engine.listens:
            heard = engine.converse(_messages(case), positions=with_items)
            rows.append(engine.hear_prompts([heard.prompt])[0])
        else:
            rows.append(engine.score_all([history], case.said("user") if with_words else None)[0])
    return np.stack(rows)


def _of_chat(chat: Chat, cases: Sequence[Case], progress: Progress | None) -> Listed:
    lists, asked = np.full((len(cases), max(KS)), -1, np.int64), np.zeros(len(cases), bool)
    start = time.perf_counter()
    for row, case in enumerate(cases):
        reply = chat.reply([turn.as_message() for turn in case.turns], k=max(KS), explain=False)
        asked[row] = reply.asks
        items = [chat.catalogue.index(item.item_id) for item in reply.items]
        items = [item for item in items if item not in case.named][: max(KS)]
        lists[row, : len(items)] = items
        if progress:
            progress("chat", row + 1, len(cases))
    return Listed(lists, asked, (time.perf_counter() - start) / len(cases))


def _parts(cases: Sequence[Case]) -> list[Sequence[Case]]:
    return [cases[start : start + _AT_ONCE] for start in range(0, len(cases), _AT_ONCE)]


def _best(scores: np.ndarray, cases: Sequence[Case]) -> np.ndarray:
    """Return the best items [cases, at most 50] that were not named before; -1 where there are no more."""
    scores = np.array(scores, np.float64)
    for row, case in zip(scores, cases, strict=True):
        row[list(case.named)] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, : max(KS)]
    return np.where(np.isfinite(np.take_along_axis(scores, best, 1)), best, -1)


def _recalls(cases: Sequence[Case], lists: np.ndarray) -> np.ndarray:
    """Return [cases, KS]: the share of a case's targets among the first k items of its list."""
    pairs = zip(cases, lists, strict=True)
    return np.array([[np.isin(case.targets, found[:k]).mean() for k in KS] for case, found in pairs])


def headline(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each system, for a table."""
    rows = []
    for name, of_model in metrics["models"].items():
        row: dict[str, Any] = {"system": name}
        for k in KS:
            low, high = of_model[f"recall@{k} interval"]
            row[f"R@{k}"] = f"{of_model[f'recall@{k}']:.3f} ({low:.3f}-{high:.3f})"
        rows.append(
            row | {"with a list": of_model["listed"], "asked back": of_model["asked back"], "s": of_model["seconds"]}
        )
    return rows


def write_evaluation(folder: Path, evaluation: ConversationEvaluation, catalogue: Catalogue) -> dict[str, Any]:
    """Write metrics.json, the lists of every case and report.html into a folder; returns the metrics."""
    metrics = evaluation.metrics()
    lines = []
    for row, case in enumerate(evaluation.cases):
        lists = {
            name: [catalogue[int(item)].item_id for item in answer.lists[row] if item >= 0]
            for name, answer in evaluation.answers.items()
        }
        targets = [catalogue[item].item_id for item in case.targets]
        lines.append(json.dumps({"line": case.number, "targets": targets, "lists": lists}))
    page = report_html(_report(metrics, len(evaluation.cases)))
    contents = {
        PAGE: page,
        LISTS: "".join(f"{line}\n" for line in lines),
        METRICS: json.dumps(metrics, indent=2) + "\n",
    }
    write_together(folder, {name: text.encode() for name, text in contents.items()})
    return metrics


def _report(metrics: Mapping[str, Any], cases: int) -> Report:
    k, models = KS[0], metrics["models"]
    recall = {name: of_model[f"recall@{k}"] for name, of_model in models.items()}
    low, high = ([of_model[f"recall@{k} interval"][end] for of_model in models.values()] for end in (0, 1))
    plot = Picture(f"Recall@{k}", bar_chart(recall, f"recall@{k}", low, high), f"recall at {k} of each system")
    lead = f"{cases} conversations of real people: is what they were recommended next among the first items?"
    notes = (
        "Whiskers and brackets: 95 % interval over conversations. Items that were named before are never counted.",
    )
    return Report("Conversations", lead, [Table("Systems", headline(metrics)), plot], notes, metrics.get("versions"))
