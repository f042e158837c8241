"""What an engine answers with. Its parts read it at each request, so what is changed here counts at once."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.baselines.fusion.stored import StoredFusion
from recommender.config import Config
from recommender.conversations.tuned import Tuned
from recommender.data.catalogue import Catalogue
from recommender.encoders.features import Features
from recommender.encoders.labels import MediaLabels
from recommender.justify import Style
from recommender.justify.companions import Companions
from recommender.numerics.drift import ItemBins
from recommender.prompting.builder import ExampleBuilder


@dataclass
class EngineSetup:
    """`builder`: makes prompts. `features`: the items' encoder vectors. `fusion`: the baselines that may rank along.
    `style`: how justifications are written. `companions`: what many people had together, if that was counted. `labels`: what
    the items' media show, if that is known. `listens`: whether the model has learned to listen to what is said; `tuned`:
    what ranks beside what it hears. `until`: the latest time of what it was trained on, `trained`: how often items stood
    there, if that is known."""

    catalogue: Catalogue
    config: Config
    builder: ExampleBuilder
    features: Features
    fusion: StoredFusion | None
    style: Style
    companions: Companions | None = None
    labels: MediaLabels | None = None
    listens: bool = False
    tuned: Tuned | None = None
    until: float | None = None
    trained: ItemBins | None = None
