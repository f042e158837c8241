"""Back up, restore, rotate and sweep what is kept of people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.options import AsJson
from recommender.cli.output import print_facts, print_json, print_rows, print_text
from recommender.cli.store_options import MasterKey, StoreConfig, Where, identity, opened_store, passphrase
from recommender.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help=__doc__)
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        help="its first line; default: RECOMMENDER_BACKUP_PASSPHRASE, or typed", callback=early_checks.input_file
    ),
]


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="the file to write", callback=early_checks.output_file)],
    passphrase_file: PassphraseFile = None,
    recipient: Annotated[
        str | None, typer.Option(help="an age public key, age1..., in the place of a passphrase")
    ] = None,
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Write all that a store holds into one encrypted file.

    Servers go on meanwhile. The master key is not in it: keep it elsewhere.
    """
    if recipient is not None and passphrase_file is not None:
        raise ConfigError("a backup is for a passphrase or for a recipient", "give one of the two")
    secret = None if recipient is not None else passphrase(passphrase_file, new=True)
    with opened_store(store, master_key, config) as opened:
        counts = opened.back_up(file, secret, recipient)
    _print_counts(f"{file}: written", counts, as_json)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="a file of `store backup`", callback=early_checks.input_file)],
    passphrase_file: PassphraseFile = None,
    identity_file: Annotated[
        Path | None,
        typer.Option(help="age's secret key, in the place of a passphrase", callback=early_checks.input_file),
    ] = None,
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of what the store holds.

    All of it or nothing. What was forgotten, withdrawn or revoked since stays so, and the audit log goes on.
    """
    key = identity(identity_file)
    secret = None if key is not None else passphrase(passphrase_file, new=False)
    with opened_store(store, master_key, config, make=True) as opened:
        counts = opened.restore(file, secret, key)
    _print_counts(f"{file}: restored", counts, as_json)


@app.command()
def rotate(
    store: Where = None, master_key: MasterKey = None, config: StoreConfig = None, as_json: AsJson = False
) -> None:
    """Wrap all keys anew with the first master key of the file.

    Afterwards the earlier ones can go from it. Start servers with the new file before.
    """
    with opened_store(store, master_key, config, signs=True) as opened:
        facts = {"people": opened.rotate(), "master_key": opened.people.master.current}
    print_facts(facts, as_json)


@app.command()
def sweep(
    store: Where = None, master_key: MasterKey = None, config: StoreConfig = None, as_json: AsJson = False
) -> None:
    """Delete what is older than the config lets it be."""
    with opened_store(store, master_key, config, signs=True) as opened:
        swept = opened.sweep()
    if as_json:
        print_json(swept)
        return
    print_text(", ".join(f"{name}: {count} deleted" for name, count in swept.items()) or "nothing is to be swept")


@app.command()
def status(
    store: Where = None, master_key: MasterKey = None, config: StoreConfig = None, as_json: AsJson = False
) -> None:
    """Tell what a store holds: rows, bytes, keys in use."""
    with opened_store(store, master_key, config) as opened:
        facts = opened.status()
    if as_json:
        print_json(facts)
        return
    rows = facts.pop("rows")
    print_facts(facts, as_json=False)
    print_rows([{"table": name, "rows": count} for name, count in rows.items()])


def _print_counts(said: str, counts: Mapping[str, int], as_json: bool) -> None:
    if as_json:
        print_json(counts)
    else:
        print_text(f"{said}, {', '.join(f'{count} {name}' for name, count in counts.items() if count)}")
