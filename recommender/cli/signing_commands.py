"""Sign a checkpoint, so that those who have the public key read no other."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.options import AsJson, Model
from recommender.cli.output import print_facts
from recommender.cli.store_options import MasterKey, StoreConfig, Where, opened_store
from recommender.errors import ConfigError


def sign(
    model: Model,
    key: Annotated[
        Path | None,
        typer.Option(help="a private key as PEM: see `keys pair`", callback=early_checks.input_file),
    ] = None,
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Sign a checkpoint or an export for vLLM.

    With the private key of --key, else with that of the store, whose public key `audit key` prints. Who sets
    RECOMMENDER_CHECKPOINT_KEY to the public key, or `serving.checkpoint_key`, reads no checkpoint that is not signed, or was
    changed since. Whatever writes the folder anew makes it unsigned.
    """
    from recommender.adapters.key_files import read_private_key
    from recommender.adapters.shipped import MANIFEST, resolve
    from recommender.adapters.vouching import sign as signed
    from recommender.cli.store_options import serving_of
    from recommender.files import locked

    named = store or serving_of(config).store
    if key is None and named is None:
        raise ConfigError("what signs?", "give --key FILE (`recommender keys pair` makes one), or --store")
    folder = resolve(model)
    signing = None if key is None else read_private_key(key)
    with ExitStack() as stack:
        opened = None
        if named is not None:
            opened = stack.enter_context(opened_store(named, master_key, config, signs=True))
        signing = signing or (opened.audit.signing if opened is not None else None)
        assert signing is not None
        with locked(folder, "signing"):
            facts = signed(folder, signing)
        if opened is not None:
            opened.audit.add("sign", {"caller": "command line", "checkpoint": folder.name, MANIFEST: facts["manifest"]})
    print_facts({"signed": str(folder), **facts}, as_json)
