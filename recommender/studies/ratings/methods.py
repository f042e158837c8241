"""Everything that is compared: floors, single modalities, six fusions with two classifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recommender.studies.ratings import floors, svm
from recommender.studies.ratings.folds import Fold
from recommender.studies.ratings.fusion_networks import FUSIONS
from recommender.studies.ratings.graph_network import graph_network
from recommender.studies.ratings.network_training import fuse
from recommender.studies.ratings.predictions import Prediction
from recommender.studies.ratings.settings import IMPUTATIONS, Imputation, RatingsSettings

REFERENCE = "user mean + item mean"
WITHOUT_MEDIA = ("statistics", "collaborative")
Predict = Callable[[Fold, RatingsSettings], Prediction]


@dataclass(frozen=True)
class Method:
    """A row of the table. `imputation` names that of the blanked features; None: features as they are."""

    group: str
    name: str
    classifier: str
    predict: Predict
    imputation: Imputation | None = None

    @property
    def label(self) -> str:
        """A name that no other row has."""
        return f"{self.name}, {self.classifier}" if self.classifier else self.name


def methods(features: Sequence[str], settings: RatingsSettings) -> list[Method]:
    """Return all rows of the table for items with these features."""
    found = [Method("floor", name, "", _floor(name)) for name in floors.FLOORS]
    single = [*WITHOUT_MEDIA, *features]
    found += [Method("one modality", f"{name} alone", "MLP", _mlp("concatenation", [name])) for name in single]
    without = list(WITHOUT_MEDIA)
    found.append(Method("one modality", "without media", "MLP", _mlp("concatenation", without)))
    found.append(Method("one modality", "without media", "SVM", _svm("concatenation", without)))
    found += [Method("fusion", name, "MLP", _mlp(name)) for name in FUSIONS]
    found.append(Method("fusion", "graph network", "MLP", _graph))
    found += [Method("fusion", name, "SVM", _svm(name)) for name in svm.JOINS]
    if settings.missing:
        share = f"{settings.missing:.0%} of features missing"
        for how in IMPUTATIONS:
            found.append(Method("imputation", f"{share}: {how}", "MLP", _mlp("concatenation"), how))
            found.append(Method("imputation", f"{share}: {how}", "SVM", _svm("concatenation"), how))
    return found


def _floor(name: str) -> Predict:
    def predict(fold: Fold, settings: RatingsSettings) -> Prediction:
        return floors.predict(floors.FLOORS[name], fold)

    return predict


def _mlp(name: str, blocks: list[str] | None = None) -> Predict:
    def predict(fold: Fold, settings: RatingsSettings) -> Prediction:
        return fuse(name, fold.only(blocks) if blocks else fold, settings)

    return predict


def _svm(name: str, blocks: list[str] | None = None) -> Predict:
    def predict(fold: Fold, settings: RatingsSettings) -> Prediction:
        return svm.classify(name, fold.only(blocks) if blocks else fold, settings)

    return predict


def _graph(fold: Fold, settings: RatingsSettings) -> Prediction:
    return graph_network(fold, settings)[0]
