"""The configuration: one pydantic tree that holds all defaults. YAML keys, CLI options and Python names are the same."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recommender.errors import ConfigError, did_you_mean
from recommender.strict.yaml_documents import read_yaml

Modality = Literal["text", "knowledge", "image", "audio", "collaborative"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
ENGINES = ("embedded", "vllm")
SOFT_MODALITIES: tuple[Modality, ...] = ("image", "audio", "collaborative")
Stage = Literal["align", "rank", "explain", "converse"]
ColumnKey = Literal["item_id", "title", "description", "image", "audio", "user_id", "timestamp", "position", "rating"]
WithoutTime = Literal["file", "sets"] | None
Length = Literal["short", "normal", "detailed"]
LENGTHS: tuple[Length, ...] = get_args(Length)


#: former dotted key -> the last part of its present name; both are read
FORMER_KEYS = {
    "decoding.wish_nats": "query_weight",
    "lora.rank": "r",
    "lora.alpha": "lora_alpha",
    "lora.dropout": "lora_dropout",
    "lora.targets": "target_modules",
    "training.stages.clip": "max_grad_norm",
    "training.stages.newcomer_share": "cold_item_dropout",
    "training.stages.warmup": "warmup_ratio",
    "training.stages.wish_share": "query_share",
}


logger = logging.getLogger(__name__)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class ColumnsConfig(_Section):
    """The names of the user's columns. An item's remaining columns become its attributes."""

    item_id: str = "item_id"
    title: str = "title"
    description: str = "description"
    image: str = "image"
    audio: str = "audio"
    user_id: str = "user_id"
    timestamp: str = "timestamp"
    position: str = "position"
    rating: str = "rating"


class TableConfig(_Section):
    """How one table is written, where that is not to be found by looking; and names of columns that it alone has."""

    columns: dict[ColumnKey, str] = Field(
        default_factory=dict, description="names of columns in this table, where they differ from data.columns"
    )
    header: tuple[str, ...] | None = Field(
        None, min_length=1, description="the names of all columns, in order, of a text file without a header line"
    )
    separator: str | None = Field(
        None, min_length=1, description='what separates the fields of a text file, e.g. "\\t" or "::"; default: found'
    )
    encoding: str | None = Field(None, description="of a text file, e.g. latin-1; default: found")


class FactsConfig(_Section):
    """A table that says more of the items than their own: who made a film, where a book is set."""

    table: str = Field(description="a file, a folder or an embedded table, e.g. film-facts")
    layout: TableConfig = Field(TableConfig(), description="how that table is written")
    by: str = Field("title_year", description="how rows are found: title_year, item_id, or an attribute of both tables")
    columns: tuple[str, ...] | None = Field(
        None, description="the columns that items take where they have none of the name; default: all"
    )
    years_apart: int = Field(1, ge=0, le=5, description="by how many years the two tables may differ for one title")
    most_people: int = Field(
        8, ge=1, description="a longer cast is cut to this many people: those of most items of the catalogue"
    )
    known_from: int = Field(2, ge=1, description="of a longer cast only people of so many items are taken")
    encoded: bool = Field(
        True,
        description="text encoders read them, too; false: only filters, justifications and explanations know them, and the"
        " vectors of a checkpoint that was trained without them stay right",
    )


class DataConfig(_Section):
    """The tables of items and interactions: each a file, a folder, or the name of an embedded data set."""

    items: str = "movielens-100k"
    interactions: str = "movielens-100k"
    columns: ColumnsConfig = ColumnsConfig()
    items_table: TableConfig = TableConfig()
    interactions_table: TableConfig = TableConfig()
    facts: FactsConfig | None = Field(None, description="a table that says more of the items, joined to them")
    on_error: Literal["stop", "drop"] = Field(
        "stop", description="drop: leave out rows with errors, and list them in a file beside the table"
    )
    without_time: WithoutTime = Field(
        None,
        description="what orders interactions that have no time: the order of the file (the default, with a note), or none"
        " (sets: a fixed shuffle)",
    )
    standin_media: bool = Field(False, description="render a title card and speak the title where an item has no media")
    minimum_rating: float | None = Field(None, description="drop interactions rated lower (counted in the report)")
    users: int | None = Field(None, ge=1, description="learn from an even sample of this many users; default: all")

    @classmethod
    def of(cls, data: DataConfig | ColumnsConfig | None) -> DataConfig:
        """Return a config of tables; names of columns alone, or nothing, have the defaults beside them."""
        if isinstance(data, DataConfig):
            return data
        return cls() if data is None else cls(columns=data)

    def columns_of(self, table: Literal["items", "interactions"]) -> ColumnsConfig:
        """Return the names of the columns of one of the two tables."""
        own = self.items_table if table == "items" else self.interactions_table
        return self.columns.model_copy(update=dict(own.columns.items())) if own.columns else self.columns


class BaseConfig(_Section):
    """The base language model: an embedded name, a hub name or a local folder."""

    llm: str = "smollm2-135m-instruct"
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the hardware has it"
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="where the language model runs")
    rank_layers: int = Field(8, ge=1, description="how many layers rank items; text is written with all layers")
    converse_layers: int = Field(8, ge=1, description="how many layers read conversations")
    languages: tuple[str, ...] = Field(("en",), min_length=1, description="of messages; see prompts/conversations")
    item_scale: float = Field(1.0, gt=0, description="norm of an item's embedding, relative to that of a word")
    load_in_4bit: bool = False
    adapter: str | None = Field(
        None, description="a checkpoint, also of another domain, whose LoRA and ranking norm training starts from"
    )


class EncodersConfig(_Section):
    """The frozen encoders. Any of them is switched off with null."""

    text: str | None = "all-minilm-l6-v2"
    knowledge: str | None = Field(
        None, description="a language model that embeds each title, e.g. that of base.llm: what it knows about the name"
    )
    image: str | None = "efficientnet-lite0"
    audio: str | None = "whisper-tiny.en"
    transcript: bool = Field(False, description="add Whisper's transcript to the item's text")
    width: int = Field(
        128, ge=1, le=8192, description="text, image and audio vectors are reduced to this many components"
    )
    collaborative_width: int = Field(64, ge=0, le=8192, description="0 switches the collaborative vectors off")
    window_seconds: float = Field(30.0, gt=0, le=30, description="longer audio is read in windows of this length")
    batch_size: int = Field(32, ge=1)
    views: int = Field(
        0,
        ge=0,
        description="augmented views of each picture and sound that align and rank learn from, beside the plain one",
    )
    cache: str | None = Field(None, description="folder of the encoders' cache; default: the user's cache folder")


class SemanticIdsConfig(_Section):
    """How items become codes. With one level each item is one token (atomic ids)."""

    levels: int = Field(1, ge=1, le=8, description="1 = atomic item tokens; more = residual k-means levels")
    codebook_size: int = Field(256, ge=2)
    fusion: Literal["concatenation", "average", "weighted"] = "concatenation"
    weights: dict[Modality, float] = Field(default_factory=dict, description="for weighted fusion; default 1 each")
    collision_limit: float = Field(
        0.5, ge=0, le=1, description="fail if more items than this share their k-means codes"
    )


class PromptConfig(_Section):
    """The part of a user's history that the prompt holds."""

    history: int = Field(100, ge=1, description="most recent items that the prompt holds")
    titled: int = Field(3, ge=0, description="how many of the last items are spelled out with title and soft tokens")
    soft_tokens: int = Field(1, ge=1, le=256, description="soft tokens per modality of a spelled-out item")
    noun: str = Field("items", description="what is recommended, in the plural: films, books, songs")


