"""The command line: parses, calls, prints. Results go to standard output, progress and logs to standard error."""

from __future__ import annotations

import logging
import platform
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from recommender.cli import (
    bench_commands,
    chat_command,
    justification_commands,
    question_commands,
    serving_commands,
    study_commands,
)
from recommender.cli.shared import (
    AsJson,
    ConfigFile,
    FeedbackFile,
    History,
    Items,
    Model,
    Query,
    Quiet,
    Settings,
    Trace,
    User,
    config_of,
    err,
    out,
    print_json,
    print_table,
    read_config,
    split_ids,
)
from recommender.errors import RecommenderError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(study_commands.app, name="study")
serving_commands.add_to(app)
app.add_typer(bench_commands.app, name="bench")
app.add_typer(justification_commands.app, name="reasons")
app.command()(chat_command.chat)
question_commands.add_to(app)


def main() -> None:
    """Run the command line; a wrong input ends in one clear line and exit code 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        app()
    except RecommenderError as error:
        err.print(Text(f"error: {error.message}"), soft_wrap=True)
        if error.hint:
            err.print(Text(f"hint: {error.hint}"), soft_wrap=True)
        sys.exit(2)
    except BrokenPipeError:  # whoever read the output has enough
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        err.print(Text(f"error: {error.filename or 'a file'}: {error.strerror or error}"), soft_wrap=True)
        sys.exit(2)


@app.command()
def demo(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Recommend films to a real user of MovieLens-100K, from raw media to checked reasons."""
    from recommender.cli.terminal import demo_data, demo_view
    from recommender.pipelines.demo import run_demo
    from recommender.progress import progress_bars

    with progress_bars(quiet) as progress:
        shown = run_demo(progress)
    if as_json:
        print_json(demo_data(shown))
    else:
        out.print(demo_view(shown), highlight=False)


