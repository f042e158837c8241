"""What an engine is asked and what it answers: the same for every engine, for Python, command line, batch and HTTP."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from recommender.config import Modality
from recommender.data.id_fields import (
    ByItem,
    HistoryIds,
    ItemIds,
    SomeItemIds,
    UserId,
    ValueText,
    ValueTexts,
    given_fields,
)
from recommender.engine.parts import BASELINES, PARTS, Part
from recommender.errors import RecommenderError, wrong_fields

#: fields of requests that had another name in an earlier version -> their name now; both are read
FORMER_FIELDS = {"wish": "query"}
#: what every answer says in its data (AI Act of the EU, article 50): no person chose or wrote what is in it
GENERATED: dict[str, Any] = {"generated": True}
DISCLOSURE = "A machine answers here: a program made this list and wrote its reasons, and no person did."
#: the largest boost: more than any two scores lie apart, and far from what float32 cannot hold
MOST_NATS = 1000.0

#: domains that a request may name
MOST_DOMAINS = 100

#: a vector of floats, which may come as an array or a tensor
Vector = Annotated[
    tuple[FiniteFloat, ...], BeforeValidator(lambda values: values.tolist() if hasattr(values, "tolist") else values)
]


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):  # Python takes true for 1
        raise ValueError("expected a number, found a truth value")
    return value


def _any_number_of(values: Any) -> Any:
    """Return a list of names as a mapping; what is neither is found wrong as such."""
    listed = isinstance(values, list | tuple) and all(isinstance(value, str) for value in values)
    return dict.fromkeys(values, 0) if listed else values


Domains = Annotated[
    dict[ValueText, Annotated[int, BeforeValidator(_no_truth_value), Field(ge=0)]],
    BeforeValidator(_any_number_of),
    Field(max_length=MOST_DOMAINS),
]
"""Domains of a joined catalogue -> how many items of each at most, 0 for any number; a list of names: any."""

Nats = Annotated[FiniteFloat, BeforeValidator(_no_truth_value), Field(ge=-MOST_NATS, le=MOST_NATS)]

logger = logging.getLogger(__name__)


def with_current_fields(fields: Any) -> Any:
    """Return a request's fields as they are named now. Raises ValueError if one is given by both of its names."""
    if not isinstance(fields, Mapping) or not (former := FORMER_FIELDS.keys() & fields.keys()):
        return fields
    current = {name: value for name, value in fields.items() if name not in former}
    for old in former:
        name, value = FORMER_FIELDS[old], fields[old]
        if value is None:
            continue
        if current.get(name) is not None:
            raise ValueError(f"{old} is the former name of {name}: give one of them")
        _note_former_field(old, name)
        current[name] = value
    return current


@cache
def _note_former_field(old: str, name: str) -> None:
    """Say once for a process that a field has another name."""
    logger.warning("the request field %s is now %s; the old name is still read", old, name)


class Request(BaseModel):
    """One question. `history`: item ids, oldest first; empty for a person of whom nothing is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    history: HistoryIds = ()
    k: Annotated[int, BeforeValidator(_no_truth_value)] = Field(10, ge=1)
    exclude: ItemIds = Field((), description="item ids that must not be recommended")
    only: SomeItemIds = Field(None, description="item ids that may be recommended; default all")
    explain: bool = True
    fused: bool | None = Field(None, description="rank together with the checkpoint's baselines; default as configured")
    query: str | None = Field(None, max_length=500, description="a sentence about what is wanted")
    user: UserId = Field(None, max_length=200, description="who asks: their feedback counts, where it is kept")
    trace: bool = Field(False, description="tell with each reason how it was written, for a decision trace")
    filters: dict[str, ValueTexts] = Field(
        default_factory=dict, description="attribute -> values, one of which a recommended item must have"
    )
    domains: Domains = Field(
        default_factory=dict,
        description='domains of a joined catalogue, whose best items take turns in the list: ["films", "products"], or'
        ' at most so many of each: {"films": 1, "products": 2}',
    )
    boosts: Annotated[dict[str, Nats], ByItem] = Field(
        default_factory=dict,
        description=f"item id -> nats that are added to its score, at most {MOST_NATS:.0f}; below 0 it sinks",
    )
    without: tuple[Part, ...] = Field(
        (),
        max_length=len(PARTS),
        description="parts that are switched off: modalities (text, knowledge, image, audio, collaborative), popularity,"
        " history, baselines",
    )
    vectors: Annotated[dict[str, dict[Modality, Vector]], ByItem] = Field(
        default_factory=dict,
        description="history item -> modality -> an encoder's vector that stands for the item's own in this request",
    )

    @property
    def fusing(self) -> bool | None:
        """Whether the checkpoint's baselines rank along; None: as configured."""
        return False if BASELINES in self.without else self.fused

    @model_validator(mode="before")
    @classmethod
    def _current_fields(cls, fields: Any) -> Any:
        """Read fields by their present names; null, and a gap in a column of a table, is a field that is not given."""
        return given_fields(with_current_fields(fields), cls.model_fields)


def make_request(**fields: Any) -> Request:
    """Return a Request. Raises RecommenderError naming the fields that are wrong, in one line."""
    try:
        return Request(**fields)
    except ValidationError as error:
        raise RecommenderError(f"the request cannot be answered: {wrong_fields(error)}") from None


@dataclass(frozen=True)
class RankedItem:
    """One recommended item. `score`: log-probability and the nats that a query adds, or the fused score where baselines
    rank along.

    `written_by`: "model" for the language model, "plain" for a template: where its sentence failed the check, or no model
    writes. Both are generated.
    """

    rank: int
    item_id: str
    title: str
    score: float
    justification: str | None = None
    written_by: str | None = None
    evidence: dict[str, Any] | None = None


@dataclass(frozen=True)
class Response:
    """A ranked list, best first. `notes` say what was done to the request, e.g. that the history was cut."""

    items: tuple[RankedItem, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the response as plain data, marked as generated."""
        return {"items": [asdict(item) for item in self.items], "notes": list(self.notes), **GENERATED}
