"""Serve: answers over HTTP, answers to a file of requests, models for other programs."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from recommender.adapters.shipped import MANIFEST, check_target, manifest_digest, resolve
from recommender.adapters.vouching import file_digest, trust
from recommender.cli import early_checks
from recommender.cli.cluster_options import On, RayAddress, WorkerCpus, WorkerGpus, opened_cluster
from recommender.cli.inputs import check_parts_at_hand, config_of, engine_options, split_pair
from recommender.cli.options import AsJson, Bits, Items, Model, Quiet
from recommender.cli.output import print_json, print_note, print_plain_note, print_rows
from recommender.cli.stopping import stoppable
from recommender.cli.store_options import LogStore, MasterKey, TellStore, audited, opened_store
from recommender.errors import ConfigError, DataError
from recommender.export import ITEMS, MARKER
from recommender.files import is_folder

if TYPE_CHECKING:
    from recommender.config import ServingConfig
    from recommender.progress import Progress

RankUrl = Annotated[str | None, typer.Option(help="join a vLLM server that ranks, instead of starting one")]
WriteUrl = Annotated[str | None, typer.Option(help="join a vLLM server that writes")]
ListenUrl = Annotated[str | None, typer.Option(help="join a vLLM server that listens to conversations")]
VllmFlags = Annotated[str, typer.Option("--vllm", help='flags for vLLM as they are, for example "--dtype=bfloat16"')]
EngineName = Annotated[
    str,
    typer.Option("--engine", help="embedded, or vllm (see docs/serving.md)", callback=early_checks.engine_name),
]
SERVER_MODULES = ("fastapi", "uvicorn", "prometheus_client", "prometheus_fastapi_instrumentator", "sse_starlette")
"""What only the server needs: the extra `server`."""
SPLIT = "split it, for example: split --lines 10000 --additional-suffix .jsonl FILE FOLDER/part-"


def serve(
    model: Model,
    engine: EngineName = "embedded",
    name: Annotated[str | None, typer.Option(help="what clients call the model; default: the folder's name")] = None,
    host: Annotated[str | None, typer.Option(help="default: 127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="default: 8000; 0: any free one")] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="a YAML file: its section serving stands in the place of the checkpoint's",
            callback=early_checks.input_file,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="override a limit: KEY=VALUE, for example waiting=64")
    ] = None,
    feedback: Annotated[str | None, typer.Option(help="file that /v1/feedback adds to; default: none is kept")] = None,
    store: Annotated[
        str | None, typer.Option(help="database of people, keys and the audit log: a path or postgresql+psycopg://...")
    ] = None,
    master_key: Annotated[
        str | None, typer.Option(help="what opens the store: a file or command:...; default: RECOMMENDER_MASTER_KEY")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="answer everybody without keys, beyond this machine too")
    ] = False,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="a name of this server beside localhost and its addresses; repeatable")
    ] = None,
    allowed_origin: Annotated[
        list[str] | None, typer.Option(help="an origin whose pages may ask this server; repeatable")
    ] = None,
    items: Items = None,
    bits: Bits = None,
    rank_url: RankUrl = None,
    write_url: WriteUrl = None,
    listen_url: ListenUrl = None,
    vllm: VllmFlags = "",
    quiet: Quiet = False,
) -> None:
    """Serve recommendations and chat over HTTP, with a page at /.

    /v1/recommendations, /v1/chat/completions (as the OpenAI client speaks it), /v1/feedback, /v1/models, /healthz,
    /readyz, /metrics, and /docs for all of them. Beyond this machine it asks for keys: see `recommender keys`.
    """
    options = engine_options(engine, bits, vllm, rank_url=rank_url, write_url=write_url, listen_url=listen_url)
    given: dict[str, Any] = {"host": host, "port": port, "feedback": feedback, "store": store, "master_key": master_key}
    given |= {"insecure": insecure or None}
    given |= {"allowed_hosts": allowed_host, "allowed_origins": allowed_origin}
    trust(dict(split_pair("--set", text, "waiting=64") for text in settings or []).get("checkpoint_key"), instead=True)
    limits = served_limits(config_of(config, [model]).serving, settings, given)
    trust(limits.checkpoint_key)
    check_parts_at_hand(model, items)
    if limits.feedback is not None:
        early_checks.kept_feedback(Path(limits.feedback))
    from recommender.errors import import_extra
    from recommender.progress import progress_bars
    from recommender.server.listening import reserved

    with reserved(limits.host, limits.port) as sockets:  # before what takes seconds to import
        for module in SERVER_MODULES:
            import_extra(module, "recommender serve", "server")
        from recommender.engine import Engine, open_engine
        from recommender.pipelines.left_out import NamedStore
        from recommender.server.app import create_app
        from recommender.server.guarding import is_local, open_store
        from recommender.server.http_metrics import HttpMetrics
        from recommender.server.new_items import add_to_model
        from recommender.server.uvicorn_server import run_server
        from recommender.server.versions import Version, Versions

        kept = open_store(limits)  # what is wrong with it is said before a model is loaded
        local, metrics, called = is_local(limits.host), HttpMetrics(), name or Path(model).resolve().name

        def opened_version(before: Engine | None, progress: Progress | None = None) -> Version:
            state = manifest_digest(model)  # first: what changes while it is loaded is another version
            opened = open_engine(engine, model, items, progress, before, **options)
            return Version(opened, create_app(opened, called, limits, kept, local, metrics), state)

        with progress_bars(quiet) as progress:
            first = opened_version(None, progress)
        # an export holds no trainable parts, and a table that was named here is not the checkpoint's
        named = None if limits.store is None else NamedStore(limits.store, limits.master_key)
        adding = partial(add_to_model, model, named) if engine == "embedded" and items is None else None
        versions = Versions(first, opened_version, lambda: manifest_digest(model), limits.reload_seconds, adding)
        try:
            if limits.insecure and not local:
                print_note("INSECURE: this server answers everybody who can reach it, without asking for keys")
            for part, address in first.engine.addresses().items():  # adapters are loaded and unloaded there
                print_note(f"{part}: {address}")
            print_plain_note(first.engine)
            run_server(versions, limits, sockets)
        finally:
            versions.current.engine.close()
            if kept is not None:
                kept.close()


def batch(
    model: Model,
    source: Annotated[
        Path,
        typer.Option(
            "--input",
            help="requests, .jsonl or .parquet, or a folder of such parts; `vllm run-batch` lines too",
            callback=early_checks.request_file,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            help="the answers, .jsonl or .parquet, or a folder for those of parts; killed and started again, it goes on",
            callback=early_checks.answer_file,
        ),
    ],
    engine: EngineName = "embedded",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="processes of the embedded engine, connections to vLLM, or workers of --on ray"),
    ] = None,
    items: Items = None,
    bits: Bits = None,
    rank_url: RankUrl = None,
    write_url: WriteUrl = None,
    listen_url: ListenUrl = None,
    vllm: VllmFlags = "",
    on: On = "here",
    ray_address: RayAddress = None,
    worker_cpus: WorkerCpus = None,
    worker_gpus: WorkerGpus = None,
    store: TellStore = None,
    master_key: MasterKey = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Answer a file of requests, or a folder of parts.

    Answers keep its order, one line each, errors too. A run that was killed goes on where it was.
    """
    chosen = engine_options(engine, bits, vllm, rank_url=rank_url, write_url=write_url, listen_url=listen_url)
    check_parts_at_hand(model, items)
    if on == "ray" and not is_folder(source):
        raise DataError(f"{source}: is one file, and --on ray answers the parts of a folder", SPLIT)
    if store is not None:
        with opened_store(store, master_key, None) as opened:
            from recommender.batch.registering import register_answers

            register_answers(opened.holdings, source, output)
    lines = file_digest(source) if source.is_file() else None
    facts = {"input": lines, "output": output.name, "manifest": file_digest(resolve(model) / MANIFEST)}
    with (
        audited(store, master_key, "batch", facts),
        stoppable(),
        opened_cluster(on, ray_address, workers, worker_cpus, worker_gpus) as cluster,
    ):
        from recommender.batch import BatchOptions, run_batch, run_parts
        from recommender.progress import progress_bars

        options = BatchOptions(engine, workers or 1, items, chosen)
        with progress_bars(quiet) as progress:
            if not is_folder(source):
                report: Any = run_batch(model, source, output, options, progress)
            else:
                report = run_parts(model, source, output, options, progress, cluster)
    if not is_folder(source):
        print_rows([asdict(report)], f"written: {output}", as_json)
        return
    for note in report.notes:
        print_note(note)
    print_rows([report.counts()], f"written: {output}", as_json)
    report.raise_failures()


