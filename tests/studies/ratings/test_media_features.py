"""Features of items: reduction, imputation of missing ones, and what the statistics of a sound tell."""

import numpy as np
import pytest
import soundfile

from recommender.config import EncodersConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.errors import ConfigError
from recommender.studies.ratings.media_features import MediaFeatures, read_content

RATE = 16_000
SILENT = EncodersConfig(text=None, image=None, audio=None)


@pytest.fixture
def twins() -> MediaFeatures:
    """Items in three tight groups that both features tell apart; one item of each group lacks the second feature."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((3, 8)).astype(np.float32) * 3
    vectors = np.repeat(centres, 6, axis=0) + random.normal(0, 0.01, (18, 8)).astype(np.float32)
    present = np.arange(18) % 6 != 0
    return MediaFeatures(
        {"text": vectors, "image": np.where(present[:, None], -vectors, 0)},
        {"text": np.ones(18, bool), "image": present},
    )


def test_knn_imputation_asks_the_items_that_are_alike(twins):
    filled = twins.imputed("knn", 5)
    absent = ~twins.present["image"]
    assert np.abs(filled.vectors["image"][absent] + twins.vectors["text"][absent]).max() < 0.1
    assert (filled.vectors["image"][~absent] == twins.vectors["image"][~absent]).all()
    assert (filled.present["image"] == twins.present["image"]).all()


def test_mean_and_zero_imputation_are_what_they_say(twins):
    absent = ~twins.present["image"]
    mean = twins.vectors["image"][~absent].mean(axis=0)
    assert np.allclose(twins.imputed("mean").vectors["image"][absent], mean, atol=1e-5)
    assert (twins.imputed("zero").vectors["image"][absent] == 0).all()


def test_blanking_takes_the_share_and_empties_the_rows():
    whole = MediaFeatures({"text": np.ones((1000, 4), np.float32)}, {"text": np.ones(1000, bool)})
    blanked = whole.blanked(0.3, seed=1)
    assert blanked.present["text"].mean() == pytest.approx(0.7, abs=0.05)
    assert (blanked.vectors["text"].any(axis=1) == blanked.present["text"]).all()
    assert whole.present["text"].all()


def test_tfidf_brings_items_of_like_words_together():
    words = ("red night river", "blue day stone")
    items = Catalogue(Item(str(n), f"{words[n % 2]} {words[n % 2]}") for n in range(12))
    vectors = read_content(items, ["tfidf"], SILENT, 4).vectors["tfidf"]
    assert vectors.shape == (12, 4)
    assert np.allclose(vectors[0], vectors[2], atol=1e-3) and np.abs(vectors[0] - vectors[1]).max() > 0.5


def test_sounds_are_told_apart_by_timbre_and_the_cache_is_used(tmp_path):
    pytest.importorskip("librosa")
    time, random = np.arange(RATE) / RATE, np.random.default_rng(0)
    items = []
    for number in range(6):
        tone = np.sin(2 * np.pi * (200 + 20 * number) * time) if number % 2 else random.standard_normal(RATE)
        soundfile.write(tmp_path / f"{number}.wav", 0.3 * tone / np.abs(tone).max(), RATE)
        items.append(Item(str(number), "x", audio=tmp_path / f"{number}.wav"))
    config = SILENT.model_copy(update={"cache": str(tmp_path / "cache")})
    content = read_content(Catalogue([*items, Item("none", "x")]), ["mfcc"], config, 3)
    vectors = content.vectors["mfcc"]
    assert content.present["mfcc"].tolist() == [True] * 6 + [False] and (vectors[6] == 0).all()
    sides = np.sign(vectors[:6, 0])
    assert len(set(sides[::2])) == 1 and len(set(sides[1::2])) == 1 and sides[0] != sides[1]
    assert (tmp_path / "cache" / "encodings.sqlite").is_file()


def test_items_without_any_feature_are_one_clear_error():
    items = Catalogue(Item(str(n), "x") for n in range(5))
    with pytest.raises(ConfigError, match="no item has any of the features text, mfcc"):
        read_content(items, ["text", "mfcc"], SILENT, 4)
