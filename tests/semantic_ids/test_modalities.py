"""Joining modalities to one vector an item."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.errors import ConfigError
from recommender.semantic_ids import join_modalities
from tests.semantic_ids.vectors import Features, features


def test_concatenation_has_unit_modalities_and_zeros_for_absent_ones():
    joined = join_modalities(features())
    assert joined.shape == (5, 6)
    np.testing.assert_allclose(np.linalg.norm(joined[:, :4], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(joined[:, 4:], axis=1), [1, 0, 1, 0, 1], rtol=1e-5)


def test_fusion_of_an_item_does_not_depend_on_the_others():
    both = features()
    one = Features({m: v[2:3] for m, v in both.vectors.items()}, {m: p[2:3] for m, p in both.present.items()})
    np.testing.assert_allclose(join_modalities(one), join_modalities(both)[2:3], rtol=1e-6)


def test_weights_and_average():
    plain, weighted = join_modalities(features()), join_modalities(features(), "weighted", {"audio": 0.5})
    np.testing.assert_allclose(weighted[:, :4], plain[:, :4])
    np.testing.assert_allclose(weighted[:, 4:], plain[:, 4:] / 2)
    average = join_modalities(features(), "average")
    assert average.shape == (5, 4)
    np.testing.assert_allclose(average[1], plain[1, :4], rtol=1e-6)
    np.testing.assert_allclose(average[0], (plain[0, :4] + np.append(plain[0, 4:], [0, 0])) / 2, rtol=1e-6)


def test_fusion_says_what_is_wrong():
    with pytest.raises(ConfigError, match="no image vectors"):
        join_modalities(features(), "weighted", {"image": 1.0})
    with pytest.raises(ConfigError, match="audio is -1"):
        join_modalities(features(), "weighted", {"audio": -1.0})
    with pytest.raises(ConfigError, match="no vectors") as caught:
        join_modalities(Features({}, {}))
    assert "levels: 1" in caught.value.hint
