"""Studies of justifications on a tiny world: what the checker finds, what drafts pass, and how texts are measured."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.engine import Recommender
from recommender.errors import RecommenderError
from recommender.eval import text_overlap
from recommender.justify import ClaimChecker, Style
from recommender.justify.companions import Companions
from recommender.studies.justifications import checker_study, draft_study, justification_study
from tests.conftest import ITEMS


@pytest.fixture
def model(make_checkpoint) -> Recommender:
    return Recommender(make_checkpoint())


# --- the checker


def test_the_checker_finds_planted_errors_and_lets_true_sentences_pass(catalogue, histories):
    study = checker_study(catalogue, histories, Style("films"), count=60)
    assert study["planted"] == 60 and study["found"] == 1 and study["objected_to"] == 0 and not study["missed"]
    assert study["true_sentences"] >= 60
    assert sum(kind["planted"] for kind in study["kinds"].values()) == 60 and len(study["kinds"]) > 2


def test_the_seed_decides_the_errors(catalogue, histories):
    first, same, other = (checker_study(catalogue, histories, Style("films"), 25, seed) for seed in (1, 1, 2))
    assert first == same != other


def test_a_checker_that_lets_everything_pass_is_found_out(catalogue, histories, monkeypatch):
    class Verdict:
        ok = True

    monkeypatch.setattr(ClaimChecker, "check", lambda *_: Verdict())
    study = checker_study(catalogue, histories, Style("films"), count=30)
    assert study["found"] == 0 and study["objected_to"] == 0
    assert len(study["missed"]) == 20 and all('"' in text for text in study["missed"])


def test_a_checker_that_rejects_everything_is_found_out_too(catalogue, histories, monkeypatch):
    class Verdict:
        ok = False

    monkeypatch.setattr(ClaimChecker, "check", lambda *_: Verdict())
    study = checker_study(catalogue, histories, Style("films"), count=20)
    assert study["found"] == 1 and study["objected_to"] == 1


# --- drafts


def test_drafts_are_counted_for_each_line(model, histories):
    counts = draft_study(model, histories, drafts=2, seed=1)
    assert list(counts) == sorted(counts) and len(counts) > 5
    assert all(drafted in (1, 2) and 0 <= passed <= drafted for drafted, passed in counts.values())


def test_a_model_that_does_not_write_is_named(model, histories):
    model.writes = False
    with pytest.raises(RecommenderError, match="the model does not write") as caught:
        draft_study(model, histories)
    assert caught.value.hint == "train it again"


# --- delivered justifications


def test_delivered_justifications_are_true_and_measured(model, histories):
    study = justification_study(model, histories[:2], k=3)
    assert not study["false"]
    assert study["groundedness"]["sentences"] == 6 and study["groundedness"]["sentences_with_a_false_claim"] == 0
    assert sum(study["sources"].values()) == 6 and study["first_draft_pass_rate"] == 0
    assert 0 <= study["deletion_faithfulness"] <= 1
    assert set(study["draft_overlap"]) == {"bleu", "rouge_1", "rouge_2", "rouge_l"}
    assert sum(study["what_was_wrong"].values()) == 6


def test_a_model_without_drafts_has_no_pass_rate(model, histories):
    model.writes = False
    study = justification_study(model, histories[:1], k=2)
    assert study["first_draft_pass_rate"] is None and study["what_was_wrong"] == {} and study["draft_overlap"] == {}
    assert study["groundedness"]["share"] == 1


def test_an_overlap_that_cannot_be_measured_says_why(model, histories, monkeypatch):
    def missing(module, needed_by, extra):
        raise RecommenderError(f"{needed_by} needs the package {module}")

    monkeypatch.setattr(text_overlap, "import_extra", missing)
    study = justification_study(model, histories[:1], k=2)
    assert study["draft_overlap"] == {"not measured": "BLEU needs the package sacrebleu"}


def test_a_history_of_one_item_has_nothing_to_compare_a_deletion_with(model):
    assert justification_study(model, [np.array([3])], k=2)["deletion_faithfulness"] is None


def test_progress_counts_users(model, histories):
    steps: list[tuple[str, int, int]] = []
    justification_study(model, histories[:2], k=1, progress=lambda *step: steps.append(step))
    assert [step for step in steps if step[0] == "justifications"] == [
        ("justifications", 1, 2),
        ("justifications", 2, 2),
    ]


# --- what others did


def test_what_others_did_is_told_planted_and_read(make_checkpoint, catalogue, histories):
    checkpoint = make_checkpoint()
    others = np.tile(np.arange(ITEMS, dtype=np.int16), (ITEMS, 1))
    checkpoint.companions = Companions(others, np.full(others.shape, 8, np.int16))
    study = checker_study(catalogue, histories, Style("films"), 80, companions=checkpoint.companions)
    assert study["kinds"]["crowd"]["planted"] == study["kinds"]["crowd"]["found"] > 3 and study["objected_to"] == 0
    model = Recommender(checkpoint)
    model.writes = False
    justified = [model.explain(history, range(ITEMS)) for history in histories[:3]]
    assert any(claim.kind == "crowd" for each in justified for j in each for claim in j.verdict.claims)
    study = justification_study(model, histories[:3], k=8)
    assert not study["false"] and study["groundedness"]["share"] == 1
