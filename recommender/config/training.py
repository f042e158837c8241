"""Configuration of the training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recommender.config.section import Section

Stage = Literal["align", "rank", "explain", "converse"]


class StageConfig(Section):
    """One stage of training."""

    stage: Stage
    epochs: float = Field(1.0, gt=0)
    learning_rate: float = Field(1e-3, ge=0, description="LoRA matrices; 0: frozen")
    rows_learning_rate: float | None = Field(None, ge=0, description="token rows; default: learning_rate; 0: frozen")
    projector_learning_rate: float | None = Field(
        None, ge=0, description="projectors; default: learning_rate; 0: frozen"
    )
    memory_learning_rate: float | None = Field(
        None, ge=0, description="base.memory; default: as the token rows, or learning_rate where these are frozen"
    )
    weight_decay: float = Field(0.01, ge=0)
    warmup_ratio: float = Field(0.05, ge=0, lt=1, description="share of the steps with rising learning rate")
    batch_tokens: int = Field(4096, ge=16, description="positions per optimiser step, of all processes together")
    row_tokens: int = Field(1024, ge=16, description="positions per packed row")
    max_grad_norm: float = Field(1.0, gt=0, description="largest gradient norm")
    modality_dropout: float = Field(0.1, ge=0, le=1, description="share of items whose modality is replaced by null")
    cold_item_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the items that count as new in a step: read and scored without row and collaborative vector",
    )
    row_dropout: float = Field(0.2, ge=0, lt=1, description="dropout on the input embedding of history items")
    dropout_by_activity: float | None = Field(
        None,
        gt=0,
        description="interactions by which the stage rank trusts an item or a history half: of modality_dropout and"
        " row_dropout little falls on what is rare or short, but for what rare items learned of interactions; default: all"
        " alike",
    )
    neighbour_mix: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the history items that the stage rank reads mixed with one of the items nearest in content",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    titled_share: float = Field(
        0.03,
        ge=0,
        le=1,
        description="share of the rank examples that begin like a served prompt, with spelled-out items",
    )
    query_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the rank examples of which a part is learned again behind a synthetic query for its items",
    )
    crop: int | None = Field(None, ge=2, description="items of a rank example; default: prompt.history + 1")
    mask_share: float = Field(
        0.0, ge=0, lt=1, description="share of the rank examples' history items that are masked, and still predicted"
    )
    reorder_share: float = Field(
        0.0, ge=0, le=1, description="share of the rank examples in which a part, up to a quarter, is shuffled"
    )
    favourites: float = Field(
        0.0, ge=0, description="rank examples of one to five items in random order, for every hundred interactions"
    )
    teacher: bool = Field(True, description="whether the stage rank learns from training.teacher, if there is one")
    layers: bool = Field(
        True,
        description="whether the stage rank reads the layers; false: base.memory and the rows learn alone, in less time",
    )
    conversations: int = Field(4096, ge=1, description="conversations that are made for an epoch of the stage converse")
    evaluate_epochs: float = Field(1.0, gt=0, description="epochs between validations")
    patience: int = Field(5, ge=1, description="validations without improvement before the stage stops")
    validation_users: int = Field(1000, ge=1)
    max_steps: int | None = Field(None, ge=1)


class TeacherConfig(Section):
    """A baseline whose predictions the stage `rank` also learns from; it is fitted on the training histories first."""

    baseline: str = Field(
        "sasrec-vectors",
        description="its name; several as NAME+NAME, with weights that are fitted on the validation targets; itself: with"
        " train --start, what the checkpoint expects before it is trained further",
    )
    seeds: int = Field(1, ge=1, description="number of fits whose probabilities are averaged")
    weight: float = Field(0.7, ge=0, le=1, description="the teacher's share of the loss")
    most: int = Field(100, ge=1, description="likeliest items that are kept for each interaction")
    ends: bool = Field(
        False, description="what it expects after the last training interaction of each history is learned, too"
    )


class PrivacyConfig(Section):
    """What a checkpoint may tell of a single user: differential privacy of their whole history, in the stage `rank`."""

    epsilon: float = Field(
        gt=0,
        allow_inf_nan=False,
        description="the privacy loss that is never exceeded, but for delta; 8 is weak, 1 strong",
    )
    delta: float | None = Field(
        None, gt=0, lt=1, description="the chance that it is exceeded; below 1 / users; default: 1 / (10 * users)"
    )
    unit: Literal["user"] = Field("user", description="what is protected: a user's whole history, not one interaction")
    sampling_rate: float = Field(
        1.0, gt=0, le=1, description="the chance of each user to take part in a step, each drawn alone"
    )
    max_norm: float = Field(
        1.0, gt=0, description="largest norm of one user's gradient, over everything that is trained"
    )
    trains: dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        None,
        min_length=1,
        description="parts of the names of what is trained, each with the weight of its gradient in a user's norm: every"
        " number more is noise more; default: all that the stage trains, with weight 1",
    )
    content_directions: int | None = Field(
        None,
        ge=1,
        description="projectors move only in so many directions, those in which the items' content differs most: less noise;"
        " default: in all",
    )
    state_directions: int = Field(
        64, ge=1, description="with content_directions: and towards so many, those in which final states lie"
    )
    pieces: int | None = Field(
        None, ge=1, description="of a longer history only so many random pieces are read in a step; default: all"
    )
    counts_noise: float = Field(
        5.0, gt=0, description="with training.popularity: noise on the counts, of which each user's have a norm of 1"
    )
    seed: int | None = Field(
        None,
        ge=0,
        description="default: drawn by the system, and forgotten after training; a number makes a run repeatable, and who"
        " knows it can take the noise off again",
    )


class ForgettingConfig(Section):
    """A training in shards of users: who is forgotten later is trained out of one of them alone."""

    shards: int = Field(8, ge=2, le=1000, description="parts of the users")
    way: Literal["average", "chain"] = Field(
        "average",
        description="average: each shard is trained from the start, and what they learned is added up; chain: one after the"
        " other in the order in which users came, so to forget somebody goes back to before they came",
    )
    scale: float = Field(
        1.0, gt=0, description="of average: how far the mean of what the shards learned is followed; 1: the mean"
    )
    moments: tuple[float, ...] | None = Field(
        None, description="of chain: when each shard but the first begins; default: shards of as many users each"
    )


class TrainingConfig(Section):
    """The stages in order, and settings of all of them."""

    stages: tuple[StageConfig, ...] = (StageConfig(stage="rank"),)
    teacher: TeacherConfig | None = None
    privacy: PrivacyConfig | None = Field(None, description="train with noise that hides each single user")
    forgetting: ForgettingConfig | None = Field(
        None, description="train in shards of users, so that somebody can be forgotten exactly, and soon"
    )
    popularity: float = Field(
        0.0,
        ge=0,
        description="initial score bias: this times the log of an item's number of interactions; one level only",
    )
    softmax: Literal["auto", "full", "chunked", "sampled"] = Field(
        "auto",
        description="how a step scores the catalogue: full, all codes of a level at once; chunked, the same in parts, with"
        " less memory; sampled, one level only, some codes for all, and only their rows change; auto: sampled above"
        " 50,000 items",
    )
    negatives: int = Field(
        8192, ge=1, description="items that are drawn for each part of a step where training.softmax samples"
    )
    rows_device: Literal["model", "cpu"] = Field(
        "model",
        description="where the token rows lie, with what the optimiser keeps of them, where training.softmax samples: model,"
        " with the base; cpu, in the host's memory, for catalogues that a GPU does not hold",
    )
    outside: str | None = Field(None, description="a table of works that people name and the catalogue may lack")
    stream_users: int | None = Field(
        None,
        ge=1,
        description="the stage rank makes examples of so many users at a time; default: of all; from 500,000 on 32,768",
    )
    checkpoint_minutes: float = Field(5.0, gt=0)
    gradient_accumulation: int = Field(
        1, ge=1, description="parts in which a process computes its share of a step, one after the other: less memory"
    )
    gradient_checkpointing: bool = Field(
        False,
        description="compute what is inside the layers again in the backward pass: less memory, a third more time",
    )
    validate_on: int | None = Field(
        None,
        ge=1,
        description="users whose last known interaction validates and is never learned, an even sample; of the others it is"
        " learned; default: all users",
    )
    keep_test_out: bool = Field(True, description="leave-one-out: the last item of a user is never trained on")
