"""Folds: every row is tested once, and nothing that describes a row knows its rating."""

from dataclasses import replace

import numpy as np
import pytest

from recommender.studies.ratings import RatingsSettings
from recommender.studies.ratings.folds import make_fold, splits
from tests.studies.ratings.ratings_world import make_content, make_ratings

SETTINGS = RatingsSettings(folds=3, width=4)


@pytest.fixture(scope="module")
def world():
    return make_ratings(), make_content()


def test_folds_are_stratified_and_test_each_row_once(world):
    ratings, _ = world
    found = list(splits(ratings, SETTINGS))
    assert np.array_equal(np.sort(np.concatenate([one.test for one in found])), np.arange(len(ratings)))
    for one in found:
        sides = [one.fit, one.validation, one.test]
        assert len(np.unique(np.concatenate(sides))) == len(ratings)
        for side in sides:
            assert ratings.liked[side].mean() == pytest.approx(ratings.liked.mean(), abs=0.02)


def test_a_rating_rarer_than_the_folds_does_not_stop_them(world):
    ratings, _ = world
    classes = np.where(ratings.classes == 0, 1, ratings.classes)
    classes[0] = 0
    assert len(list(splits(replace(ratings, classes=classes), SETTINGS))) == 3


def changed(ratings, rows):
    """Turn the scale around in some rows."""
    classes = ratings.classes.copy()
    classes[rows] = len(ratings.levels) - 1 - classes[rows]
    return replace(ratings, classes=classes)


def test_no_block_knows_the_ratings_of_the_test_rows(world):
    ratings, content = world
    split = next(splits(ratings, SETTINGS))
    folds = [make_fold(one, split, content, SETTINGS) for one in (ratings, changed(ratings, split.test))]
    for side in ("fit", "validation", "test"):
        for name, block in getattr(folds[0], side).blocks.items():
            assert np.array_equal(block, getattr(folds[1], side).blocks[name]), (side, name)


def test_no_training_row_is_described_by_its_own_rating_or_those_of_its_part(world):
    """Rows are scaled over all of the fold, so the shape of a part's rows is compared, not their place."""
    ratings, content = world
    split = next(splits(ratings, SETTINGS))
    fold = make_fold(ratings, split, content, SETTINGS)
    inside = fold.parts == 0
    other = make_fold(changed(ratings, split.fit[inside]), split, content, SETTINGS)
    for name, block in fold.fit.blocks.items():
        ours, theirs = (one - one.mean(axis=0) for one in (block[inside], other.fit.blocks[name][inside]))
        norms = [np.linalg.norm(one, axis=0) for one in (ours, theirs)]
        moving = (norms[0] > 1e-2) & (norms[1] > 1e-2)
        cosines = (ours * theirs).sum(axis=0)[moving] / (norms[0] * norms[1])[moving]
        assert cosines.min() > 0.999, name
    assert np.abs(fold.fit.blocks["statistics"][~inside] - other.fit.blocks["statistics"][~inside]).max() > 0.1
