"""A tiny model of pictures and sounds that tiny towers have read, and a picture of each item."""

import numpy as np
import pytest
import soundfile
import torch

from recommender.encoders.audio import SAMPLE_RATE
from recommender.encoders.pipeline import Encoders, fit_reductions, reduce
from recommender.engine import Recommender
from recommender.model import RecommenderModel, load_llm
from recommender.model.checkpoint import Checkpoint
from recommender.semantic_ids.codes import SemanticIds
from tests.conftest import picture, sound


@pytest.fixture(scope="session")
def media_catalogue(catalogue, tmp_path_factory):
    """The tiny catalogue with pictures and sounds; item 3 has neither."""
    folder = tmp_path_factory.mktemp("media")
    pictures, sounds = {}, {}
    for item in (n for n in range(len(catalogue)) if n != 3):
        pictures[item], sounds[item] = folder / f"{item}.png", folder / f"{item}.wav"
        picture(item).save(pictures[item])
        soundfile.write(sounds[item], sound(2.6, item), SAMPLE_RATE)
    return catalogue.with_media(pictures, sounds)


@pytest.fixture(scope="session")
def encoded(media_catalogue, features, image_folder, audio_file, tmp_path_factory):
    """Settings of the encoders, and features whose pictures and sounds they have read."""
    from recommender.config import Config

    changes = {"encoders.text": None, "encoders.image": str(image_folder), "encoders.audio": str(audio_file)}
    changes |= {"encoders.width": 5, "encoders.cache": str(tmp_path_factory.mktemp("encodings"))}
    raw = Encoders.from_config(Config().updated(changes).encoders).encode(media_catalogue)
    read = reduce(raw, fit_reductions(raw, 5))
    return changes, read.with_modality("collaborative", features.vectors["collaborative"]).rounded()


@pytest.fixture
def make_engine(media_catalogue, encoded, config):
    """Make an engine of the tiny world that pictures and sounds matter to."""

    def make(levels=1, catalogue=media_catalogue, features=None):
        changes, read = encoded
        settings, read = config.updated(changes), features or read
        ids = SemanticIds.atomic(len(catalogue))
        if levels > 1:
            ids = SemanticIds.fit(read.vectors["image"], levels=levels - 1, codebook_size=4)
        llm, tokenizer = load_llm(settings.base)
        torch.manual_seed(1)
        model = RecommenderModel(llm, ids, read, settings).eval()
        with torch.no_grad():  # what an untrained projector adds would be rounding
            for name in ("image", "audio"):
                model.projectors[name].leave.weight *= 20
        return Recommender(Checkpoint(model, tokenizer, catalogue, settings))

    return make


@pytest.fixture
def engine(make_engine):
    return make_engine()


def with_vectors(features, medium, item, vector):
    """The features of a world in which an item's medium has another vector."""
    return features.with_rows(medium, np.array([item]), vector[None])
