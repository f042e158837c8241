"""Options of commands that work on a store, and how they open it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recommender.cli import early_checks
from recommender.errors import ConfigError, DataError, import_extra
from recommender.progress import is_main_process

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from recommender.config import ServingConfig
    from recommender.store.store import Store

PASSPHRASE = "RECOMMENDER_BACKUP_PASSPHRASE"
_MODULES = ("sqlalchemy", "alembic", "cryptography", "pyrage")

Where = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="RECOMMENDER_STORE",
        help="a path, or postgresql+psycopg://HOST/NAME; default: the config's",
    ),
]
MasterKey = Annotated[
    str | None,
    typer.Option("--master-key", help="a file, or command:...; default: the config's, then RECOMMENDER_MASTER_KEY"),
]
StoreConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="a YAML file: its section serving names store, master_key, consent and how long things are kept",
        callback=early_checks.input_file,
    ),
]
TellStore = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="RECOMMENDER_STORE",
        help="tell this store of what is written about people, so that `forget` finds it",
    ),
]
LogStore = Annotated[
    str | None,
    typer.Option("--store", envvar="RECOMMENDER_STORE", help="write into the audit log of this store what is done"),
]
PublicKey = Annotated[
    Path | None,
    typer.Option("--key", help="the store's public key as PEM: see `audit key`", callback=early_checks.input_file),
]


def serving_of(config: Path | None) -> ServingConfig:
    """Return the section `serving` of a config file, or its defaults. Raises ConfigError."""
    from recommender.config import Config

    return (Config.load(config) if config else Config()).serving


def need_extra(command: str) -> None:
    """Raise RecommenderError that names the extra `store` where it is not installed."""
    for module in _MODULES:
        import_extra(module, command, "store")


@contextmanager
def opened_store(
    where: str | None, master_key: str | None, config: Path | None, make: bool = False, signs: bool = False
) -> Iterator[Store]:
    """Yield a store. `make`: a new one if there is none. `signs`: sign the audit log at the end, for what was written to it.

    Raises ConfigError if no store is named, DataError for one that is not there.
    """
    need_extra("a store")
    from recommender.store.store import Store, StoreOptions

    serving = serving_of(config)
    named = where or serving.store
    if named is None:
        raise ConfigError("which store?", "name it by --store, RECOMMENDER_STORE, or serving.store of --config")
    if not make and "://" not in named and not Path(named).is_file():
        raise DataError(
            f"{named}: there is no store", "`recommender keys add` and `recommender events import` make one"
        )
    options = StoreOptions(serving.consent, serving.event_days, serving.feedback_days, serving.impression_days)
    store = Store.open(named, master_key or serving.master_key, options)
    try:
        yield store
        if signs:
            store.audit.sign_head()
    finally:
        store.let_go()


@contextmanager
def audited(
    where: str | None,
    master_key: str | None,
    kind: str,
    facts: Mapping[str, Any],
    serving: ServingConfig | None = None,
) -> Iterator[dict[str, Any]]:
    """Write into a store's audit log that a long work begins, and how it ends; what the block adds to the yielded dict is
    told at the end. Where no store is named nothing is written.

    `serving`: of a recipe, which may name a store too, if there is one. Raises what `opened_store` does, before the work.
    """
    named = where or _there(serving)
    if named is None or not is_main_process():
        yield {}
        return
    key = master_key or (None if serving is None else serving.master_key)
    told: dict[str, Any] = {"caller": "command line", **facts}

    def write(done: str, more: Mapping[str, Any]) -> int:
        with opened_store(named, key, None, signs=True) as store:
            return store.audit.add(kind, {**told, "done": done, **more})

    result: dict[str, Any] = {}
    begun = write("begun", {})
    try:
        yield result
    except BaseException as error:
        write("failed", {"begun": begun, "because": type(error).__name__})
        raise
    write("finished", {"begun": begun, **result})


def _there(serving: ServingConfig | None) -> str | None:
    """Return the store that a recipe names, if it is there: it may be meant for a server elsewhere."""
    named = None if serving is None else serving.store
    return named if named is not None and ("://" in named or Path(named).is_file()) else None


def register_trace(where: str | None, master_key: str | None, user: str | None, trace: Path | None) -> None:
    """Tell a store, if one is named, that a decision trace of a person is about to be written. Raises ForgottenError."""
    if where is not None and user is not None and trace is not None:
        with opened_store(where, master_key, None) as store:
            store.holdings.add(user, "trace", trace)


def public_key(path: Path | None) -> Ed25519PublicKey | None:
    """Return the key of a PEM file, None for None. Raises DataError."""
    need_extra("a signature")
    from recommender.adapters.key_files import read_public_key

    return None if path is None else read_public_key(path)


def read_as_written(file: Path, kind: str, hint: str) -> dict[str, Any]:
    """Return what a receipt or a proof says. Raises DataError for a file that is not as a command wrote or printed it.

    What is signed is the content; by this no blank of the file can be another either.
    """
    from recommender.strict.json_documents import json_text, read_json_object

    content = read_json_object(file, kind, hint)
    forms = {json_text(content, indent=indent) + "\n" for indent in (1, None)}
    if file.read_text(encoding="utf-8") not in forms:
        raise DataError(f"{file}: is not as the {kind} was written", hint)
    return content


def passphrase(file: Path | None, new: bool) -> str:
    """Return the first line of a file, what RECOMMENDER_BACKUP_PASSPHRASE says, or what is typed; `new`: typed twice.

    Raises ConfigError where none can be had.
    """
    if file is not None:
        lines = file.read_text(encoding="utf-8").splitlines()
        if not lines or not lines[0]:
            raise ConfigError(f"{file}: holds no passphrase", "write it into the first line")
        return lines[0]
    if given := os.environ.get(PASSPHRASE):
        return given
    if not sys.stdin.isatty():
        raise ConfigError("a backup needs a passphrase", f"give --passphrase-file, or set {PASSPHRASE}")
    typed: Any = typer.prompt("passphrase of the backup", hide_input=True, confirmation_prompt=new, err=True)
    return str(typed)


def identity(file: Path | None) -> str | None:
    """Return the secret key of a file as age-keygen writes it, None for None. Raises ConfigError."""
    if file is None:
        return None
    lines = file.read_text(encoding="utf-8").split()
    found = [line for line in lines if line.startswith("AGE-SECRET-KEY-")]
    if len(found) != 1:
        raise ConfigError(f"{file}: holds no age identity", "a line AGE-SECRET-KEY-1..., as age-keygen writes it")
    return found[0]
