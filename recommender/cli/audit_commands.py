"""Check, sign and prove the log of what was done."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.options import AsJson
from recommender.cli.output import print_facts, print_json, print_rows, print_text
from recommender.cli.store_options import (
    MasterKey,
    PublicKey,
    StoreConfig,
    Where,
    opened_store,
    public_key,
    read_as_written,
)

app = typer.Typer(no_args_is_help=True, help=__doc__)
_PROOF = "make one: recommender audit prove ROW --output FILE"


@app.command()
def verify(
    key: PublicKey = None,
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Check every row and every signature.

    The first row that is not as it was written is named, and the exit code is 1. With --key signatures count that were made
    by the key that you kept elsewhere.
    """
    public = public_key(key)
    with opened_store(store, master_key, config) as opened:
        found = opened.audit.verify(public)
    if as_json:
        print_json(
            {"ok": found.ok, "rows": found.rows, "signed": found.signed, "broken": found.broken, "reason": found.reason}
        )
    elif found.ok:
        print_text(f"as it was written: {found.rows} rows, {found.signed} of them signed")
    else:
        print_text(f"broken at row {found.broken}: {found.reason}")
    raise typer.Exit(0 if found.ok else 1)


@app.command()
def sign(
    store: Where = None, master_key: MasterKey = None, config: StoreConfig = None, as_json: AsJson = False
) -> None:
    """Sign the log as it is now; servers do every hour."""
    with opened_store(store, master_key, config) as opened:
        size = opened.audit.sign_head()
    print_facts({"signed_rows": size}, as_json)


@app.command()
def prove(
    row: Annotated[int, typer.Argument(help="number of the row, as `audit list` shows it", min=1)],
    output: Annotated[Path, typer.Option(help="the file to write", callback=early_checks.output_file, dir_okay=False)],
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Write a proof that a row is in the signed log.

    `audit check` verifies it with the public key alone.
    """
    from recommender.files import write_text
    from recommender.strict.json_documents import json_text

    with opened_store(store, master_key, config) as opened:
        proof = opened.audit.prove(row)
    write_text(output, json_text(proof, indent=1) + "\n")
    if as_json:
        print_json({"file": str(output), "row": row, "signed_rows": proof["head"]["size"]})
    else:
        print_text(f"{output}: row {row} is one of the {proof['head']['size']} that were signed")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="a proof of `audit prove`", callback=early_checks.input_file)],
    key: Annotated[Path, typer.Option(help="the store's public key as PEM", callback=early_checks.input_file)],
    as_json: AsJson = False,
) -> None:
    """Check a proof without the store."""
    public = public_key(key)
    assert public is not None
    from recommender.store.audit import verify_proof

    proof = read_as_written(file, "proof", _PROOF)
    verify_proof(proof, public)
    row = proof["row"]
    if as_json:
        print_json({"ok": True, "row": row})
    else:
        print_text(f"proved: row {row['number']}, {_moment(row['time'])}, {row['kind']}: {row['body']}")


@app.command("key")
def print_key(
    store: Where = None, master_key: MasterKey = None, config: StoreConfig = None, as_json: AsJson = False
) -> None:
    """Print the public key that proofs and receipts are checked with."""
    with opened_store(store, master_key, config) as opened:
        pem = opened.public_key
    if as_json:
        print_json({"public_key": pem})
    else:
        print_text(pem.strip())


@app.command("list")
def list_rows(
    last: Annotated[int, typer.Option(help="how many", min=1)] = 20,
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Show the last rows of the log, newest first."""
    with opened_store(store, master_key, config) as opened:
        rows = opened.audit.last(last)
    if as_json:
        print_json([{"number": r.number, "time": r.time, "kind": r.kind, "body": json.loads(r.body)} for r in rows])
    elif rows:
        print_rows([{"row": r.number, "time": _moment(r.time), "kind": r.kind, "told": _short(r.body)} for r in rows])
    else:
        print_text("no rows yet")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:99]}…"
