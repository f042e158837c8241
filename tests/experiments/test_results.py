"""Results: rates of arms, differences, interleaved wins, and estimates for one arm from the lists of another."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.config import ExperimentConfig, ExplorationConfig
from recommender.experiments.policies import ListPolicy
from recommender.experiments.results import NOBODY, ShownList, results

SCORES = {name: -0.6 * place for place, name in enumerate("abcdef")}
TAKEN = dict(zip("abcdef", (0.1, 0.1, 0.2, 0.5, 0.6, 0.1), strict=True))
POLICIES = {
    "mild": ListPolicy(SCORES, ExplorationConfig(from_rank=1, temperature=2.0)),
    "wild": ListPolicy(SCORES, ExplorationConfig(from_rank=1, temperature=6.0)),
}


def experiment(method="ab"):
    arms = [{"name": name, "share": 0.5} for name in POLICIES]
    return ExperimentConfig.model_validate({"name": "heat", "method": method, "arms": arms})


def lists(random, people, policies=POLICIES):
    made = []
    for person in range(people):
        name = list(policies)[person % len(policies)]
        for _ in range(3):
            drawn = policies[name].draw(3, random)
            taken = frozenset(p for p, item in enumerate(drawn.items) if random.random() < TAKEN[item])
            others = {n: POLICIES[n].probabilities(drawn.items) for n in POLICIES if n != name}
            made.append(ShownList(str(person), drawn.probabilities, taken, {"heat": name}, {"heat": others}))
    return made


def test_the_better_arm_is_found_and_estimated_from_the_lists_of_the_other():
    shown = lists(np.random.default_rng(0), 3000)
    told = results(experiment(), shown)
    rate = {row["arm"]: row["takes a list"] for row in told["arms"]}
    assert [row["people"] for row in told["arms"]] == [1500, 1500]
    assert all(row["low"] < row["takes a list"] < row["high"] for row in told["arms"])
    (difference,) = told["differences"]
    assert difference["arm"] == "wild" and difference["verdict"] == "better"
    assert difference["difference"] == pytest.approx(rate["wild"] - rate["mild"])
    assert {(row["arm"], row["from lists of"]) for row in told["estimates"]} == {("mild", "wild"), ("wild", "mild")}
    for row in told["estimates"]:
        assert abs(row["takes a list"] - rate[row["arm"]]) < 3 * (row["high"] - row["low"]), row
        assert row["covered"] == pytest.approx(1, abs=0.1) and row["note"] == "" and row["lists"] == 4500


def test_lists_without_chance_tell_nothing_of_others_and_say_so():
    plain = {"mild": ListPolicy(SCORES)}
    rows = results(experiment(), lists(np.random.default_rng(0), 200, plain))["estimates"]
    assert rows and all("never shown" in row["note"] for row in rows)


def test_nothing_yet():
    told = results(experiment(), [])
    assert [(row["people"], row["lists"]) for row in told["arms"]] == [(0, 0)] * 2 and told["estimates"] == []
    assert told["differences"][0]["verdict"].startswith("too few") and told["arms"][0]["low"] is None
    assert results(experiment("interleave"), [])["wins"]["better"] == "open"


def test_people_in_no_arm_tell_of_all_arms():
    shown = [ShownList(str(n), (0.5, 1.0), frozenset([0]), {}, {"heat": {"wild": (0.5, 1.0)}}) for n in range(60)]
    rows = results(experiment(), shown)["estimates"]
    assert {row["from lists of"] for row in rows} == {NOBODY} and rows[0]["takes a list"] == pytest.approx(1)


def test_who_wins_interleaved_lists():
    def one(taken, name="heat"):
        return ShownList("p", (1.0, 1.0), frozenset(taken), {}, {}, name, (0, 1))

    told = results(experiment("interleave"), [one([1])] * 30 + [one([0])] * 5 + [one([0, 1])] * 7 + [one([0], "x")])
    wins = told["wins"]
    assert (wins["lists"], wins["won by mild"], wins["won by wild"], wins["ties"]) == (42, 5, 30, 7)
    assert wins["better"] == "wild" and wins["evidence"] > 20 and wins["low"] > 0.5
