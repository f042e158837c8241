"""Arms stay with people, have their shares, and say nothing of each other."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.config import Config, ExperimentConfig
from recommender.errors import ConfigError
from recommender.experiments.arms import assigned

UNITS = [f"person {n}" for n in range(6000)]


def experiment(name="e", shares=(0.5, 0.3), **fields):
    arms = [{"name": f"arm {n}", "share": share} for n, share in enumerate(shares)]
    return ExperimentConfig.model_validate({"name": name, "arms": arms, **fields})


def names(tried):
    return np.array([arm.name if (arm := assigned(tried, unit)) else "none" for unit in UNITS])


def test_shares_are_met_and_stay():
    first = names(experiment())
    assert (first == names(experiment())).all()
    for name, share in (("arm 0", 0.5), ("arm 1", 0.3), ("none", 0.2)):
        assert abs((first == name).mean() - share) < 4.5 * np.sqrt(share * (1 - share) / len(UNITS))
    grown = names(experiment(shares=(0.5, 0.5)))
    assert (grown[first != "none"] == first[first != "none"]).all(), "who had an arm keeps it"


@pytest.mark.parametrize("other", [experiment(name="f"), experiment(salt="again")])
def test_another_experiment_draws_as_if_there_were_no_first(other):
    first, second = names(experiment()), names(other)
    for one in ("arm 0", "arm 1", "none"):
        share = (second[first == one] == "arm 0").mean()
        assert abs(share - 0.5) < 4.5 * 0.5 / np.sqrt((first == one).sum())


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ([{"name": "e", "arms": [{"name": "a", "share": 0.7}, {"name": "b", "share": 0.7}]}], "more than 1"),
        ([{"name": "e", "arms": [{"name": "a", "share": 0.1}, {"name": "a", "share": 0.1}]}], "same name"),
        ([{"name": "e", "method": "interleave", "arms": [{"name": "a", "share": 0.1}]}], "two arms"),
        ([{"name": "e", "arms": [{"name": "a", "share": 0.1}]}] * 2, "same name"),
        (
            [{"name": n, "arms": [{"name": "a", "share": 0.1, "model": "x"}]} for n in "ef"],
            "both change the model",
        ),
        ([{"name": "e", "arms": [{"name": "a", "shar": 0.1}]}], "shar"),
        ([{"name": "e", "arms": []}], "arms"),
    ],
)
def test_what_makes_no_sense_is_one_line(raw, said):
    with pytest.raises(ConfigError, match=said) as error:
        Config.parse({"serving": {"experiments": raw}})
    assert "\n" not in error.value.message


def test_a_rank_for_new_items_needs_to_know_them():
    with pytest.raises(ConfigError, match="new_items"):
        Config.parse({"serving": {"exploration": {"new_item_slot": 2}}})
