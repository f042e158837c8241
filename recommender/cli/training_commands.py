"""Train: from two tables to a checkpoint, and from one checkpoint to the next."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recommender.adapters.shipped import MANIFEST
from recommender.adapters.vouching import file_digest
from recommender.cli import early_checks
from recommender.cli.inputs import changes_of, check_parts_at_hand, config_of, read_recipe, vector_files
from recommender.cli.launching import start_all_processes
from recommender.cli.options import AsJson, Checkpoint, ConfigFile, Items, Model, Quiet, Settings
from recommender.cli.output import print_rows
from recommender.cli.stopping import stoppable
from recommender.cli.store_options import LogStore, MasterKey, audited
from recommender.data.paths import check_table
from recommender.errors import ConfigError
from recommender.progress import is_main_process
from recommender.strict.json_documents import json_text

if TYPE_CHECKING:
    from recommender.baselines.fusion.weights import FittedFusion
    from recommender.config import Config


def train(
    config: ConfigFile,
    output: Checkpoint,
    settings: Settings = None,
    start: Annotated[
        str | None, typer.Option(help="a checkpoint of the same items whose ranking is trained further")
    ] = None,
    from_stage: Annotated[
        int, typer.Option(help="with --start: the first stage of the recipe that is still to be trained", min=1)
    ] = 1,
    store: LogStore = None,
    master_key: MasterKey = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a checkpoint from two tables, or its ranking further.

    A run that was stopped or killed goes on where it was when it is started again. A store that --store or the recipe names
    gets rows of it in its audit log.
    """
    if start is None and from_stage != 1:
        raise ConfigError("--from-stage names a stage of a training that goes on", "name its checkpoint: --start MODEL")
    recipe = read_recipe(config, settings)  # first: what trains takes seconds to import
    with stoppable():
        start_all_processes()
    from recommender.pipelines.continued import continue_ranking
    from recommender.pipelines.train import train as train_checkpoint
    from recommender.progress import progress_bars

    learned = learning_facts(recipe, output)
    if start is not None:
        with audited(store, master_key, "train", learned, recipe.serving) as made, stoppable():
            with progress_bars(quiet) as progress:
                stages = continue_ranking(start, recipe, output, from_stage, progress)
            made["manifest"] = _made(output)
        if is_main_process():
            print_rows([asdict(stage) for stage in stages], f"trained: {output}", as_json)
        return
    told = shlex.join([str(config), *(part for text in settings or [] for part in ("--set", text))])
    with audited(store, master_key, "train", learned, recipe.serving) as made, stoppable():
        with progress_bars(quiet) as progress:
            result = train_checkpoint(recipe, output, progress, recipe=told)
        made["manifest"] = _made(output)
    if is_main_process():
        print_rows([asdict(stage) for stage in result.stages], f"trained: {output}", as_json)


