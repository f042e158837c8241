"""What items lack, taken from the nearest that have it: twins decide alone, nothing is claimed, nothing is NaN."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.config import EncodersConfig
from recommender.encoders import imputation
from recommender.encoders.features import Features
from recommender.encoders.imputation import impute, nearest
from recommender.encoders.pipeline import _views_of

CONTENT = EncodersConfig(impute="content", impute_neighbours=2)


def features_of(**tables: list[list[float]]) -> Features:
    """Rows of zeros are absent."""
    vectors = {m: np.array(rows, np.float32) for m, rows in tables.items()}
    return Features(vectors, {m: rows.any(1) for m, rows in vectors.items()})


def plane(*degrees: float) -> list[list[float]]:
    return [[np.cos(np.radians(angle)), np.sin(np.radians(angle))] for angle in degrees]


@pytest.fixture
def three() -> Features:
    """Item 0 has no picture and the text of item 1; item 2 is far from both."""
    return features_of(text=plane(0, 0, 90), image=[[0, 0, 0], [3, 4, 0], [0, 0, 2]])


def test_an_item_whose_text_is_that_of_another_gets_its_picture(three):
    filled = impute(three, CONTENT)
    np.testing.assert_allclose(filled.vectors["image"][0], [3, 4, 0], atol=1e-4)
    assert filled.imputed["image"].tolist() == [True, False, False]
    assert filled.present["image"].tolist() == [False, True, True]  # nobody says that it has a picture
    assert filled.usable("image").all() and "text" not in filled.imputed
    assert np.array_equal(filled.vectors["image"][1:], three.vectors["image"][1:])
    assert not three.vectors["image"][0].any()


def test_nearer_items_weigh_more_and_the_mean_is_as_long_as_they_are():
    items = features_of(text=plane(0, 60, 90), image=[[0, 0], [5, 0], [0, 5]])
    vector = impute(items, CONTENT).vectors["image"][0]
    # distances 1 - cos: .5 and 1, so weights 2 to 1
    np.testing.assert_allclose(vector, np.array([2, 1]) / np.sqrt(5) * 5, rtol=1e-4)


def test_nothing_changes_where_nothing_lacks_or_nothing_is_asked(three):
    whole = three.take(np.array([1, 2]))
    assert not impute(whole, CONTENT).imputed and impute(three, EncodersConfig()) is three


def test_company_decides_beside_content_and_is_made_up_only_if_asked():
    items = features_of(
        text=plane(0, 30, 30, 0), collaborative=plane(0, 90, 0)[:3] + [[0, 0]], image=[[0, 0], [1, 0], [0, 1], [0, 0]]
    )
    one = EncodersConfig(impute="content", impute_neighbours=1)
    content = impute(items, one)
    np.testing.assert_allclose(content.vectors["image"][0], [0, 1], atol=1e-6)  # the like in text that shares its users
    assert not content.vectors["collaborative"][3].any() and "collaborative" not in content.imputed
    everything = impute(items, one.model_copy(update={"impute": "all"}))
    np.testing.assert_allclose(everything.vectors["collaborative"][3], items.vectors["collaborative"][0], atol=1e-6)
    assert everything.imputed["collaborative"].tolist() == [False] * 3 + [True]


def test_an_item_with_no_neighbour_stays_without():
    nothing, apart = [0.0, 0.0], [1.0, 0.0]
    items = features_of(
        text=[nothing, apart, nothing], audio=[nothing, nothing, apart], image=[nothing, nothing, apart]
    )
    filled = impute(items, CONTENT)
    # item 0 has nothing at all, item 1 nothing in common with the only one that has a picture
    assert not filled.imputed and all(np.isfinite(table).all() for table in filled.vectors.values())
    opposite = features_of(text=plane(0, 90, -90), image=[nothing, [1, 0], [-1, 0]])
    assert np.isfinite(impute(opposite, CONTENT).vectors["image"]).all()


def test_only_new_items_are_filled_and_what_is_imputed_is_no_source(three):
    filled = impute(three, CONTENT)
    later = filled.append(features_of(text=plane(0), image=[[0, 0, 0]]))
    extended = impute(later.with_imputed("image", np.array([0]), np.full((1, 3), 9.0)), CONTENT, first=3)
    np.testing.assert_allclose(extended.vectors["image"][3], [3, 4, 0], atol=1e-4)
    assert extended.vectors["image"][0].tolist() == [9, 9, 9]
    assert extended.imputed["image"].tolist() == [True, False, False, True]


def test_views_of_what_is_imputed_are_the_imputed_vector(three):
    view = features_of(text=plane(0, 0, 90), image=[[0, 0, 0], [7, 7, 7], [8, 8, 8]])
    filled = impute(three, CONTENT)
    seen = _views_of(filled, "image", view)
    assert np.array_equal(seen[0], filled.vectors["image"][0]) and seen[1:].tolist() == [[7, 7, 7], [8, 8, 8]]
    assert np.array_equal(_views_of(three, "image", view), view.vectors["image"])


def test_nearest_is_what_comparing_all_gives_in_parts_too(monkeypatch):
    random = np.random.default_rng(0)
    text, image = random.standard_normal((30, 4)), random.standard_normal((30, 3))
    image[::4] = 0
    items = features_of(text=text.tolist(), image=image.tolist())
    text, image = (table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9) for table in (text, image))
    both = np.outer(image.any(1), image.any(1))
    apart = 1 - (text @ text.T + image @ image.T) / (1 + both)
    np.fill_diagonal(apart, np.inf)
    monkeypatch.setattr(imputation, "_PART", 7)
    near = nearest(items, np.arange(30), np.arange(30), ["text", "image"], 5)
    assert np.array_equal(near.items, np.argsort(apart, 1)[:, :5])
    np.testing.assert_allclose(near.distances, np.sort(apart, 1)[:, :5], atol=1e-5)


def test_fewer_candidates_than_asked_for_are_marked(three):
    near = nearest(three, np.array([0]), np.array([0, 1]), ["text"], 5)
    assert near.items.tolist() == [[1, -1]] and np.isinf(near.distances[0, 1])
