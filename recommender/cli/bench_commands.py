"""Measure speed and memory, beside what else can be installed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from recommender.benchmarks import FORMATS
from recommender.cli import early_checks
from recommender.cli.cluster_options import Place
from recommender.cli.inputs import open_model, sampled_histories, split_list, use_threads, whole_numbers
from recommender.cli.options import AsJson, Model, Quiet, Seed
from recommender.cli.output import print_json, print_rows, print_text
from recommender.cli.store_options import need_extra
from recommender.errors import DataError, did_you_mean
from recommender.progress import Progress

Rows = list[dict[str, Any]]
SHIPPED = "movielens-100k"

app = typer.Typer(no_args_is_help=True, help=__doc__)
Rounds = Annotated[int, typer.Option(help="times that every method is measured, in turn; warm-up is left out", min=1)]
PageFile = Annotated[
    Path | None,
    typer.Option("--page", help="also write table and plots to this HTML file", callback=early_checks.output_file),
]
Threads = Annotated[int | None, typer.Option(help="threads of the CPU; default: all", min=1)]


Llm = Annotated[
    str, typer.Option(help="base model: an embedded name, a hub name or a folder", callback=early_checks.base_model)
]
Layers = Annotated[int | None, typer.Option(help="layers that rank; default: all", min=1)]
Catalogue = Annotated[int, typer.Option(help="items of the synthetic catalogue, 4 levels of 256 codes", min=10)]
Dtype = Annotated[str, typer.Option(help="auto, float32 or bfloat16", callback=early_checks.dtype_name)]
Lengths = Annotated[str, typer.Option(help="positions of a prompt, with commas")]
Widths = Annotated[str, typer.Option(help="beam widths, with commas")]
Prompts = Annotated[str, typer.Option(help="prompts at once, with commas")]
SMOLLM = "smollm2-135m-instruct"


@app.command()
def decode(
    llm: Llm = SMOLLM,
    layers: Layers = None,
    items: Catalogue = 2000,
    dtype: Dtype = "auto",
    lengths: Lengths = "256,512",
    beams: Widths = "10,50",
    prompts: Prompts = "1,8",
    rounds: Rounds = 5,
    budget: Annotated[float, typer.Option(help="seconds after which a slow method is not measured again")] = 20.0,
    limit: Annotated[
        float | None,
        typer.Option(
            help="do not measure several prompts that would take more seconds; tell one prompt's time instead"
        ),
    ] = None,
    checked: Annotated[int, typer.Option(help="prompts whose top 10 is compared with brute force", min=0)] = 1,
    brute: Annotated[bool, typer.Option(help="measure brute force too")] = True,
    transformers: Annotated[bool, typer.Option(help="measure generate of transformers too")] = True,
    int8: Annotated[bool, typer.Option(help="measure our decoder in 8-bit integers too")] = True,
    vllm_python: Annotated[
        Path | None,
        typer.Option(
            help="measure vLLM's beam search too: a Python that has vLLM; see `make vllm-env`",
            callback=early_checks.input_file,
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            help="file of finished cases; those that are in it are not repeated", callback=early_checks.output_file
        ),
    ] = None,
    seed: Seed = 0,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Rank the same prompts by our decoder, by transformers, vLLM and brute force, and compare with the bare passes."""
    cases = _cases(lengths, beams, prompts)  # first: what measures takes seconds to import
    from recommender.benchmarks.decode_speed import DecodeSettings, bench_decode

    settings = DecodeSettings(
        llm=llm,
        layers=layers,
        items=items,
        dtype=dtype,
        **cases,
        rounds=rounds,
        budget=budget,
        limit=float("inf") if limit is None else limit,
        checked=checked,
        brute=brute,
        transformers=transformers,
        int8=int8,
        vllm_python=vllm_python,
        seed=seed,
    )
    facts = {name: _plain(value) for name, value in vars(settings).items()}
    _measure(lambda progress: bench_decode(settings, progress, keep), facts, as_json, quiet, page, threads)


