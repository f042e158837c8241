import numpy as np
import pytest

from recommender.config import StageConfig
from recommender.data.histories import Histories, leave_one_out
from recommender.prompting.example import IGNORE
from recommender.training import TrainingData
from recommender.training.private_plan import PrivatePlan, Secret
from recommender.training.private_users import PrivateUsers, poisson_sample

STAGE = StageConfig(stage="rank", row_tokens=64, titled_share=0)


@pytest.fixture
def data(make_checkpoint, histories):
    split = leave_one_out(Histories(tuple(map(str, range(len(histories)))), tuple(histories)))
    return TrainingData(make_checkpoint().builder, split)


def users_of(data, rate=1.0, pieces=None, stage=STAGE, number=7) -> PrivateUsers:
    plan = PrivatePlan(1.0, 1e-3, len(data.split.train), rate, 1, 1.0, 1.0)
    return PrivateUsers(data, stage, 0, plan, Secret(number), pieces, data.builder.prefix)


def test_every_user_is_drawn_alone_with_the_same_chance():
    random = np.random.default_rng(0)
    drawn = np.zeros((4000, 30), bool)
    for step in drawn:
        step[poisson_sample(30, 0.2, random)] = True
    assert np.abs(drawn.mean(0) - 0.2).max() < 0.025  # each user
    sizes = drawn.sum(1)
    assert sizes.mean() == pytest.approx(6.0, abs=0.15)
    assert sizes.var() == pytest.approx(30 * 0.2 * 0.8, rel=0.1)  # binomial: not as many in every step
    together = np.corrcoef(drawn.T.astype(float))[np.triu_indices(30, 1)]
    assert np.abs(together).max() < 0.08  # nobody's part depends on another's
    assert len(poisson_sample(30, 1.0, random)) == 30


def test_each_part_is_one_users_whole_history(data):
    parts = users_of(data).parts(0)
    assert len(parts) == len(data.split.train)
    for part, history in zip(parts, data.split.train.items, strict=True):
        assert sorted(part.labels[part.labels != IGNORE].tolist()) == sorted(
            (data.builder.vocabulary + history).tolist()
        )


def test_of_a_long_history_a_random_piece_is_read(data):
    stage = STAGE.model_copy(update={"crop": 3})
    one = users_of(data, pieces=1, stage=stage)
    labels = [tuple(one.parts(step)[0].labels.flatten().tolist()) for step in range(8)]
    assert len(set(labels)) > 1
    assert all(sum(label != IGNORE for label in labels_of_step) <= 3 for labels_of_step in labels)


def test_a_step_that_is_taken_again_draws_the_same_and_another_does_not(data):
    first, again, other = users_of(data, 0.5), users_of(data, 0.5), users_of(data, 0.5, number=8)
    sizes = [[len(part.tokens.flatten()) for part in users.parts(3)] for users in (first, again, other)]
    assert sizes[0] == sizes[1]
    assert (first.noise(3).standard_normal(5) == again.noise(3).standard_normal(5)).all()
    assert (first.noise(3).standard_normal(5) != again.noise(4).standard_normal(5)).all()
    assert (first.noise(3).standard_normal(5) != other.noise(3).standard_normal(5)).all()
    assert first.seed(3, 0) == again.seed(3, 0) != other.seed(3, 0)
