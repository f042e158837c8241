"""The settings of a comparison of rating predictors, and their defaults."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recommender.errors import ConfigError

Feature = Literal["text", "tfidf", "image", "mfcc", "whisper"]
Imputation = Literal["knn", "mean", "zero"]
FEATURES: tuple[Feature, ...] = get_args(Feature)
IMPUTATIONS: tuple[Imputation, ...] = get_args(Imputation)


class RatingsSettings(BaseModel):
    """Data, features and the training of both classifiers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    likes: float = Field(4.0, description="a user likes what is rated so or higher")
    lowest: float = Field(0.5, description="a lower rating means 'not rated' (-1, 0): dropped and counted")
    sample: int | None = Field(15_000, ge=100, description="whole users are drawn until this many ratings; None: all")
    folds: int = Field(5, ge=2, description="stratified cross-validation: every rating is predicted once")
    validation: float = Field(0.15, gt=0, lt=0.5, description="share of a training fold that stops and calibrates")
    parts: int = Field(5, ge=2, description="statistics of a rating to learn from come from the other parts")

    features: tuple[Feature, ...] = Field(
        ("text", "image", "mfcc"), description="text, image, whisper: the config's encoders; tfidf; mfcc: librosa"
    )
    width: int = Field(32, ge=1, description="principal components of each feature")
    imputation: Imputation = "knn"
    neighbours: int = Field(10, ge=1, description="items that KNN imputation averages")
    missing: float = Field(0.3, ge=0, lt=1, description="share of features blanked to compare imputations; 0: skip")

    hidden: int = Field(64, ge=1, description="units of a hidden layer")
    joint: int = Field(32, ge=1, description="the one width that fusions project to")
    dropout: float = Field(0.3, ge=0, lt=1)
    learning_rate: float = Field(2e-3, gt=0)
    batch: int = Field(512, ge=1)
    epochs: int = Field(60, ge=1)
    patience: int = Field(10, ge=1, description="epochs without a better validation loss before training stops")
    l1: float = Field(1e-5, ge=0, description="MLP: times the sum of absolute weights, added to the loss")
    l2: float = Field(1e-2, ge=0, description="MLP: decoupled weight decay")
    class_weights: bool = Field(True, description="every rating weighs as much in the loss, however rare it is")
    svm_alpha: float = Field(5e-2, gt=0, description="SVM: strength of the penalty")
    svm_l1_ratio: float = Field(0.15, ge=0, le=1, description="SVM: share of L1 in the penalty, the rest is L2")

    samples: int = Field(1000, ge=100, description="bootstrap resamples of users")

    @classmethod
    def parse(cls, **values: object) -> RatingsSettings:
        """Validate values; raises ConfigError with every problem in one line."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg'][0].lower()}{e['msg'][1:]}" for e in error.errors()]
            raise ConfigError("; ".join(problems), f"features are {', '.join(FEATURES)}") from None
