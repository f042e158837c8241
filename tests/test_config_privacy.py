import pytest

from recommender.config import Config
from recommender.errors import ConfigError

PRIVATE = {"epsilon": 8}


def parse(training=None, encoders=None, **privacy) -> Config:
    whole = {"stages": [{"stage": "rank"}], "privacy": PRIVATE | privacy} | (training or {})
    return Config.parse({"training": whole, "encoders": {"collaborative_width": 0} | (encoders or {})})


def test_a_private_recipe_is_read():
    privacy = parse(trains={"v_proj": 1.0}, sampling_rate=0.5).training.privacy
    assert (privacy.epsilon, privacy.delta, privacy.unit, privacy.trains) == (8.0, None, "user", {"v_proj": 1.0})
    assert Config().training.privacy is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epsilon": 0}, "training.privacy.epsilon: input should be greater than 0"),
        ({"epsilon": -1}, "training.privacy.epsilon: input should be greater than 0"),
        ({"epsilon": "inf"}, "finite"),
        ({"delta": 1.0}, "training.privacy.delta: input should be less than 1"),
        ({"unit": "interaction"}, "training.privacy.unit: input should be 'user'"),
        ({"sampling_rate": 0}, "training.privacy.sampling_rate: input should be greater than 0"),
        ({"max_norm": 0}, "training.privacy.max_norm: input should be greater than 0"),
        ({"trains": {"v_proj": 0}}, "training.privacy.trains.v_proj: input should be greater than 0"),
        ({"training": {"teacher": {}}}, "a teacher learns from all users; set training.teacher: null"),
        ({"training": {"softmax": "sampled"}}, "a sampled softmax draws by counts of users"),
        ({"training": {"stages": [{"stage": "align"}]}}, "there is no stage rank"),
        (
            {"training": {"stages": [{"stage": "rank", "dropout_by_activity": 20}]}},
            "dropout by activity goes by counts",
        ),
        ({"training": {"stages": [{"stage": "rank"}, {"stage": "explain"}]}}, "the stage explain is not possible"),
        ({"training": {"stages": [{"stage": "rank"}, {"stage": "converse"}]}}, "the stage converse is not possible"),
        ({"encoders": {"collaborative_width": 8}}, "set encoders.collaborative_width: 0"),
    ],
)
def test_what_cannot_be_private_is_refused_in_one_line(changes, said):
    with pytest.raises(ConfigError) as error:
        parse(**changes)
    assert said in error.value.message
    assert "\n" not in error.value.message


def test_vectors_of_others_may_be_collaborative_ones():
    parse(encoders={"collaborative_width": 8, "collaborative": {"vectors": "others.npy"}})