class LoraConfig(_Section):
    """The low-rank adapters, as in peft."""

    r: int = Field(16, ge=1)
    lora_alpha: int = 32
    lora_dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class StageConfig(_Section):
    """One stage of training."""

    stage: Stage
    epochs: float = Field(1.0, gt=0)
    learning_rate: float = Field(1e-3, gt=0, description="LoRA matrices")
    rows_learning_rate: float | None = Field(None, ge=0, description="token rows; default: learning_rate; 0: frozen")
    projector_learning_rate: float | None = Field(
        None, ge=0, description="projectors; default: learning_rate; 0: frozen"
    )
    weight_decay: float = Field(0.01, ge=0)
    warmup_ratio: float = Field(0.05, ge=0, lt=1, description="share of the steps with rising learning rate")
    batch_tokens: int = Field(4096, ge=16, description="positions per optimiser step and process")
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
    conversations: int = Field(4096, ge=1, description="conversations that are made for an epoch of the stage converse")
    evaluate_epochs: float = Field(1.0, gt=0, description="epochs between validations")
    patience: int = Field(5, ge=1, description="validations without improvement before the stage stops")
    validation_users: int = Field(1000, ge=1)
    max_steps: int | None = Field(None, ge=1)


class TeacherConfig(_Section):
    """A baseline whose predictions the stage `rank` also learns from; it is fitted on the training histories first."""

    baseline: str = "sasrec-vectors"
    seeds: int = Field(1, ge=1, description="number of fits whose probabilities are averaged")
    weight: float = Field(0.7, ge=0, le=1, description="the teacher's share of the loss")
    most: int = Field(100, ge=1, description="likeliest items that are kept for each interaction")