@app.command()
def validate(
    items: Annotated[str, typer.Option(help="items table, or the name of an embedded data set")],
    interactions: Annotated[str | None, typer.Option(help="interactions table")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="a YAML file with data.columns")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check two tables and their media; reports every bad row. Exit code 2 if there are errors."""
    from recommender.config import Config
    from recommender.data.checks import validate as check
    from recommender.progress import progress_bars

    columns = (Config.load(config) if config else Config()).data.columns
    with progress_bars(quiet or as_json) as progress:
        report = check(items, interactions, columns, progress=progress)
    if as_json:
        print_json(report.to_dict())
    else:
        out.print(Text(report.render()), soft_wrap=True)
    raise typer.Exit(0 if report.ok else 2)


@app.command()
def encode(config: ConfigFile, settings: Settings = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Run the frozen encoders over all items, and the views that training takes of them, and fill their cache."""
    from recommender.encoders.pipeline import encode_views
    from recommender.pipelines import train
    from recommender.progress import progress_bars

    settings_ = read_config(config, settings)
    with progress_bars(quiet) as progress:
        prepared = train.prepare(settings_, progress)
        encode_views(prepared.catalogue, settings_.encoders, prepared.features, progress)
    features = prepared.features
    rows = [
        {
            "modality": m,
            "items": int(features.present[m].sum()),
            "absent": int((~features.present[m]).sum()),
            "width": v.shape[1],
        }
        for m, v in features.vectors.items()
    ]
    print_table(rows, "items encoded", as_json)


@app.command()
def tokenize(config: ConfigFile, settings: Settings = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Give every item its semantic id; report collisions, code use and what the codes of the first level mean."""
    from dataclasses import asdict

    from recommender.cli.terminal import meaning_rows
    from recommender.pipelines import train
    from recommender.progress import progress_bars
    from recommender.semantic_ids.codes import SemanticIds

    settings_ = read_config(config, settings)
    with progress_bars(quiet) as progress:
        prepared = train.prepare(settings_, progress)
    ids = SemanticIds.build(settings_.semantic_ids, prepared.features, len(prepared.catalogue), settings_.seed)
    report = asdict(ids.report())
    # with one level a code is an item, whose meaning its own title tells
    meanings = ids.describe(prepared.catalogue, level=0) if ids.levels > 1 else {}
    if as_json:
        print_json(report | {"meanings": [asdict(meaning) for meaning in meanings.values()]})
        return
    levels = [{"level": n, **level} for n, level in enumerate(report.pop("levels"), start=1)]
    out.print(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in report.items()))
    print_table(levels, "use of the codes", False)
    if meanings:
        print_table(meaning_rows(list(meanings.values())), "what the codes of the first level mean", False)


@app.command()
def train(
    config: ConfigFile,
    output: Annotated[Path, typer.Option(help="the checkpoint folder to write")],
    settings: Settings = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train from two tables to a checkpoint. Killed and started again, it goes on where it was."""
    from dataclasses import asdict

    from recommender.pipelines import train
    from recommender.progress import progress_bars

    with progress_bars(quiet) as progress:
        result = train.train(read_config(config, settings), output, progress, recipe=str(config))
    print_table([asdict(stage) for stage in result.stages], f"trained: {output}", as_json)


@app.command()
def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            help="baselines (NAME or NAME:KEY=VALUE), checkpoint folders, FOLDER+BASELINE to fuse, NAME=FOLDER,FOLDER for"
            " runs of one recipe"
        ),
    ],
    output: Annotated[Path, typer.Option(help="folder for report.html, metrics.json and the parquet tables")],
    config: Annotated[Path | None, typer.Option("--config", help="a YAML file: its data and encoders are used")] = None,
    items: Annotated[str | None, typer.Option(help="items table; default: the first checkpoint's")] = None,
    interactions: Annotated[
        str | None, typer.Option(help="interactions table; default: the first checkpoint's")
    ] = None,
    test: Annotated[str | None, typer.Option(help="targets: user_id, item_id; default: held out by --split")] = None,
    split: Annotated[
        str, typer.Option(help="what is held out: leave-one-out, time (the last tenth), folds (over users)")
    ] = "leave-one-out",
    folds: Annotated[int, typer.Option(help="number of folds of --split folds")] = 5,
    seeds: Annotated[str, typer.Option(help="fit every baseline once a seed, for example 0,1,2")] = "0",
    attribute: Annotated[
        str | None, typer.Option(help="what diversity and calibration go by; default: genres or the like")
    ] = None,
    users: Annotated[int | None, typer.Option(help="evaluate an even sample of this many users", min=1)] = None,
    record: Annotated[bool, typer.Option(help="write the table into the cards of the checkpoints")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank the whole catalogue for every user and compare models and baselines in one table."""
    from recommender.eval.report import as_json as plain
    from recommender.eval.report import for_card, table
    from recommender.model import checkpoint
    from recommender.progress import progress_bars
    from recommender.studies import comparison
    from recommender.studies.entries import folders_of, parse_entries, parse_seeds

    options = comparison.EvaluationOptions(split, folds, users, fit_seeds=parse_seeds(seeds), attribute=attribute)
    folders = folders_of(parse_entries(models))
    recipe = config_of(config, folders)
    with progress_bars(quiet) as progress:
        evaluation = comparison.evaluate(
            models,
            items,
            interactions,
            test=test,
            output=output,
            options=options,
            config=recipe,
            progress=progress,
        )
    for folder in dict.fromkeys(folders) if record else ():
        checkpoint.record(folder, "ranking", for_card(evaluation))
    if as_json:
        print_json(plain(evaluation))
    else:
        out.print(table(evaluation))


@app.command()
def ratings(
    output: Annotated[Path, typer.Option(help="folder for report.html, metrics.json and predictions.parquet")],
    config: Annotated[Path | None, typer.Option("--config", help="a YAML file: its data and encoders are used")] = None,
    items: Annotated[str | None, typer.Option(help="items table; default: the config's")] = None,
    interactions: Annotated[str | None, typer.Option(help="table with ratings; default: the config's")] = None,
    features: Annotated[
        str, typer.Option(help="of text, tfidf, image, mfcc, whisper; what no item has is left out")
    ] = "text,image,mfcc",
    likes: Annotated[float, typer.Option(help="a user likes what is rated so or higher")] = 4.0,
    sample: Annotated[int, typer.Option(help="draw whole users until so many ratings; 0: all of them")] = 15_000,
    folds: Annotated[int, typer.Option(help="folds of the stratified cross-validation")] = 5,
    imputation: Annotated[str, typer.Option(help="of missing features: knn, mean or zero")] = "knn",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Predict ratings from text, image, sound and ratings of others; compare six fusions, two classifiers, floors."""
    from recommender.config import Config
    from recommender.pipelines.train import load_catalogue
    from recommender.progress import progress_bars
    from recommender.studies.ratings import RatingsSettings, rating_study
    from recommender.studies.ratings.rating_report import as_json as plain
    from recommender.studies.ratings.rating_report import table, write_report

    read = Config.load(config) if config else Config()
    places = {"data.items": items or read.data.items, "data.interactions": interactions or read.data.interactions}
    read = read.updated(places)
    chosen = RatingsSettings.parse(
        seed=read.seed,
        features=split_ids(features),
        likes=likes,
        sample=sample or None,
        folds=folds,
        imputation=imputation,
    )
    with progress_bars(quiet) as progress:
        result = rating_study(load_catalogue(read, progress), read.data.interactions, read, chosen, progress)
    write_report(result, output)
    if as_json:
        print_json(plain(result))
    else:
        out.print(table(result))


@app.command()
def recommend(
    model: Model,
    history: History = "",
    k: Annotated[int, typer.Option(min=1)] = 10,
    exclude: Annotated[str, typer.Option(help="item ids never to recommend")] = "",
    only: Annotated[str, typer.Option(help="the only item ids to recommend; default all")] = "",
    query: Query = None,
    items: Items = None,
    explain: Annotated[bool, typer.Option(help="justify each item")] = True,
    fused: Annotated[
        bool | None, typer.Option(help="rank together with the baselines in the checkpoint; default: its config")
    ] = None,
    trace: Trace = None,
    feedback: FeedbackFile = None,
    user: User = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank items for a history and justify them."""
    from recommender.cli.terminal import ranking_table
    from recommender.engine import Recommender, request
    from recommender.engine.trace import save, trace_of
    from recommender.progress import progress_bars

    lists = {"history": split_ids(history), "exclude": split_ids(exclude), "only": split_ids(only) or None}
    asked = request(k=k, query=query, explain=explain, fused=fused, trace=trace is not None, user=user, **lists)
    with progress_bars(quiet) as progress:
        engine = Recommender.from_pretrained(model, items, progress)
    if feedback is not None:
        engine.feedback_policy.keep_in(feedback)
    response = engine.answer(asked)
    if trace is not None:
        save(trace_of(engine, asked, response.items), trace)
    if as_json:
        print_json(response.to_dict())
        return
    for note in response.notes:
        err.print(note)
    out.print(ranking_table(response.items), highlight=False)


@app.command()
def export(
    model: Model,
    target: Annotated[Path, typer.Argument(help="the folder to write")],
    to: Annotated[Literal["transformers", "vllm"], typer.Option(help="what shall read it")] = "transformers",
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Merge LoRA, item rows and soft tokens into plain models; they are reloaded and compared before they are kept."""
    from dataclasses import asdict

    from recommender.export.merge import merge
    from recommender.export.vllm_folder import export_vllm
    from recommender.model.checkpoint import from_pretrained
    from recommender.progress import progress_bars

    write = {"transformers": merge, "vllm": export_vllm}[to]
    with progress_bars(quiet) as progress:
        report = asdict(write(from_pretrained(model, items, progress), target, progress))
    if as_json:
        print_json(report)
    else:
        print_table([report], f"written for {to}: {target}", False)


@app.command()
def extend(
    model: Model,
    items: Annotated[str, typer.Option(help="items table with the known items and new ones, in any order")],
    output: Annotated[Path, typer.Option(help="the checkpoint folder to write")],
    times: Annotated[
        float,
        typer.Option(help="how often a new item has a place in a list of ten: times as often as a known one", min=0),
    ] = 2.0,
    interactions: Annotated[
        str | None, typer.Option(help="histories that lists are measured on; default: those of the recipe, if at hand")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Add new items to a trained model: they are encoded, given codes and rows, and can be ranked without training."""
    from recommender.model.checkpoint import save_pretrained
    from recommender.model.manifest import check_target
    from recommender.pipelines.extend import load_extended
    from recommender.progress import progress_bars

    check_target(output)
    with progress_bars(quiet) as progress:
        extended = load_extended(model, items, progress, times=times, interactions=interactions)
        extended.metrics |= {"name": output.name, "path": output.as_posix()}
        save_pretrained(extended, output)
    told = {"items": len(extended.catalogue), "new": extended.metrics["extended_by"]}
    told["share of lists"] = extended.metrics.get("new_items_share")  # none where items share codes
    print_table([told], f"extended: {output}", as_json)


@app.command()
def fuse(
    model: Model,
    baselines: Annotated[list[str], typer.Argument(help="item-to-item baselines, for example ease-decay")],
    output: Annotated[Path, typer.Option(help="the checkpoint folder to write")],
    items: Items = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fit baselines that rank together with a model, weights on validation alone; served unless `decoding.fused` is off."""
    from recommender.pipelines.fuse import fuse_checkpoint
    from recommender.progress import progress_bars

    with progress_bars(quiet) as progress:
        fused = fuse_checkpoint(model, baselines, output, items, progress)
    rows = [{"scorer": n, "standard score": a, "log rank": b} for n, (a, b) in fused.weights.items()]
    print_table(rows, f"weights, fitted in {fused.fit_seconds:.0f} s: {output}", as_json)


@app.command()
def env(as_json: AsJson = False) -> None:
    """Print versions, hardware and cached assets, for bug reports."""
    import torch

    from recommender import assets
    from recommender.model import resolve_dtype
    from recommender.model.checkpoint import package_versions

    facts: dict[str, Any] = {"python": platform.python_version(), "system": platform.platform()}
    facts |= package_versions()
    facts |= {
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.is_available(),
        "dtype": str(resolve_dtype("auto")),
    }
    facts["cache"] = str(assets.cache_dir())
    facts |= {f"asset {a.name}": "cached" if a.cached else f"not fetched ({a.megabytes} MB)" for a in assets.describe()}
    if as_json:
        print_json(facts)
    else:
        print_table([{"": name, "value": str(value)} for name, value in facts.items()], None, False)
