"""What is kept, where, whether sealed, for how long, and how it is forgotten: from the tables, the config and the files.

The tables tell of themselves (`tables.told`); what lies in files is listed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from recommender.config import ServingConfig
from recommender.store.tables import metadata

_SECTION = "serving."


@dataclass(frozen=True)
class Place:
    """One place where something is kept. `columns`: of a table, name -> what it holds."""

    name: str
    where: str
    what: str
    sealed: str
    kept: str
    forgotten: str
    columns: dict[str, str] = field(default_factory=dict)


FILES: tuple[Place, ...] = (
    Place(
        "checkpoint",
        "the folder of --output of train, extend and fuse",
        "adapter, projectors, codes and counts that trainings learned from many histories; no history and no id of a person",
        "no",
        "until it is removed",
        "forget model trains it again without the person, and writes a receipt of that",
    ),
    Place(
        "shards",
        "MODEL.shards beside the checkpoint, of a training with training.forgetting",
        "what each shard of users changed in the weights; no history and no id of a person",
        "no",
        "until it is removed, or trained again",
        "forget model trains the shards of those who are gone again; what they had learned is removed first",
    ),
    Place(
        "interactions",
        "data.interactions of a config",
        "your own table of who chose what",
        "no",
        "as you keep it",
        "yours to delete from; a table of `events export` is registered, and forget takes the person's rows out",
    ),
    Place(
        "encodings",
        "encoders.cache of a config, or the user's cache folder",
        "vectors of items",
        "no",
        "until it is removed",
        "it holds nothing of people",
    ),
    Place(
        "traces",
        "the file of --trace of recommend and explain",
        "a request with its history, the list, and all that led to it",
        "no",
        "until it is removed",
        "forget removes those that are registered in holdings",
    ),
    Place(
        "batches",
        "the output of batch, and its hidden .partial file meanwhile",
        "requests and their lists, a line each",
        "no",
        "until it is removed",
        "forget takes out the lines that are registered in holdings",
    ),
    Place(
        "exports",
        "the file of --output of export-user",
        "all that is kept of one person, readable",
        "no",
        "until it is handed over",
        "forget removes it where it was written",
    ),
    Place(
        "backups",
        "the file of store backup",
        "all tables",
        "yes, by age",
        "until it is removed",
        "restored into a store that forgot the person, it leaves them out; remove those from before, they hold the key",
    ),
    Place(
        "feedback file",
        "serving.feedback of a server without a store, and feedback --file",
        "feedback with user ids",
        "no",
        "until it is removed",
        "it is for machines that keep nothing else of people; delete the person's lines",
    ),
    Place(
        "conversations",
        "the memory of the chat's client: the server is sent them with each request",
        "what was said",
        "no",
        "while a request is answered",
        "nothing stays",
    ),
    Place(
        "master keys",
        "serving.master_key: a file, the environment or a key service",
        "what opens the store; never in it",
        "no",
        "until a rotation takes them out",
        "it names nobody",
    ),
    Place(
        "logs and metrics",
        "standard error, /metrics",
        "times and counts",
        "no",
        "as you keep them",
        "no person in them",
    ),
)


def data_map(config: ServingConfig) -> list[Place]:
    """Return all places, the store's tables first. A retention that a config key sets is told with its value."""
    tables = [
        Place(
            name,
            f"table {name} of serving.store",
            table.info["what"],
            table.info["sealed"],
            _kept(config, table.info["kept"]),
            table.info["forgotten"],
            {column.name: column.comment or "" for column in table.columns},
        )
        for name, table in metadata.tables.items()
    ]
    return [*tables, *FILES]


def _kept(config: ServingConfig, told: str) -> str:
    """Return for how long; "serving.event_days" with what the config says."""
    if not told.startswith(_SECTION):
        return told
    days = getattr(config, told.removeprefix(_SECTION))
    return f"{told}: {'for ever' if days is None else f'{days:g} days'}"
