"""Configuration of what runs: decoding, justifications, servers and engines."""

from __future__ import annotations

import logging
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from recommender.config.experiments import ExperimentConfig, ExplorationConfig, check_apart
from recommender.config.section import Section
from recommender.errors import ConfigError, did_you_mean

logger = logging.getLogger(__name__)
ENGINES = ("embedded", "vllm")
Length = Literal["short", "normal", "detailed"]
LENGTHS: tuple[Length, ...] = get_args(Length)


class DecodingConfig(Section):
    """Constrained beam search."""

    beam: int = Field(50, ge=1, description="beam width; with one level every allowed item is scored exactly")
    exact: bool = Field(
        False, description="with several levels, double the beam width until the list is proven to be the best"
    )
    fused: bool = Field(
        True, description="rank together with the baselines that `recommender fuse` added to a checkpoint"
    )
    query_weight: float = Field(
        1.0,
        ge=0,
        description="added to an item's score for each standard deviation by which its text is more similar to the query"
        " than the average text; 0: only the language model reads the query",
    )
    bits: Literal[16, 8, 4] = Field(
        16,
        description="rank with matrices of so many bits; 16: in the type of the base. 8 takes half the memory, 4 a third and"
        " more time, and neither is exact; what is faster hangs on base and processor, see docs/speed.md. The option"
        " --bits of what ranks stands above it",
    )

    @model_validator(mode="before")
    @classmethod
    def _former(cls, raw: Any) -> Any:
        """Read `int8: true` of earlier versions as 8 bits; `false`, which their checkpoints say, is no choice."""
        if not isinstance(raw, dict) or "int8" not in raw:
            return raw
        raw = dict(raw)
        int8, bits = raw.pop("int8"), raw.get("bits", 16)
        if not isinstance(int8, bool):
            raise ValueError("int8 was true or false; set bits: 8, or 16")
        if bits != 16 and int8 != (bits == 8):
            raise ValueError(f"int8: {str(int8).lower()} and bits: {bits} contradict each other; keep bits alone")
        if int8:
            logger.warning("decoding.int8: true is now decoding.bits: 8; the old name is still read")
        return raw | {"bits": 8 if int8 else bits}


class JustifyConfig(Section):
    """How evidence is found and justifications are written."""

    evidence: int = Field(2, ge=1, description="most influences that are kept as evidence; a length may need more")
    window: int = Field(20, ge=1, description="most recent history items whose influence is measured by removal")
    max_new_tokens: int = Field(
        120, ge=8, description="tokens after which a sentence is cut off; three names of 60 letters take most of them"
    )
    length: Length = "normal"
    adapt: bool = Field(True, description="length and kind of facts follow what each person called helpful before")
    language: str = Field("en", description="a file of prompts/lang; the language model writes English only")
    media: bool = Field(True, description="say what a picture shows where it moved the score, if its tower is sure")
    phrases: dict[str, str] = Field(
        default_factory=dict,
        description='attribute -> phrase, where its name reads badly: rated: "rated {values}"',
    )
    examples: int = Field(3000, ge=1, description="justifications that the stage `explain` learns from")
    wrong_votes: int = Field(
        1, ge=1, description="users who must report a fact as wrong before it is withheld from everyone"
    )
    shapley_samples: int = Field(0, ge=0, description="orders sampled for Shapley values; 0: leave one out")


