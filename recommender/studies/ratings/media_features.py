"""The items' text, image and sound features as matrices; missing rows are imputed in one of three ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from recommender.config import EncodersConfig, Modality
from recommender.data.catalogue import Catalogue
from recommender.encoders.encoder import Encoder
from recommender.encoders.pipeline import Encoders
from recommender.encoders.reduction import Reduction
from recommender.errors import ConfigError
from recommender.progress import Progress
from recommender.studies.ratings.mfcc import MfccEncoder
from recommender.studies.ratings.settings import Feature, Imputation

_ENCODED: Mapping[Feature, Modality] = {"text": "text", "image": "image", "whisper": "audio"}


@dataclass(frozen=True)
class MediaFeatures:
    """The features of all items.

    vectors: float32 [items, width] of each feature, with mean squared norm `width`; zero rows where an item lacks it.
    present: bool [items] of each feature.

    They depend on no rating, so reducing and imputing them over all items leaks nothing of a test fold.
    """

    vectors: Mapping[str, np.ndarray]
    present: Mapping[str, np.ndarray]

    def blanked(self, share: float, seed: int) -> MediaFeatures:
        """Return a copy without a random share of each feature's rows, to compare imputations."""
        random = np.random.default_rng(seed)
        present = {name: has & (random.random(len(has)) >= share) for name, has in self.present.items()}
        vectors = {name: np.where(present[name][:, None], table, 0) for name, table in self.vectors.items()}
        return replace(self, vectors=vectors, present=present)

    def imputed(self, imputation: Imputation, neighbours: int = 10) -> MediaFeatures:
        """Return a copy with filled rows where an item lacks a feature; `present` is unchanged.

        knn: the mean of the items that are nearest in the features both have (Troyanskaya et al., "Missing value
        estimation methods for DNA microarrays", 2001); mean: the mean item; zero: zero. Vectors are centred on the
        items that have them, so the mean differs from zero only after blanking.
        """
        if imputation == "zero" or all(has.all() for has in self.present.values()):
            return self
        gaps = [np.where(self.present[name][:, None], table, np.nan) for name, table in self.vectors.items()]
        imputer = KNNImputer(n_neighbors=neighbours) if imputation == "knn" else SimpleImputer()
        filled = imputer.set_params(keep_empty_features=True).fit_transform(np.hstack(gaps)).astype(np.float32)
        ends = np.cumsum([table.shape[1] for table in self.vectors.values()])[:-1]
        return replace(self, vectors=dict(zip(self.vectors, np.split(filled, ends, axis=1), strict=True)))


def read_content(
    catalogue: Catalogue,
    features: Sequence[Feature],
    encoders: EncodersConfig,
    width: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> MediaFeatures:
    """Compute features of all items through the encoders' cache, each reduced to `width` components.

    A feature that no item has, or whose encoder the config switches off, is left out. Raises DataError, AssetError.
    """
    vectors: dict[str, np.ndarray] = {}
    present: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(features):
        raw = _raw(name, catalogue, encoders, width, seed, progress)
        if raw is not None and raw[1].sum() > 1:
            vectors[name], present[name] = _reduced(*raw, width), raw[1]
    if not vectors:
        names = ", ".join(features)
        raise ConfigError(f"no item has any of the features {names}", "give items a text, an image or a sound")
    return MediaFeatures(vectors, present)


def _raw(
    name: Feature, catalogue: Catalogue, config: EncodersConfig, width: int, seed: int, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return raw vectors [items, raw width] and bool [items], which items have them; None if none has."""
    if name == "tfidf":
        return _tfidf(catalogue, width, seed)
    modality: Modality = "audio" if name == "mfcc" else _ENCODED[name]
    found = Encoders.from_config(config)
    encoder: Encoder | None = MfccEncoder() if name == "mfcc" else found.encoders.get(modality)
    given = {m: file for m, file in found.given.items() if m == modality and encoder is None}
    if encoder is None and not given:
        return None
    plain = config.model_copy(update={"transcript": False})  # a transcript needs Whisper beside the text encoder
    raw = Encoders({} if encoder is None else {modality: encoder}, plain, given).encode(catalogue, progress)
    if modality not in raw.vectors:
        return None
    return raw.vectors[modality][np.arange(raw.items)], raw.present[modality]


def _tfidf(catalogue: Catalogue, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return latent semantic vectors of words and word pairs of each item's text (Deerwester et al., 1990)."""
    documents = [catalogue.document(index) for index in range(len(catalogue))]
    weights = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit_transform(documents)
    most = min(width, *(size - 1 for size in weights.shape))
    reduced = TruncatedSVD(max(1, most), random_state=seed).fit_transform(weights)
    return reduced.astype(np.float32), np.asarray(weights.getnnz(axis=1)).ravel() > 0


def _reduced(raw: np.ndarray, present: np.ndarray, width: int) -> np.ndarray:
    """Scale every column to unit variance, as sound statistics have many units, and keep `width` components."""
    rows = StandardScaler().fit_transform(raw[present].astype(np.float64))
    vectors = np.zeros((len(raw), width), np.float32)
    vectors[present] = Reduction.fit(rows, width).apply(rows)
    return vectors
