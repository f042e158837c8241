"""Studies of reasons and conversations on a tiny world."""

from __future__ import annotations

import pytest

from recommender.engine import Recommender
from recommender.justify import Style
from recommender.studies.justifications import checker_study, justification_study


@pytest.fixture(scope="module")
def films(catalogue):
    return catalogue


def test_the_checker_finds_planted_errors(films, histories):
    told = checker_study(films, histories, Style("films"), count=60)
    assert told["planted"] == 60 and told["found"] == 1 and told["objected_to"] == 0 and not told["missed"]


def test_delivered_sentences_are_true_and_measured(make_checkpoint, histories):
    told = justification_study(Recommender(make_checkpoint()), histories[:2], k=3)
    assert not told["false"]
    assert told["groundedness"]["sentences"] == 6 and told["groundedness"]["sentences_with_a_false_claim"] == 0
    assert sum(told["sources"].values()) == 6 and told["first_draft_pass_rate"] == 0
    assert 0 <= told["deletion_faithfulness"] <= 1
    assert set(told["draft_overlap"]) == {"bleu", "rouge_1", "rouge_2", "rouge_l"}
    assert sum(told["what_was_wrong"].values()) == 6