def export(
    model: Model,
    target: Annotated[Path, typer.Argument(help="the folder to write")],
    to: Annotated[Literal["transformers", "vllm"], typer.Option(help="what shall read it")] = "transformers",
    full_precision: Annotated[
        bool, typer.Option("--full-precision", help="onto the base in float32, also if it was trained on one of 4 bits")
    ] = False,
    bits: Annotated[
        Literal["16", "8"], typer.Option(help="with --to vllm: 8 writes the matrices of what ranks as 8-bit integers")
    ] = "16",
    items: Items = None,
    store: LogStore = None,
    master_key: MasterKey = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write plain models that transformers or vLLM can load.

    LoRA, item rows and soft tokens are merged; the result is loaded again and compared before it is kept.
    """
    if bits == "8" and to != "vllm":
        raise ConfigError("--bits 8 writes what vLLM reads", "add --to vllm, or leave --bits out")
    check_target(target, {"transformers": ITEMS, "vllm": MARKER}[to])  # before what takes seconds to import
    check_parts_at_hand(model, items)
    from recommender.conversations.tuned import Tuned
    from recommender.export.full_precision import compare_precision
    from recommender.export.merge import merge
    from recommender.export.vllm_folder import export_vllm
    from recommender.model.checkpoint import from_pretrained
    from recommender.model.manifest import claimed
    from recommender.progress import progress_bars

    marker = {"transformers": ITEMS, "vllm": MARKER}[to]
    manifest = resolve(model) / MANIFEST
    facts = {"what": "model", "to": to, "target": target.name, "manifest": file_digest(manifest)}
    with (
        audited(store, master_key, "export", facts),
        progress_bars(quiet) as progress,
        claimed(target, "export", marker),
    ):
        checkpoint = from_pretrained(model, items, progress, full_precision)
        if to == "vllm":
            tuned = Tuned.load(resolve(model), checkpoint.catalogue)
            report = asdict(export_vllm(checkpoint, target, progress, tuned, 8 if bits == "8" else 16))
        else:
            report = asdict(merge(checkpoint, target, progress))
        if full_precision:
            report |= asdict(compare_precision(model, checkpoint, progress))
    if as_json:
        print_json(report)
    else:
        print_rows([report], f"written for {to}: {target}")


def served_limits(limits: ServingConfig, settings: list[str] | None, options: dict[str, Any]) -> ServingConfig:
    """Return the limits of a server with those that options and KEY=VALUE settings change.

    `limits`: of the checkpoint's config, which may be a stranger's. Raises ConfigError, also where it names a command.
    """
    from recommender.config import Config
    from recommender.store.master_keys import COMMAND

    changes = {f"serving.{key}": value for key, value in options.items() if value is not None}
    given = dict(split_pair("--set", text, "waiting=64") for text in settings or [])
    for key in given:
        _check_limit(key)
    changes |= {f"serving.{key}": value for key, value in given.items()}
    if "serving.master_key" not in changes and (limits.master_key or "").startswith(COMMAND):
        raise ConfigError(
            "the checkpoint names a command that gives a master key", f"give it: --master-key {COMMAND}..."
        )
    return Config(serving=limits).updated(changes, "--set").serving


def _check_limit(key: str) -> None:
    """Raise ConfigError for a key of the whole config: a server is told the keys of `serving` only, without its name."""
    from recommender.config import Config

    section, _, name = key.partition(".")
    if section == "serving":
        raise ConfigError(f"--set {key}: keys stand here without their section", f"--set {name}=...")
    if name and section in Config.model_fields:
        raise ConfigError(f"--set {key}: a server is told limits only, the keys of the section serving", _where(key))


def _where(key: str) -> str:
    """Return where a key of the whole config is set, as a hint."""
    from recommender.config.free_keys import is_free

    if key == "decoding.bits":
        return "rank with other bits by --bits"
    return "change it in a copy by recommender configure" if is_free(key) else "it is chosen when the model is trained"
