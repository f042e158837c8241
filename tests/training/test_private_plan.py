import pytest

from recommender.config import Config
from recommender.errors import ConfigError, RecommenderError
from recommender.training.private_plan import SAMPLE, SECRET, Secret, plan_of

BASE = {"encoders": {"collaborative_width": 0}}


def config(stages=({"stage": "rank"},), **privacy) -> Config:
    return Config.parse(BASE | {"training": {"stages": list(stages), "privacy": {"epsilon": 4.0, **privacy}}})


def test_the_plan_counts_the_steps_of_all_private_stages():
    stages = ({"stage": "align", "epochs": 9}, {"stage": "rank", "epochs": 2}, {"stage": "rank", "max_steps": 3})
    plan = plan_of(config(stages, sampling_rate=0.25), 100)
    assert plan.steps == 2 / 0.25 + 3
    assert plan.expected == 25
    assert plan.delta == pytest.approx(1e-3)
    assert 3.8 < plan.epsilon <= 4.0
    more = plan_of(config(({"stage": "rank", "epochs": 20},), sampling_rate=0.25), 100)
    assert more.noise > plan.noise


def test_without_privacy_there_is_no_plan():
    assert plan_of(Config(), 100) is None


def test_a_delta_with_which_a_user_could_be_published_is_refused():
    with pytest.raises(ConfigError, match=r"delta is 0.01: with 100 users, below 0.01 is expected") as error:
        plan_of(config(delta=0.01), 100)
    assert "leave it out for 0.001" in str(error.value.hint)


def test_a_run_keeps_its_secret_and_does_not_begin_again_without_it(tmp_path):
    first = Secret.of(config(), tmp_path, resumed=False)
    again = Secret.of(config(), tmp_path, resumed=True)
    assert (first.random(SAMPLE, 1).random(3) == again.random(SAMPLE, 1).random(3)).all()
    assert (tmp_path / SECRET).stat().st_mode & 0o077 == 0  # others must not read it
    other = Secret.of(config(), tmp_path / "other", resumed=False)
    assert (first.random(SAMPLE, 1).random(3) != other.random(SAMPLE, 1).random(3)).all()
    (tmp_path / SECRET).unlink()
    with pytest.raises(RecommenderError, match="is missing, so the noise of this run cannot be drawn again"):
        Secret.of(config(), tmp_path, resumed=True)
    (tmp_path / SECRET).write_text("no number")
    with pytest.raises(RecommenderError, match="is damaged"):
        Secret.of(config(), tmp_path, resumed=True)


def test_a_given_seed_is_told_on_the_card(tmp_path):
    assert plan_of(config(seed=3), 100).told()["repeatable"]
    assert not plan_of(config(), 100).told()["repeatable"]
    Secret.of(config(seed=3), tmp_path, resumed=True)
    assert not (tmp_path / SECRET).exists()
