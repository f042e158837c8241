"""Commands that answer many: `batch` for files, `serve` over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recommender.cli.shared import AsJson, Items, Model, Quiet, err, print_table

if TYPE_CHECKING:
    from recommender.config import ServingConfig

RankUrl = Annotated[str | None, typer.Option(help="join a vLLM server that ranks, instead of starting one")]
WriteUrl = Annotated[str | None, typer.Option(help="join a vLLM server that writes")]
VllmFlags = Annotated[
    str, typer.Option("--vllm", help='flags for vLLM as they are, e.g. "--tensor-parallel-size=2 --dtype=bfloat16"')
]
EngineName = Annotated[str, typer.Option("--engine", help="embedded, or vllm (see docs/serving.md)")]


def batch(
    model: Model,
    source: Annotated[Path, typer.Option("--input", help="requests, .jsonl or .parquet; `vllm run-batch` lines too")],
    output: Annotated[Path, typer.Option(help="the answers, .jsonl or .parquet; killed and started again, it goes on")],
    engine: EngineName = "embedded",
    workers: Annotated[int, typer.Option(min=1, help="processes of the embedded engine, connections to vLLM")] = 1,
    items: Items = None,
    rank_url: RankUrl = None,
    write_url: WriteUrl = None,
    vllm: VllmFlags = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Answer a file of requests: order kept, one line each, errors too."""
    from recommender.batch import BatchOptions, run_batch
    from recommender.progress import progress_bars

    options = BatchOptions(engine, workers, items, _engine_options(engine, rank_url, write_url, vllm))
    with progress_bars(quiet) as progress:
        report = run_batch(model, source, output, options, progress)
    print_table([asdict(report)], f"written: {output}", as_json)


def serve(
    model: Model,
    engine: EngineName = "embedded",
    name: Annotated[str | None, typer.Option(help="what clients call the model; default: the folder's name")] = None,
    host: Annotated[str | None, typer.Option(help="default: 127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="default: 8000; 0: any free one")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="override a limit: KEY=VALUE, for example waiting=64")
    ] = None,
    feedback: Annotated[str | None, typer.Option(help="file that /v1/feedback adds to; default: none is kept")] = None,
    items: Items = None,
    rank_url: RankUrl = None,
    write_url: WriteUrl = None,
    vllm: VllmFlags = "",
    quiet: Quiet = False,
) -> None:
    """Serve over HTTP: /v1/recommendations, /v1/chat/completions, /v1/feedback, /v1/models, /healthz, /metrics, /docs."""
    from recommender.engine import open_engine
    from recommender.progress import progress_bars
    from recommender.server.app import create_app
    from recommender.server.uvicorn_server import run_server

    options = _engine_options(engine, rank_url, write_url, vllm)
    with progress_bars(quiet) as progress:
        opened = open_engine(engine, model, items, progress, **options)
    for part, address in opened.addresses().items():  # adapters are loaded and unloaded there
        err.print(f"{part}: {address}", highlight=False)
    try:
        limits = _limits(opened.config.serving, settings, {"host": host, "port": port, "feedback": feedback})
        run_server(create_app(opened, name or Path(model).resolve().name, limits), limits)
    finally:
        opened.close()


def _engine_options(engine: str, rank_url: str | None, write_url: str | None, flags: str) -> dict[str, Any]:
    import shlex

    from recommender.errors import ConfigError

    given = {"rank_url": rank_url, "write_url": write_url, "flags": tuple(shlex.split(flags))}
    options = {name: value for name, value in given.items() if value}
    if options and engine != "vllm":
        raise ConfigError(f"--engine {engine} has no {', '.join(options)}", "add --engine vllm")
    return options


def _limits(limits: ServingConfig, settings: list[str] | None, options: dict[str, Any]) -> ServingConfig:
    from recommender.config import Config
    from recommender.errors import ConfigError

    changes = {f"serving.{key}": value for key, value in options.items() if value is not None}
    for text in settings or []:
        key, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"--set {key}: expected KEY=VALUE", "for example --set waiting=64")
        changes[f"serving.{key}"] = value
    return Config(serving=limits).updated(changes, "--set").serving


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(batch)
    app.command()(serve)
