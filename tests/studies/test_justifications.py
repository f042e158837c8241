"""Studies of reasons and conversations on a tiny world."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.chat import Chat
from recommender.engine import Recommender
from recommender.eval.generated_queries import Constraints, generate_queries
from recommender.justify import Style
from recommender.studies.conversations import conversation_study
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


def test_answers_meet_what_was_asked_for(films):
    class Ranker:
        catalogue = films

        def score(self, histories, candidates, query=None):
            return np.zeros((len(histories), len(candidates)))

    told = conversation_study(Chat(Ranker(), "films"), count=90)
    assert told["queries"] == 90 and told["items"] == told["items_meeting_all"] > 0
    assert told["read_right"]["seen"] == 1


def test_queries_are_half_unseen_and_say_what_they_expect():
    queries = generate_queries(["Drama", "War", "Comedy"], (1960, 1998), 180)
    assert queries == generate_queries(["Drama", "War", "Comedy"], (1960, 1998), 180)
    assert sum(query.unseen for query in queries) == 90
    assert len({query.text for query in queries}) > 100
    assert Constraints(first=1980, without="War").met_by(["Drama"], 1985)
    assert not Constraints(first=1980).met_by(["Drama"], 1979) and not Constraints(first=1980).met_by(["Drama"], None)
    assert not Constraints(without="War").met_by(["War"], 1985) and not Constraints(out=(1980, 1989)).met_by([], 1985)
