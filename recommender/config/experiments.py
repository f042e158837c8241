"""Configuration of what is tried out while serving: lists that explore, and experiments that compare arms."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from recommender.config.section import Section

Method = Literal["ab", "interleave"]
#: how far shares may add up to more than 1 by rounding
_ROUNDING = 1e-9


class ExplorationConfig(Section):
    """Lists with an element of chance, and the probability of everything that they show; off by default."""

    from_rank: int | None = Field(None, ge=1, description="the first rank that is drawn by chance; null: none is")
    temperature: float = Field(
        1.0, gt=0, description="nats of a score that count as one: higher, and what is drawn hangs less on scores"
    )
    pool: int = Field(50, ge=1, description="the best items of a ranking, among which is drawn")
    new_item_slot: int | None = Field(None, ge=1, description="a rank that is kept for new items; null: none is")
    new_item_share: float = Field(0.2, gt=0, le=1, description="how often a new item stands there")
    new_items: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="what is new: attribute -> values, one of which a new item has for each attribute",
    )

    @property
    def explores(self) -> bool:
        """Whether anything is left to chance."""
        return self.from_rank is not None or self.new_item_slot is not None

    @model_validator(mode="after")
    def _consistent(self) -> ExplorationConfig:
        if self.new_item_slot is not None and not self.new_items:
            raise ValueError("new_item_slot needs new_items, which says what is new: {year: ['2026']}")
        return self


class ArmConfig(Section):
    """One way of ranking among those that an experiment compares; what it does not say is as for everybody."""

    name: str = Field(min_length=1, max_length=60, description="what results call it")
    share: float = Field(gt=0, le=1, description="share of the people who get it")
    model: str | None = Field(None, min_length=1, description="a ranking adapter that the engine serves")
    fusion: dict[str, float] | None = Field(
        None, description='scorer -> factor on its weight in the checkpoint\'s fusion; "language model" is one of them'
    )
    exploration: ExplorationConfig | None = Field(None, description="in the place of serving.exploration")


class ExperimentConfig(Section):
    """Arms that are compared on people, each of whom stays with one arm."""

    name: str = Field(min_length=1, max_length=60, description="people are drawn by it: another name draws them anew")
    method: Method = Field("ab", description="ab, or interleave: lists of two arms are merged by team draft")
    arms: tuple[ArmConfig, ...] = Field(min_length=1)
    salt: str = Field("", max_length=200, description="another one draws people anew")
    expected: float = Field(
        0.05,
        gt=0,
        le=1,
        description="the difference that is looked for, as a share of the rate; results come soonest there",
    )
    shadow: bool = Field(
        False, description="rank with all arms, to keep with which probability each would have shown a list"
    )

    @field_validator("arms")
    @classmethod
    def _distinct(cls, arms: tuple[ArmConfig, ...]) -> tuple[ArmConfig, ...]:
        names = [arm.name for arm in arms]
        if len(set(names)) < len(names):
            raise ValueError("two arms have the same name")
        if sum(arm.share for arm in arms) > 1 + _ROUNDING:
            raise ValueError("the shares of the arms add up to more than 1")
        return arms

    @model_validator(mode="after")
    def _two_to_interleave(self) -> ExperimentConfig:
        if self.method == "interleave" and (len(self.arms) != 2 or any(arm.exploration for arm in self.arms)):
            raise ValueError("interleave takes two arms, without exploration of their own")
        return self

    def arm(self, name: str) -> ArmConfig:
        """Return an arm by its name. Raises KeyError."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(name)

    @property
    def changed(self) -> frozenset[str]:
        """What its arms change: model, fusion, exploration."""
        parts = ("model", "fusion", "exploration")
        found = {part for part in parts for arm in self.arms if getattr(arm, part) is not None}
        return frozenset(found | ({"exploration"} if self.method == "interleave" else set()))


def check_apart(experiments: tuple[ExperimentConfig, ...]) -> None:
    """Raise ValueError if two experiments have one name, or change the same: neither would know what it measures."""
    seen: dict[str, str] = {}
    names = [experiment.name for experiment in experiments]
    if len(set(names)) < len(names):
        raise ValueError("two experiments have the same name")
    for experiment in experiments:
        for part in sorted(experiment.changed):
            if part in seen:
                raise ValueError(f"the experiments {seen[part]} and {experiment.name} both change the {part} of lists")
            seen[part] = experiment.name