#: lists of what may be liked; reasons from the history; learning from it; passing it on in exports
Purpose = Literal["recommend", "explain", "train", "share"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


_AGREED: dict[Purpose, bool] = {"recommend": True, "explain": True, "train": True, "share": False}


class TokensConfig(Section):
    """Tokens of an identity provider (OpenID Connect) that count beside keys. A token reaches its person's data only."""

    issuer: str = Field(description="as the provider writes it into `iss`")
    audience: str = Field(description="as the provider writes it into `aud` for this server")
    keys: str = Field(
        description="its public keys (JWKS): a file, or an address such as the discovery document's jwks_uri"
    )
    user_claim: str = Field("sub", description="which claim names the person")
    scope_claim: str = Field("scope", description="which claim lists scopes, as NAME or recommender:NAME")
    rate: int | None = Field(600, ge=1, description="requests a minute of one person; null: no limit")


class ServingConfig(Section):
    """Limits of a server; each is also an option of `recommender serve`."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535, description="0: any free one")
    waiting: int = Field(256, ge=1, description="requests that may wait to be ranked; further ones get 429")
    writing: int = Field(
        8, ge=1, description="lists whose justifications may be written or wait for it; further ones get 429"
    )
    gather_ms: float = Field(2.0, ge=0, description="how long a request waits for others to be ranked in one batch")
    body_bytes: int = Field(4_000_000, ge=1024, description="largest body; a minute of speech and a picture fit")
    history: int = Field(10_000, ge=1, description="most items of a request's history, exclude, only or boosts")
    message_chars: int = Field(20_000, ge=1, description="most characters of a chat")
    explained: int = Field(
        100, ge=0, description="most items of a list that are justified; the others are listed without"
    )
    media: int = Field(16, ge=0, description="most pictures and sounds of a chat")
    listed: int = Field(100, ge=1, description="most items of one answer of /v1/items")
    search_chars: int = Field(200, ge=1, description="most characters of a search in the catalogue")
    thumbnail: int = Field(1024, ge=16, description="most pixels of the longer side of a picture that /v1/items gives")
    thumbnail_cache: int = Field(64_000_000, ge=0, description="bytes of such pictures that are kept in memory")
    header_seconds: float = Field(10, gt=0, description="how long the headers of a request may take to arrive")
    body_seconds: float = Field(60, gt=0, description="how long the body of a request may take to arrive")
    connections: int = Field(
        512, ge=1, description="open connections; beyond, the one that waits longest for headers is closed"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description='names of this server beside localhost and its addresses; "*": any'
    )
    allowed_origins: tuple[str, ...] = Field(
        (), description="origins whose pages may ask this server beside its own, as https://shop.example.com"
    )
    store: str | None = Field(
        None, description="database of people, keys and the audit log: a path, or postgresql+psycopg://...; null: none"
    )
    master_key: str | None = Field(
        None, description="what opens the store: a file, or command:...; null: RECOMMENDER_MASTER_KEY"
    )
    checkpoint_key: str | None = Field(
        None,
        description="public key as PEM that every checkpoint which is read must be signed with; the environment's"
        " RECOMMENDER_CHECKPOINT_KEY comes first; null: none need be",
    )
    tokens: TokensConfig | None = Field(None, description="tokens of an identity provider that count beside keys")
    insecure: bool = Field(False, description="answer everybody, beyond this machine too, without asking for keys")
    consent: dict[Purpose, bool] = Field(
        default_factory=lambda: dict(_AGREED),
        description="what people agree to who said nothing",
    )
    event_days: float | None = Field(365, gt=0, description="how long events are kept; null: for ever")
    feedback_days: float | None = Field(None, gt=0, description="how long feedback is kept; null: for ever")
    impression_days: float | None = Field(
        365, gt=0, description="how long it is kept which lists people were shown; null: for ever"
    )
    exploration: ExplorationConfig = ExplorationConfig()
    experiments: tuple[ExperimentConfig, ...] = ()
    feedback: str | None = Field(None, description="file that /v1/feedback appends to; null: feedback is not kept")
    stuck_seconds: float = Field(
        120, gt=0, description="how long the engine may bring nothing forth, all of it taken, until /readyz says 503"
    )
    counts_seconds: float | None = Field(
        1.0,
        gt=0,
        description="how often fused baselines take the events of the store, where there is one; null: never",
    )
    watch_seconds: float | None = Field(
        300,
        gt=0,
        description="how often /metrics learns from the store what was listed and taken in the last day, and how far that"
        " drifts; null: never",
    )
    reload_seconds: float | None = Field(
        None,
        gt=0,
        description="how often the server looks whether its checkpoint has a new version, which then takes over; null: when"
        " it is told to, by POST /v1/reload or SIGHUP",
    )
    drain_seconds: int = Field(30, ge=0, description="how long SIGTERM waits for running requests")

    @field_validator("experiments")
    @classmethod
    def _apart(cls, experiments: tuple[ExperimentConfig, ...]) -> tuple[ExperimentConfig, ...]:
        check_apart(experiments)
        return experiments


def check_engine(name: str) -> None:
    """Raise ConfigError for a name that no engine has."""
    if name not in ENGINES:
        raise ConfigError(f"unknown engine {name!r}", did_you_mean(name, ENGINES) or f"there are {', '.join(ENGINES)}")