def extend(
    model: Model,
    items: Annotated[
        str,
        typer.Option(
            help="items table with the known items and new ones, in any order", callback=early_checks.items_table
        ),
    ],
    output: Checkpoint,
    times: Annotated[
        float,
        typer.Option(help="how often a new item has a place in a list of ten: times as often as a known one", min=0),
    ] = 2.0,
    interactions: Annotated[
        str | None,
        typer.Option(
            help="histories that lists are judged by; default: those of the recipe, if at hand",
            callback=early_checks.interactions_table,
        ),
    ] = None,
    vectors: Annotated[
        list[str] | None,
        typer.Option(help="MODALITY=FILE: given vectors of the new items; default: the file of the recipe"),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Add new items to a checkpoint without training.

    They are encoded, given codes and rows, and can be ranked at once.
    """
    from recommender.model.checkpoint import resolve, save_pretrained
    from recommender.model.manifest import claimed
    from recommender.pipelines.extend import load_extended
    from recommender.pipelines.extend_listening import tuned_file
    from recommender.progress import progress_bars

    files = vector_files(vectors or [])
    with progress_bars(quiet) as progress, claimed(output, "extend"):
        extended = load_extended(model, items, progress, times=times, interactions=interactions, vectors=files)
        extended.metrics |= {"name": output.name, "path": output.as_posix()}
        save_pretrained(extended, output, tuned_file(resolve(model), extended))
    row = {"items": len(extended.catalogue), "new": extended.metrics["extended_by"]}
    row["share of lists"] = extended.metrics.get("new_items_share")  # none where items share codes
    print_rows([row], f"extended: {output}", as_json)


def fuse(
    model: Model,
    baselines: Annotated[list[str], typer.Argument(help="item-to-item baselines, for example ease-decay")],
    output: Checkpoint,
    gate: Annotated[bool, typer.Option("--gate", help="weights that depend on the history")] = False,
    items: Items = None,
    store: LogStore = None,
    master_key: MasterKey = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fit baselines that rank together with a checkpoint.

    The weights are fitted on validation targets. The new checkpoint ranks with them unless `decoding.fused` is off.
    With --gate they depend on the length of a history, on how often its items, and the last of them, were taken,
    and on whether the scorers agree.
    """
    check_parts_at_hand(model, items)
    check_table(config_of(None, [model]).data.interactions, "interactions")
    from recommender.baselines.item_tables import check_storable

    check_storable(baselines)  # before what takes seconds to import
    from recommender.pipelines.fuse import fuse_checkpoint
    from recommender.progress import progress_bars

    learned = learning_facts(config_of(None, [model]), output) | {"baselines": list(baselines)}
    with audited(store, master_key, "train", learned) as made:
        with progress_bars(quiet) as progress:
            fused = fuse_checkpoint(model, baselines, output, items, progress, gated=gate)
        made["manifest"] = _made(output)
    rows = _weight_rows(fused)
    print_rows(rows, f"weights, fitted in {fused.fit_seconds:.0f} s: {output}", as_json)


def configure(
    model: Model,
    settings: Settings = None,
    output: Annotated[
        Path | None,
        typer.Option(help="folder for a copy of the checkpoint; default: changed in place, if it does not ship"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change settings of a trained checkpoint; its weights stay.

    They are those of decoding, justify, serving and update, and of the prompt how much of a history it holds and spells out.
    What was measured and fitted for the checkpoint was so with the former ones.
    """
    changes = changes_of(settings)
    from recommender.pipelines.configure import configure as rewrite

    rows = [{"key": key, "value": json_text(value)} for key, value in rewrite(model, changes, output).items()]
    print_rows(rows, f"configured: {output or model}", as_json)


def shrink(
    model: Model,
    layers: Annotated[int, typer.Option(help="how many of its ranking layers stay, the first ones", min=1)],
    output: Checkpoint,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="a recipe whose stages rank and data are used; default: the checkpoint's own"),
    ] = None,
    settings: Settings = None,
    epochs: Annotated[
        float, typer.Option(help="most epochs without --config; those with the best validation count", min=0.001)
    ] = 4.0,
    weight: Annotated[
        float, typer.Option(help="share of the whole model's softmax in the loss; the rest is what came", min=0, max=1)
    ] = 0.5,
    store: LogStore = None,
    master_key: MasterKey = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a checkpoint smaller: fewer layers rank.

    They are distilled from all of them: they learn what the whole model expected at each interaction, over all items, beside
    what really came. Items, writing and listening stay. A run that was stopped or killed goes on when it is started again.
    """
    recipe = None
    if config is not None:
        recipe = read_recipe(config, settings)
    elif settings:
        raise ConfigError("--set changes a recipe, and none is named", "name one with --config, or leave --set out")
    check_parts_at_hand(model, None if recipe is None else str(recipe.data.items))
    used = recipe or config_of(None, [model])
    check_table(used.data.interactions, "interactions")
    with stoppable():
        start_all_processes()
    from recommender.pipelines.shrink import Shrinking
    from recommender.pipelines.shrink import shrink as shrink_checkpoint
    from recommender.progress import progress_bars

    learned = learning_facts(used, output) | {"made from": model, "layers": layers}
    serving = None if recipe is None else recipe.serving  # a checkpoint may be a stranger's
    with audited(store, master_key, "train", learned, serving) as made, stoppable():
        with progress_bars(quiet) as progress:
            stages = shrink_checkpoint(model, Shrinking(layers, epochs, weight), output, recipe, progress)
        made["manifest"] = _made(output)
    if is_main_process():
        print_rows([asdict(stage) for stage in stages], f"made smaller: {output}", as_json)


def _weight_rows(fused: FittedFusion) -> list[dict[str, Any]]:
    """Return a row a scorer: its weights and, with a gate, what each feature adds to that of its standard score."""
    from recommender.baselines.fusion.gate import FEATURES

    rows = []
    for name, (score_weight, rank_weight) in fused.weights.items():
        row: dict[str, Any] = {"scorer": name, "standard score": score_weight, "log rank": rank_weight}
        if fused.gate is not None:
            row |= dict(zip(FEATURES, fused.gate.slopes[name][0].tolist(), strict=True))
        rows.append(row)
    return rows


def learning_facts(config: Config, output: Path) -> dict[str, Any]:
    """Return what the audit log says of a training: the digests of the config and of the table of interactions."""
    table = Path(config.data.interactions)
    return {
        "checkpoint": output.name,
        "recipe": hashlib.sha256(config.to_yaml().encode()).hexdigest(),
        "interactions": file_digest(table) if table.is_file() else None,
    }


def _made(output: Path) -> str | None:
    """Return the digest of the manifest of what was made; of several processes one writes it and knows."""
    return file_digest(output / MANIFEST) if is_main_process() else None