@app.command()
def trie(
    sizes: Annotated[str, typer.Option(help="numbers of items, with commas")] = "10000,100000,1000000,10000000",
    rounds: Rounds = 20,
    seed: Seed = 0,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Build tries of random items: time, memory, and what one step of a search costs at each size."""
    numbers, facts = whole_numbers("--sizes", sizes), {"seed": seed, "rounds": rounds}
    from recommender.benchmarks.trie_speed import bench_trie

    _measure(lambda progress: bench_trie(numbers, rounds, seed, progress), facts, as_json, quiet, page, threads)


@app.command()
def profile(
    llm: Llm = SMOLLM,
    layers: Layers = None,
    items: Catalogue = 2000,
    dtype: Dtype = "auto",
    lengths: Lengths = "256",
    beams: Widths = "50",
    prompts: Prompts = "1",
    rounds: Rounds = 5,
    seed: Seed = 0,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Show where our decoder spends its time, and what its matrix products alone would need."""
    cases = _cases(lengths, beams, prompts)
    from recommender.benchmarks.decode_speed import DecodeSettings
    from recommender.benchmarks.operator_profile import bench_profile

    settings = DecodeSettings(llm=llm, layers=layers, items=items, dtype=dtype, rounds=rounds, seed=seed, **cases)
    facts = {"llm": llm, "layers": layers, "items": items, "dtype": dtype, "rounds": rounds}
    _measure(lambda progress: bench_profile(settings, progress), facts, as_json, quiet, page, threads)


@app.command()
def agreement(
    model: Model = SHIPPED,
    users: Annotated[int, typer.Option(help="an even sample of this many users", min=1)] = 200,
    beams: Annotated[str, typer.Option(help="beam widths, with commas; of no matter with one level of ids")] = "10,50",
    formats: Annotated[str, typer.Option(help="of float32, bfloat16, int8 and int4, with commas")] = "float32,bfloat16",
    k: Annotated[int, typer.Option(help="length of a list", min=1)] = 10,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Compare the lists of a trained checkpoint with the exact ones: what rounding costs, and what the beam width."""
    widths, names = whole_numbers("--beams", beams), split_list(formats)
    for name in names:
        if name not in FORMATS:
            raise DataError(f"--formats {name!r}: expected some of {', '.join(FORMATS)}", did_you_mean(name, FORMATS))
    from recommender.benchmarks.number_formats import bench_agreement

    facts = {"model": model, "k": k}
    _measure(
        lambda progress: bench_agreement(model, users, widths, names, k, progress), facts, as_json, quiet, page, threads
    )


@app.command()
def train(
    model: Model = SHIPPED,
    examples: Annotated[int, typer.Option(help="pieces of histories that both read", min=1)] = 64,
    rounds: Rounds = 3,
    seed: Seed = 0,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Train on the same examples with our packed rows and with a plain Trainer of transformers."""
    from recommender.benchmarks.training_speed import bench_train

    facts = {"model": model, "examples": examples, "rounds": rounds, "seed": seed}
    _measure(
        lambda progress: bench_train(model, examples, rounds, seed, progress), facts, as_json, quiet, page, threads
    )


@app.command()
def device(
    model: Model = SHIPPED,
    name: Annotated[str, typer.Option("--device", help="cuda, cuda:1 or cpu")] = "cuda",
    users: Annotated[int, typer.Option(help="an even sample of this many users is ranked for", min=1)] = 64,
    examples: Annotated[int, typer.Option(help="pieces of histories to train on", min=1)] = 64,
    rounds: Rounds = 3,
    gradient_checkpointing: Annotated[bool, typer.Option(help="compute layers again in the backward pass")] = False,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Check a GPU against float32 on the CPU, and measure it.

    Lists, losses and gradients are compared; lists a second, tokens a second in training, and memory are measured.
    benchmarks/gpu.sh runs it with what else shows how a GPU does.
    """
    from recommender.benchmarks.device_check import bench_device

    facts = {"model": model, "users": users, "examples": examples, "gradient checkpointing": gradient_checkpointing}
    choices = (name, users, examples, rounds, gradient_checkpointing)
    _measure(lambda progress: bench_device(model, *choices, progress), facts, as_json, quiet, page, threads)


@app.command()
def engines(
    model: Model = SHIPPED,
    histories: Annotated[int, typer.Option(help="random histories that both engines rank", min=1)] = 200,
    longest: Annotated[int, typer.Option(help="items that a history is shorter than", min=1)] = 60,
    k: Annotated[int, typer.Option(help="items of a list", min=1)] = 10,
    requests: Annotated[int, typer.Option(help="asked of vLLM under each of two adapters that come and go", min=0)] = 0,
    vllm: Annotated[str, typer.Option(help='flags for vLLM, e.g. "--dtype=bfloat16"')] = "",
    bits: Annotated[Literal["16", "8"], typer.Option(help="of the matrices of the base that vLLM ranks with")] = "16",
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Rank the same histories by vLLM and by the embedded engine: items, order, scores, anything invalid."""
    from recommender.benchmarks.engine_agreement import EnginesSettings, bench_engines

    settings = EnginesSettings(
        histories, longest, k, requests, seed, tuple(shlex.split(vllm)), 8 if bits == "8" else 16
    )
    facts = {"model": model} | vars(settings)
    _measure(lambda progress: bench_engines(model, settings, progress), facts, as_json, quiet, page)


@app.command()
def conversations(
    model: Model = SHIPPED,
    count: Annotated[int, typer.Option(help="conversations that are begun", min=1)] = 40,
    k: Annotated[int, typer.Option(help="items of a list", min=1, max=50)] = 10,
    vllm: Annotated[str, typer.Option(help='flags for vLLM, e.g. "--dtype=bfloat16"')] = "",
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Time first lists of conversations over HTTP, in both engines.

    Also prints the share of vLLM's lists that equal those of the embedded engine.
    """
    from recommender.benchmarks.first_lists import bench_first_lists
    from recommender.benchmarks.server_load import LoadSettings

    settings = LoadSettings(k=k, seed=seed, serve=("--vllm", vllm) if vllm else ())
    facts = {"model": model, "count": count, "k": k, "vllm": vllm, "seed": seed}
    _measure(lambda progress: bench_first_lists(model, settings, count, progress), facts, as_json, quiet, page)


@app.command()
def serve(
    model: Model = SHIPPED,
    engine: Annotated[str, typer.Option(help="embedded or vllm", callback=early_checks.engine_name)] = "vllm",
    url: Annotated[str | None, typer.Option(help="a server of this model that runs already")] = None,
    clients: Annotated[int, typer.Option(help="clients that ask without a pause", min=1)] = 16,
    seconds: Annotated[float, typer.Option(help="for how long", min=1)] = 120.0,
    plain_seconds: Annotated[
        float, typer.Option(help="how long transformers generate is measured; 0: not", min=0)
    ] = 30.0,
    k: Annotated[int, typer.Option(help="items of a list", min=1)] = 10,
    vllm: Annotated[str, typer.Option(help='flags for vLLM, e.g. "--dtype=bfloat16"')] = "",
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Put load on a server over HTTP: answers, errors, lost requests, times, and throughput beside transformers."""
    from recommender.benchmarks.server_load import LoadSettings, bench_serve

    further = ("--vllm", vllm) if vllm else ()
    settings = LoadSettings(engine, url, clients, seconds, plain_seconds, k, seed=seed, serve=further)
    facts = {"model": model} | vars(settings)
    _measure(lambda progress: bench_serve(model, settings, progress), facts, as_json, quiet, page)


@app.command()
def replies(
    model: Model = SHIPPED,
    users: Annotated[int, typer.Option(help="an even sample of this many users", min=1)] = 5,
    k: Annotated[int, typer.Option(help="items of a list", min=1, max=20)] = 10,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Measure how long somebody waits: for a list, for its justifications, for a reply of a conversation."""

    def bench(progress: Progress) -> Rows:
        from recommender.benchmarks.reply_times import bench_replies

        engine = open_model(model, None, progress)
        return bench_replies(engine, sampled_histories(engine, users), k, progress)

    _measure(bench, {"model": model, "users": users, "k": k}, as_json, quiet, page, threads)


@app.command()
def batch(
    model: Model = SHIPPED,
    tiny: Annotated[bool, typer.Option("--tiny", help="a tiny model with random weights, in place of MODEL")] = False,
    lines: Annotated[int, typer.Option(help="requests in all", min=1)] = 100_000,
    part: Annotated[int, typer.Option(help="requests of a part", min=1)] = 1000,
    workers: Annotated[int, typer.Option(help="workers at a time", min=1)] = 2,
    on: Annotated[Place, typer.Option(help="ray: measure workers of Ray beside processes")] = "here",
    kill: Annotated[bool, typer.Option("--kill", help="kill one of Ray's workers on the way")] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Answer a batch of parts by one process, by several, and by workers of Ray; compare time and answers."""
    from recommender.benchmarks.batch_speed import BatchSettings, bench_batch

    settings = BatchSettings(lines, part, workers, on == "ray", kill, seed=seed)
    facts = {"model": "tiny" if tiny else model} | vars(settings)
    _measure(lambda progress: bench_batch(None if tiny else model, settings, progress), facts, as_json, quiet, page, 1)


@app.command()
def catalogue(
    output: Annotated[Path, typer.Option(help="folder for tables, checkpoints and catalogue.json")],
    items: Annotated[str, typer.Option(help="numbers of items, with commas")] = "10000,100000,1000000",
    users: Annotated[int, typer.Option(help="users with 20 interactions each", min=100)] = 100_000,
    train_users: Annotated[int, typer.Option(help="users whose histories make the epoch", min=10)] = 100_000,
    asked: Annotated[int, typer.Option(help="users that are ranked for, and lines of the batch", min=1)] = 1000,
    llm: Llm = SMOLLM,
    steps: Annotated[str, typer.Option(help="only these steps, with commas; default: all")] = "",
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Measure how every step grows with the number of items.

    Seconds of the processor and peak memory, each step in a process of its own; what was measured is not measured again.
    """
    from recommender.benchmarks.catalogue import CatalogueSettings, bench_catalogue, check_steps

    chosen = check_steps(split_list(steps) if steps else [])
    sizes = tuple(whole_numbers("--items", items))
    settings = CatalogueSettings(sizes, users, train_users, asked, llm, chosen, threads)
    facts = {"users": users, "train users": train_users, "asked": asked, "llm": llm}
    _measure(lambda progress: bench_catalogue(settings, output, progress), facts, as_json, quiet, page, threads)


@app.command()
def audit(
    rows: Annotated[int, typer.Option(help="rows of the log that is verified", min=2)] = 1_000_000,
    added: Annotated[int, typer.Option(help="how many of them are added one by one", min=1)] = 2000,
    items: Annotated[int, typer.Option(help="items of the list that a row tells of", min=1)] = 10,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Add rows to an audit log, sign it and verify it: what a row costs.

    Seconds by the clock and of the processor, on a new SQLite store in the folder for temporary files.
    """
    need_extra("recommender bench audit")
    from recommender.benchmarks.audit_speed import bench_audit

    if added >= rows:
        raise DataError(f"--added {added}: expected fewer than --rows {rows}", "give more rows")
    _measure(lambda progress: bench_audit(rows, added, items, progress), {"items": items}, as_json, quiet, page)


@app.command()
def online(
    model: Model = SHIPPED,
    tiny: Annotated[bool, typer.Option("--tiny", help="a tiny model with random weights, in place of MODEL")] = False,
    clients: Annotated[int, typer.Option(help="clients that ask for lists", min=1)] = 16,
    seconds: Annotated[float, typer.Option(help="for how long, while people act and ask", min=1)] = 30.0,
    pause: Annotated[float, typer.Option(help="mean pause of a client in s, measured beside none", min=0.001)] = 1.0,
    writers: Annotated[int, typer.Option(help="writers that send events without a pause", min=1)] = 4,
    write_seconds: Annotated[float, typer.Option(help="for how long, with each size of batches", min=0.1)] = 5.0,
    batches: Annotated[str, typer.Option(help="events of a batch, with commas")] = "1,10,100",
    counted: Annotated[int, typer.Option(help="events that are waited for in the fused counts", min=1)] = 10,
    k: Annotated[int, typer.Option(help="items of a list", min=1)] = 10,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    page: PageFile = None,
) -> None:
    """Measure how soon a server knows what people do.

    Over HTTP, on a new store: from an event to the next list while others ask, events acknowledged a second, and from an
    event to the counts that rank along; a model that has none is served with popularity and transitions.
    """
    need_extra("recommender bench online")
    from recommender.benchmarks.online_speed import OnlineSettings, bench_online

    sizes = tuple(whole_numbers("--batches", batches))
    settings = OnlineSettings(clients, seconds, pause, writers, write_seconds, sizes, counted, k, seed=seed)
    facts = {"model": "tiny" if tiny else model} | vars(settings)
    _measure(lambda progress: bench_online(None if tiny else model, settings, progress), facts, as_json, quiet, page)


def _measure(
    bench: Callable[[Progress], Rows],
    settings: Mapping[str, Any],
    as_json: bool,
    quiet: bool,
    page: Path | None,
    threads: int | None = None,
) -> None:
    """Run one measurement and print its rows, its settings and the machine; `page`: also write them there."""
    from recommender.benchmarks.measuring import machine
    from recommender.progress import progress_bars

    if page is not None:  # what it needs is missed before anything is measured
        from recommender.benchmarks.speed_page import write_speed_page
    use_threads(threads)
    with progress_bars(quiet) as progress:
        rows = bench(progress)
    facts = dict(settings) | machine()
    if page is not None:
        write_speed_page(rows, facts, page)
    if as_json:
        print_json({"settings": facts, "rows": rows})
        return
    print_rows(rows)
    print_text(", ".join(f"{name} {value}" for name, value in facts.items() if value is not None))


def _cases(lengths: str, beams: str, prompts: str) -> Any:
    """Return what is varied, as DecodeSettings has it."""
    texts = {"lengths": lengths, "beams": beams, "prompts": prompts}
    return {name: tuple(whole_numbers(f"--{name}", text)) for name, text in texts.items()}


def _plain(value: object) -> object:
    """Return what JSON can say: no path, and no infinity."""
    if isinstance(value, Path):
        return str(value)
    return None if value == float("inf") else value
