"""The methods that are compared: floors, single modalities, six fusions with two classifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recommender.studies.ratings import floors, svm
from recommender.studies.ratings.folds import Fold
from recommender.studies.ratings.fusion_networks import FUSIONS
from recommender.studies.ratings.graph_network import graph_network
from recommender.studies.ratings.network_training import train_fusion
from recommender.studies.ratings.predictions import Prediction
from recommender.studies.ratings.settings import IMPUTATIONS, Imputation, RatingsSettings

REFERENCE = "user mean + item mean"
WITHOUT_MEDIA = ("statistics", "collaborative")
Predict = Callable[[Fold, RatingsSettings], Prediction]


@dataclass(frozen=True)
class RatingMethod:
    """A row of the table. `imputation`: how blanked features are filled; None: no features are blanked."""

    group: str
    name: str
    classifier: str
    predict: Predict
    imputation: Imputation | None = None

    @property
    def label(self) -> str:
        """The unique name of the row."""
        return f"{self.name}, {self.classifier}" if self.classifier else self.name


def rating_methods(features: Sequence[str], settings: RatingsSettings) -> list[RatingMethod]:
    """Return all methods for items with these features, in the order of the table."""
    methods = [RatingMethod("floor", name, "", _floor(name)) for name in floors.FLOORS]
    single = [*WITHOUT_MEDIA, *features]
    methods += [RatingMethod("one modality", f"{name} alone", "MLP", _mlp("concatenation", [name])) for name in single]
    without = list(WITHOUT_MEDIA)
    methods.append(RatingMethod("one modality", "without media", "MLP", _mlp("concatenation", without)))
    methods.append(RatingMethod("one modality", "without media", "SVM", _svm("concatenation", without)))
    methods += [RatingMethod("fusion", name, "MLP", _mlp(name)) for name in FUSIONS]
    methods.append(RatingMethod("fusion", "graph network", "MLP", _graph))
    methods += [RatingMethod("fusion", name, "SVM", _svm(name)) for name in svm.JOINS]
    if settings.missing:
        share = f"{settings.missing:.0%} of features missing"
        for imputation in IMPUTATIONS:
            methods.append(
                RatingMethod("imputation", f"{share}: {imputation}", "MLP", _mlp("concatenation"), imputation)
            )
            methods.append(
                RatingMethod("imputation", f"{share}: {imputation}", "SVM", _svm("concatenation"), imputation)
            )
    return methods


def _floor(name: str) -> Predict:
    def predict(fold: Fold, settings: RatingsSettings) -> Prediction:
        return floors.predict(floors.FLOORS[name], fold)

    return predict


def _mlp(name: str, blocks: list[str] | None = None) -> Predict:
    def predict(fold: Fold, settings: RatingsSettings) -> Prediction:
        return train_fusion(name, fold.only(blocks) if blocks else fold, settings)

    return predict


def _svm(name: str, blocks: list[str] | None = None) -> Predict:
    def predict(fold: Fold, settings: RatingsSettings) -> Prediction:
        return svm.classify(name, fold.only(blocks) if blocks else fold, settings)

    return predict


def _graph(fold: Fold, settings: RatingsSettings) -> Prediction:
    return graph_network(fold, settings)[0]
