"""Configuration of updates: a checkpoint learns what came since, without starting anew."""

from __future__ import annotations

from pydantic import Field

from recommender.config.section import Section


class UpdateConfig(Section):
    """How `recommender update` trains, and when the result goes live."""

    epochs: float = Field(1.0, gt=0, description="passes over what came since")
    learning_rate: float = Field(3e-5, gt=0, description="LoRA matrices")
    rows_learning_rate: float = Field(5e-4, ge=0, description="token rows; 0: frozen")
    projector_learning_rate: float = Field(3e-5, ge=0, description="projectors; 0: frozen")
    batch_tokens: int = Field(2048, ge=16, description="positions per optimiser step")
    context: int = Field(
        20, ge=0, description="earlier items of a user that are read, not learned, before the new ones"
    )
    replay: float = Field(0.1, ge=0, description="interactions from before that are learned again, for each new one")
    proximal: float = Field(
        2.0,
        ge=0,
        description="weight of staying close to the former model's own softmax, as much as the new interactions have"
        " together at 1; with one level of ids",
    )
    dislikes: bool = Field(True, description="learn not to list what people disliked, dismissed or skipped")
    wrong: bool = Field(True, description="learn not to write justifications that were called wrong")
    writing_rate: float = Field(1e-4, gt=0, description="LoRA matrices of writing, where something was called wrong")
    writing_steps: int = Field(
        60, ge=1, description="at most so many steps over what was called wrong, four texts each"
    )
    writing_margin: float = Field(
        0.1,
        ge=0,
        description="nats a word by which other justifications may become less likely; beyond, no more is learned",
    )
    window: float = Field(
        0.1, gt=0, lt=1, description="share of the new interactions, the latest, that the new version is judged by"
    )
    margin: float = Field(
        0.0, ge=0, description="how much lower NDCG@10 on the window may be than that of the live version"
    )
    judged: int = Field(1000, ge=1, description="at most so many interactions of the window are ranked")
    least: int = Field(20, ge=2, description="fewer new interactions than this wait for the next update")
    keep: int = Field(3, ge=1, description="earlier versions that are kept for a rollback")
