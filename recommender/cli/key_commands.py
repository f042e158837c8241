"""Keys of callers, master keys, and key pairs for signing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.inputs import split_list
from recommender.cli.options import AsJson
from recommender.cli.output import print_json, print_note, print_rows, print_text
from recommender.cli.store_options import MasterKey, StoreConfig, Where, need_extra, opened_store

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command()
def master(
    file: Annotated[
        Path,
        typer.Argument(help="where it is kept: only its owner may read it", callback=early_checks.output_file),
    ],
    name: Annotated[str | None, typer.Option(help="what it is called; default: the day")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a master key: what opens a store.

    In a file that has keys the new one comes first and wraps from then on; the others still open what they wrapped. Keep a
    copy elsewhere: without it nothing that is personal in the store can be read.
    """
    need_extra("a master key")
    from recommender.store.master_keys import new_master_key

    chosen = name or datetime.now(UTC).date().isoformat()
    new_master_key(file, chosen)
    if as_json:
        print_json({"file": str(file), "name": chosen})
    else:
        print_text(f"{file}: the master key {chosen}; keep a copy of it, and not where the store is")


@app.command()
def pair(
    file: Annotated[
        Path,
        typer.Argument(
            help="where the private key is kept: only its owner may read it", callback=early_checks.output_file
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Make a key pair: what signs checkpoints.

    The public key comes beside it, with .pub.pem for an ending; those who check signatures get that.
    """
    from recommender.adapters.key_files import fingerprint, new_pair, read_public_key

    public = file.with_suffix(".pub.pem")
    new_pair(file, public)
    name = fingerprint(read_public_key(public))
    if as_json:
        print_json({"private": str(file), "public": str(public), "fingerprint": name})
    else:
        print_text(f"{file}: the private key {name}; {public}: the public key, for those who check")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="what the key is called in lists and in the audit log")],
    scope: Annotated[
        list[str], typer.Option(help="recommend, explain, feedback, events or admin; with commas, or repeated")
    ],
    rate: Annotated[int | None, typer.Option(help="requests a minute; default: no limit", min=1)] = None,
    days: Annotated[float | None, typer.Option(help="how long it counts; default: until it is revoked")] = None,
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Make a key for a caller and print it, once.

    Only a salted hash of it is kept.
    """
    with opened_store(store, master_key, config, make=True, signs=True) as opened:
        key, token = opened.keys.add(name, split_list(scope, "--scope"), rate, days)
    if as_json:
        print_json({"name": key.name, "prefix": key.prefix, "scopes": key.scopes, "key": token})
        return
    print_text(token)
    print_note(f"the key of {key.name}; it is not shown again: callers send it as Authorization: Bearer KEY")


@app.command("list")
def list_keys(
    store: Where = None, master_key: MasterKey = None, config: StoreConfig = None, as_json: AsJson = False
) -> None:
    """List the keys of callers, and which of them count."""
    with opened_store(store, master_key, config) as opened:
        found, now = opened.keys.all(), time.time()
    rows = [
        {
            "name": key.name,
            "prefix": key.prefix,
            "scopes": " ".join(key.scopes),
            "rate": key.rate,
            "made": _day(key.created),
            "expires": _day(key.expires),
            "state": key.state(now),
        }
        for key in found
    ]
    if as_json or rows:
        print_rows(
            [row if as_json else {n: "" if v is None else v for n, v in row.items()} for row in rows], None, as_json
        )
    else:
        print_text("no keys yet: recommender keys add NAME --scope recommend")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="the key's name or prefix, as `keys list` shows it")],
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Refuse a key from now on; servers notice within a second."""
    with opened_store(store, master_key, config, signs=True) as opened:
        key = opened.keys.revoke(name)
    if as_json:
        print_json({"revoked": key.prefix, "name": key.name})
    else:
        print_text(f"revoked: {key.name} ({key.prefix})")


def _day(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).date().isoformat()
