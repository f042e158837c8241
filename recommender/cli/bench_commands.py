"""Measurements of speed and memory: the decoder, the trie and the training loop beside what else can be installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recommender.cli.shared import AsJson, Model, Quiet, out, print_json, split_ids
from recommender.errors import DataError, did_you_mean

app = typer.Typer(no_args_is_help=True, help=__doc__)
Rounds = Annotated[int, typer.Option(help="times that every method is measured, in turn; warm-up is left out", min=1)]
Seed = Annotated[int, typer.Option(help="of everything that is drawn")]
Threads = Annotated[int | None, typer.Option(help="threads of the CPU; default: all", min=1)]


Llm = Annotated[str, typer.Option(help="base model: an embedded name, a hub name or a folder")]
Layers = Annotated[int | None, typer.Option(help="layers that rank; default: all", min=1)]
Catalogue = Annotated[int, typer.Option(help="items of the synthetic catalogue, 4 levels of 256 codes", min=10)]
Dtype = Annotated[str, typer.Option(help="auto, float32 or bfloat16")]
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
        Path | None, typer.Option(help="measure vLLM's beam search too: a Python that has vLLM; see `make vllm-env`")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="file of finished cases; those that are in it are not repeated")
    ] = None,
    seed: Seed = 0,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank the same prompts by our decoder, by transformers, vLLM and brute force, and compare with the bare passes."""
    from recommender.benchmarks.decode_speed import DecodeSettings, bench_decode
    from recommender.progress import progress_bars

    _use(threads)
    settings = DecodeSettings(
        llm=llm,
        layers=layers,
        items=items,
        dtype=dtype,
        **_cases(lengths, beams, prompts),
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
    with progress_bars(quiet) as progress:
        rows = bench_decode(settings, progress, keep)
    _report(rows, {name: _plain(value) for name, value in vars(settings).items()}, as_json)


@app.command()
def trie(
    sizes: Annotated[str, typer.Option(help="numbers of items, with commas")] = "10000,100000,1000000,10000000",
    rounds: Rounds = 20,
    seed: Seed = 0,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Build tries of random items: time, memory, and what one step of a search costs at each size."""
    from recommender.benchmarks.trie_speed import bench_trie
    from recommender.progress import progress_bars

    _use(threads)
    with progress_bars(quiet) as progress:
        rows = bench_trie(_numbers("--sizes", sizes), rounds, seed, progress)
    _report(rows, {"seed": seed, "rounds": rounds}, as_json)


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
) -> None:
    """Show where our decoder spends its time, and what its matrix products alone would need."""
    from recommender.benchmarks.decode_speed import DecodeSettings
    from recommender.benchmarks.operator_profile import bench_profile
    from recommender.progress import progress_bars

    _use(threads)
    cases = _cases(lengths, beams, prompts)
    settings = DecodeSettings(llm=llm, layers=layers, items=items, dtype=dtype, rounds=rounds, seed=seed, **cases)
    with progress_bars(quiet) as progress:
        rows = bench_profile(settings, progress)
    _report(rows, {"llm": llm, "layers": layers, "items": items, "dtype": dtype, "rounds": rounds}, as_json)


@app.command()
def agreement(
    model: Model = "adapters/movielens-100k",
    users: Annotated[int, typer.Option(help="an even sample of this many users", min=1)] = 200,
    beams: Annotated[str, typer.Option(help="beam widths, with commas; of no matter with one level of ids")] = "10,50",
    formats: Annotated[str, typer.Option(help="of float32, bfloat16 and int8, with commas")] = "float32,bfloat16",
    k: Annotated[int, typer.Option(help="length of a list", min=1)] = 10,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare the lists of a trained checkpoint with the exact ones: what rounding costs, and what the beam width."""
    from recommender.benchmarks.number_formats import FORMATS, bench_agreement
    from recommender.progress import progress_bars

    _use(threads)
    for name in split_ids(formats):
        if name not in FORMATS:
            raise DataError(f"--formats {name!r}: expected some of {', '.join(FORMATS)}", did_you_mean(name, FORMATS))
    with progress_bars(quiet) as progress:
        rows = bench_agreement(model, users, _numbers("--beams", beams), split_ids(formats), k, progress)
    _report(rows, {"model": model, "k": k}, as_json)


@app.command()
def train(
    model: Model = "adapters/movielens-100k",
    examples: Annotated[int, typer.Option(help="pieces of histories that both read", min=1)] = 64,
    rounds: Rounds = 3,
    seed: Seed = 0,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train on the same examples with our packed rows and with a plain Trainer of transformers."""
    from recommender.benchmarks.training_speed import bench_train
    from recommender.progress import progress_bars

    _use(threads)
    with progress_bars(quiet) as progress:
        rows = bench_train(model, examples, rounds, seed, progress)
    _report(rows, {"model": model, "examples": examples, "rounds": rounds, "seed": seed}, as_json)


@app.command()
def engines(
    model: Model = "adapters/movielens-100k",
    histories: Annotated[int, typer.Option(help="random histories that both engines rank", min=1)] = 200,
    longest: Annotated[int, typer.Option(help="items that a history is shorter than", min=1)] = 60,
    k: Annotated[int, typer.Option(help="items of a list", min=1)] = 10,
    requests: Annotated[int, typer.Option(help="asked of vLLM under each of two adapters that come and go", min=0)] = 0,
    vllm: Annotated[str, typer.Option(help='flags for vLLM, e.g. "--dtype=bfloat16"')] = "",
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank the same histories by vLLM and by the embedded engine: items, order, scores, anything invalid."""
    import shlex

    from recommender.benchmarks.engine_agreement import EnginesSettings, bench_engines
    from recommender.progress import progress_bars

    settings = EnginesSettings(histories, longest, k, requests, seed, tuple(shlex.split(vllm)))
    with progress_bars(quiet) as progress:
        rows = bench_engines(model, settings, progress)
    _report(rows, {"model": model} | vars(settings), as_json)


@app.command()
def serve(
    model: Model = "adapters/movielens-100k",
    engine: Annotated[str, typer.Option(help="embedded or vllm")] = "vllm",
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
) -> None:
    """Put load on a server over HTTP: answers, errors, lost requests, times, and throughput beside transformers."""
    from recommender.benchmarks.server_load import LoadSettings, bench_serve
    from recommender.progress import progress_bars

    further = ("--vllm", vllm) if vllm else ()
    settings = LoadSettings(engine, url, clients, seconds, plain_seconds, k, seed=seed, serve=further)
    with progress_bars(quiet) as progress:
        rows = bench_serve(model, settings, progress)
    _report(rows, {"model": model} | vars(settings), as_json)


@app.command()
def replies(
    model: Model = "adapters/movielens-100k",
    users: Annotated[int, typer.Option(help="an even sample of this many users", min=1)] = 5,
    k: Annotated[int, typer.Option(help="items of a list", min=1, max=20)] = 10,
    threads: Threads = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure how long somebody waits: for a list, for its reasons, for a reply of a conversation, for questions back."""
    from recommender.benchmarks.reply_times import bench_replies
    from recommender.engine import Recommender
    from recommender.pipelines.train import split_histories
    from recommender.progress import progress_bars

    _use(threads)
    with progress_bars(quiet) as progress:
        engine = Recommender.from_pretrained(model, progress=progress)
        known = [history for history in split_histories(engine.config, engine.catalogue).train.items if len(history)]
        rows = bench_replies(engine, known[:: max(len(known) // users, 1)][:users], k, progress)
    _report(rows, {"model": model, "users": users, "k": k}, as_json)


def _cases(lengths: str, beams: str, prompts: str) -> Any:
    """Return what is varied, as DecodeSettings has it."""
    texts = {"lengths": lengths, "beams": beams, "prompts": prompts}
    return {name: tuple(_numbers(f"--{name}", text)) for name, text in texts.items()}


def _plain(value: object) -> object:
    """Return what JSON can say: no path, and no infinity."""
    if isinstance(value, Path):
        return str(value)
    return None if value == float("inf") else value


def _use(threads: int | None) -> None:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def _numbers(option: str, text: str) -> list[int]:
    parts = split_ids(text)
    if not parts or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise DataError(
            f"{option} {text!r}: expected whole numbers above 0, with commas", f"for example {option} 10,50"
        )
    return [int(part) for part in parts]


def _report(rows: list[dict[str, object]], settings: dict[str, object], as_json: bool) -> None:
    from recommender.benchmarks.measuring import machine
    from recommender.cli.terminal import plain_table

    facts = settings | machine()
    if as_json:
        print_json({"settings": facts, "rows": rows})
        return
    out.print(plain_table(rows))
    out.print(", ".join(f"{name} {value}" for name, value in facts.items() if value is not None), highlight=False)
