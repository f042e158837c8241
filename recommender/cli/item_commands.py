"""Add items to a model; say which are out of stock."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from recommender.cli import early_checks
from recommender.cli.inputs import split_list
from recommender.cli.options import AsJson, Model, Quiet
from recommender.cli.output import print_facts
from recommender.cli.store_options import MasterKey, StoreConfig, Where, opened_store
from recommender.errors import DataError

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command()
def add(
    model: Model,
    items: Annotated[Path, typer.Option(help="table of the new items alone", callback=early_checks.input_file)],
    times: Annotated[
        float, typer.Option(help="how often a new item is listed: times as often as a known one", min=0)
    ] = 2.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Add items to a checkpoint in its place, without training.

    The table is written as the model's own is; media lie below the folder of that one. The version before is kept: see
    `recommender update rollback`. A server takes the new one up by itself or by a signal.
    """
    from recommender.adapters.shipped import resolve
    from recommender.config import Config
    from recommender.data.catalogue import Catalogue
    from recommender.pipelines.add_items import add_items
    from recommender.progress import progress_bars

    config = Config.load(resolve(model) / "config.yaml")
    new = Catalogue.load(str(items), config.data.model_copy(update={"facts": None}))
    with progress_bars(quiet) as progress:
        added = add_items(model, list(new), progress, times)
    print_facts(asdict(added) | {"ids": list(added.ids)}, as_json)


@app.command()
def stock(
    model: Model,
    out: Annotated[str, typer.Option(help="ids of items that are not to be listed for now, with commas")] = "",
    back: Annotated[str, typer.Option(help="ids of items that may be listed again, with commas")] = "",
    store: Where = None,
    master_key: MasterKey = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Say which items are out of stock, and which are back.

    Servers on the store follow within a second. Without --out and --back it shows what is out.
    """
    from recommender.model.checkpoint import item_ids_of

    gone, returned = split_list(out) if out else [], split_list(back) if back else []
    known = item_ids_of(model)
    unknown = [item for item in (*gone, *returned) if known is not None and item not in set(known)]
    if unknown:
        raise DataError(f"{model} knows no item {unknown[0]!r}", "nothing was changed; give ids of its items")
    if both := set(gone) & set(returned):
        raise DataError(f"item {min(both)!r} cannot be out and back at once", "leave it out of one of them")
    changes = bool(gone or returned)
    with opened_store(store, master_key, config, make=changes, signs=changes) as opened:
        if changes:
            opened.stock.change(gone, returned)
            opened.audit.add("stock", {"caller": "command line", "out": len(gone), "back": len(returned)})
        print_facts({"out of stock": sorted(opened.stock.out())}, as_json)
