"""The study of real conversations: recall against another library, and all systems on the same cases."""

from __future__ import annotations

import json

import ir_measures
import numpy as np
import pytest

from recommender.conversations.cases import Case, Turn
from recommender.engine import Recommender
from recommender.studies.real_conversations import (
    SUM,
    ConversationEvaluation,
    Listed,
    headline,
    study_real_conversations,
    write_evaluation,
)


def case(number, text, named, targets):
    return Case(number, (Turn("user", text),), tuple(named), tuple(targets))


def test_recall_is_that_of_another_library():
    random = np.random.default_rng(0)
    cases = [case(n, "hi", (), random.choice(80, 3, replace=False).tolist()) for n in range(12)]
    lists = np.stack([random.permutation(80)[:50] for _ in cases])
    lists[3, 5:] = -1  # a short list
    answers = {"ours": Listed(lists, np.zeros(12, bool), 0.1)}
    metrics = ConversationEvaluation({}, tuple(cases), answers, {}).metrics()["models"]["ours"]
    qrels = [ir_measures.Qrel(str(n), str(i), 1) for n, of_case in enumerate(cases) for i in of_case.targets]
    run = [
        ir_measures.ScoredDoc(str(n), str(i), -place)
        for n, found in enumerate(lists)
        for place, i in enumerate(found)
        if i >= 0
    ]
    for k in (1, 10, 50):
        expected = ir_measures.calc_aggregate([ir_measures.R @ k], qrels, run)[ir_measures.R @ k]
        assert metrics[f"recall@{k}"] == pytest.approx(expected)
        low, high = metrics[f"recall@{k} interval"]
        assert low <= metrics[f"recall@{k}"] <= high
    assert metrics["listed"] == 1


def test_all_systems_answer_the_same_cases_and_never_with_what_was_named(make_checkpoint, histories, tmp_path):
    engine = Recommender(make_checkpoint())
    cases = [case(n, f"I liked film {n}, a comedy", [n % 10], [(n + 3) % 10]) for n in range(9)]
    found = study_real_conversations("tiny", engine, histories, cases)
    assert [c.number for c in found.cases] == [1, 2, 4, 5, 7, 8]
    expected = {"popularity", "item-knn", "company", SUM}
    expected |= {"tiny, history only", "tiny, words only", "tiny, history and words", "tiny, chat"}
    assert expected <= set(found.answers)
    for answer in found.answers.values():
        assert not any(set(of_case.named) & set(row) for of_case, row in zip(found.cases, answer.lists, strict=True))
    metrics = write_evaluation(tmp_path, found, engine.catalogue)
    assert metrics == json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics["models"]) == set(found.answers) and metrics["about"]["reported"] == 6
    lines = [json.loads(line) for line in (tmp_path / "lists.jsonl").read_text().splitlines()]
    assert len(lines) == 6 and set(lines[0]["lists"]) == set(found.answers)
    assert [row["system"] for row in headline(metrics)] == list(found.answers)
