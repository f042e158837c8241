import numpy as np
import pytest

from recommender.config import StageConfig
from recommender.studies.canaries import _mixed, exposure_of, exposures, make_canaries, plant
from recommender.training.epochs import HELD_OUT_EVERY
from tests.conftest import write_tables

WORDS = ("red", "blue", "green", "yellow")


def test_exposure_is_the_share_of_secrets_that_are_as_likely_in_bits():
    others = np.random.default_rng(0).normal(10.0, 2.0, 20_000)
    assert exposure_of(10.0, others, 50) == pytest.approx(1.0, abs=0.05)  # half of them are likelier
    assert exposure_of(10.0 - 2 * 2.0, others, 50) == pytest.approx(-np.log2(0.02275), abs=0.15)
    assert exposure_of(-100.0, others, 19.9) == 19.9  # there are no more secrets than that
    assert exposure_of(1.0, np.ones(5), 19.9) == 1.0


def test_canaries_are_drawn_and_stand_where_they_are_learned():
    canaries = make_canaries((1, 3), WORDS, length=5, seed=4)
    assert [canary.repeated for canary in canaries] == [1, 3]
    assert canaries[0].secret != canaries[1].secret
    assert canaries == make_canaries((1, 3), WORDS, length=5, seed=4)
    planted = [("ask", f"tell {n}") for n in range(20)]
    mixed = _mixed([("", "text")] * 60, planted, np.random.default_rng(0))
    assert len(mixed) == 80
    places = [place for place, pair in enumerate(mixed) if pair in planted]
    assert len(places) == 20 and not any(place % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 for place in places)


def test_a_secret_that_was_planted_often_is_exposed(make_checkpoint, config, tmp_path, catalogue, histories):
    tables = write_tables(tmp_path, catalogue, histories)
    settings = config.updated({f"data.{name}": path for name, path in tables.items()})
    checkpoint = make_checkpoint(1, settings)
    canaries = make_canaries((0, 40), WORDS, length=4)
    before = exposures(checkpoint, canaries, sampled=24, alphabet=WORDS)
    stage = StageConfig(stage="explain", epochs=6, learning_rate=0.02, batch_tokens=128, row_tokens=64)
    plant(checkpoint, canaries, 10, tmp_path / "work", stage)
    never, often = exposures(checkpoint, canaries, sampled=24, alphabet=WORDS)
    assert often["exposure_bits"] > max(before[1]["exposure_bits"], never["exposure_bits"], 3.0)
    assert often["most_bits"] == 8.0