class TrainingConfig(_Section):
    """The stages in order, and settings of all of them."""

    stages: tuple[StageConfig, ...] = (StageConfig(stage="rank"),)
    teacher: TeacherConfig | None = None
    popularity: float = Field(
        0.0,
        ge=0,
        description="initial score bias: this times the log of an item's number of interactions; one level only",
    )
    outside: str | None = Field(None, description="a table of works that people name and the catalogue may lack")
    checkpoint_minutes: float = Field(5.0, gt=0)
    keep_test_out: bool = Field(True, description="leave-one-out: the last item of a user is never trained on")


class DecodingConfig(_Section):
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
    int8: bool = Field(False, description="rank with matrices of 8-bit integers: faster on a CPU, not exact")


class JustifyConfig(_Section):
    """How evidence is found and justifications are written."""

    evidence: int = Field(2, ge=1, description="most influences that are kept as evidence; a length may need more")
    window: int = Field(20, ge=1, description="most recent history items whose influence is measured by removal")
    max_new_tokens: int = Field(
        120, ge=8, description="tokens after which a sentence is cut off; three names of 60 letters take most of them"
    )
    length: Length = "normal"
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


class ServingConfig(_Section):
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
    feedback: str | None = Field(None, description="file that /v1/feedback appends to; null: feedback is not kept")
    stuck_seconds: float = Field(
        120, gt=0, description="how long the engine may bring nothing forth, all of it taken, until /readyz says 503"
    )
    drain_seconds: int = Field(30, ge=0, description="how long SIGTERM waits for running requests")


class Config(_Section):
    """All settings that decide a result."""

    seed: int = 0
    data: DataConfig = DataConfig()
    base: BaseConfig = BaseConfig()
    encoders: EncodersConfig = EncodersConfig()
    semantic_ids: SemanticIdsConfig = SemanticIdsConfig()
    prompt: PromptConfig = PromptConfig()
    lora: LoraConfig = LoraConfig()
    training: TrainingConfig = TrainingConfig()
    decoding: DecodingConfig = DecodingConfig()
    justify: JustifyConfig = JustifyConfig()
    serving: ServingConfig = ServingConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.prompt.titled > self.prompt.history:
            raise ValueError("prompt.titled must not exceed prompt.history; lower prompt.titled")
        return self

    @classmethod
    def load(cls, path: str | Path) -> Config:
        """Read a YAML file. Raises ConfigError naming the file, the key and the closest known key."""
        raw = read_yaml(Path(path), ConfigError)
        if raw is not None and not isinstance(raw, dict):
            raise ConfigError(f"{path}: expected a mapping of keys to values, found {type(raw).__name__}")
        return cls.parse(raw or {}, source=str(path))

    @classmethod
    def parse(cls, raw: dict[str, Any], source: str = "config") -> Config:
        """Validate a plain mapping; keys of earlier versions are read, and a note says so.

        Raises ConfigError with every problem in one line.
        """
        former: dict[str, str] = {}
        raw = _with_current_keys(raw, (), former, source)
        if former:
            renames = ", ".join(f"{old} is now {new}" for old, new in former.items())
            logger.warning("%s: %s; the old names are still read", source, renames)
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            problems = [_explain(problem) for problem in error.errors()]
            hints = [hint for problem in error.errors() if (hint := _suggest(problem))]
            raise ConfigError(f"{source}: {'; '.join(problems)}", "; ".join(hints) or None) from None

    def updated(self, changes: dict[str, Any], source: str = "options") -> Config:
        """Return a copy with dotted keys replaced, e.g. {"decoding.beam": 20, "training.stages.0.epochs": 2}.

        Raises ConfigError.
        """
        raw = self.model_dump(mode="json")
        for key, value in changes.items():
            *parents, last = _current_key(key).split(".")
            node: Any = raw
            for part in parents:
                node = _inside(node, part, key, source)
            node[_place(node, last, key, source)] = value
        return self.parse(raw, source)

    def to_yaml(self) -> str:
        """Return the whole tree as YAML, in the order of definition."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _with_current_keys(node: Any, path: tuple[str, ...], former: dict[str, str], source: str) -> Any:
    """Return a part of a raw config with present key names; `former` collects the renames: old -> new dotted key."""
    if isinstance(node, list):
        return [_with_current_keys(entry, path, former, source) for entry in node]
    if not isinstance(node, dict):
        return node
    current: dict[Any, Any] = {}
    for key, value in node.items():
        dotted = ".".join((*path, str(key)))
        name = FORMER_KEYS.get(dotted)
        if name is not None:
            if name in node:
                raise ConfigError(f"{source}: {dotted} is the former name of {name}, which is there too", "keep one")
            former[dotted] = ".".join((*path, name))
        current[key if name is None else name] = _with_current_keys(value, (*path, str(key)), former, source)
    return current


def _current_key(key: str) -> str:
    """Return the present name of a dotted key, which may contain list indices."""
    parts = key.split(".")
    former = FORMER_KEYS.get(".".join(part for part in parts if not part.isdecimal()))
    return key if former is None else ".".join([*parts[:-1], former])


def _inside(node: Any, part: str, key: str, source: str) -> Any:
    """Return the value under one part of a dotted key; an unknown section is added, for `parse` to name it."""
    place = _place(node, part, key, source)
    return node[place] if isinstance(node, list) else node.setdefault(place, {})


def _place(node: Any, part: str, key: str, source: str) -> Any:
    """Return the list index or mapping key that one part of a dotted key stands for."""
    if isinstance(node, dict):
        return part
    if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
        return int(part)
    content = f"there are {len(node)} entries" if isinstance(node, list) else "it has no keys of its own"
    raise ConfigError(
        f"{source}: {key}: there is no {part!r} here; {content}", "for example training.stages.0.epochs=2"
    )


def _explain(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "the whole"
    if problem["type"] == "extra_forbidden":
        return f"unknown key {where!r}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}"


def _suggest(problem: Any) -> str | None:
    """For an unknown key, name the closest key of the section it stands in, or else of the whole tree."""
    if problem["type"] != "extra_forbidden":
        return None
    *section, key = [str(part) for part in problem["loc"]]
    siblings = [
        name.split(".")[-1] for name in _keys(Config) if name.split(".")[:-1] == [p for p in section if not p.isdigit()]
    ]
    elsewhere = [name for name in _keys(Config) if name.split(".")[-1] == key]
    if elsewhere and key not in siblings:
        return f"did you mean {' or '.join(elsewhere)}?"
    return did_you_mean(key, siblings) or did_you_mean(key, _keys(Config))


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _keys(inner, f"{prefix}{name}.")


def check_engine(name: str) -> None:
    """Raise ConfigError for a name that no engine has."""
    if name not in ENGINES:
        raise ConfigError(f"unknown engine {name!r}", did_you_mean(name, ENGINES) or f"there are {', '.join(ENGINES)}")
