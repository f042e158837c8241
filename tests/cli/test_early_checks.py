"""Paths and names that cannot be used are refused before anything that computes is imported, by every command."""

import json
import subprocess
import sys

import pytest
import yaml

MODEL = "movielens-100k"
#: runs commands one after the other in a program without torch: what imports it before the refusal fails otherwise
PROGRAM = """
import contextlib, functools, io, json, sys, time
import typer.main
sys.modules["torch"] = sys.modules["transformers"] = None
from recommender.cli import main
typer.main.get_command = functools.cache(typer.main.get_command)  # once for all of them
results = []
for arguments in json.load(sys.stdin):
    sys.argv = ["recommender", *arguments]
    out, err, began = io.StringIO(), io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code
        except BaseException as error:
            code = repr(error)
    results.append([code, out.getvalue(), err.getvalue(), time.process_time() - began])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A file that is in the way, a folder with somebody's work, and files of the right kind."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "file").write_text("years of work")
    (folder / "work").mkdir()
    (folder / "work" / "thesis.txt").write_text("years of work")
    (folder / "requests.jsonl").write_text('{"custom_id": "a"}\n')
    (folder / "answers.jsonl").write_text("")
    items = {"items": str(folder / "gone.csv"), "interactions": str(folder / "gone.csv")}
    (folder / "gone.yaml").write_text(yaml.safe_dump({"data": items}))
    (folder / "half.yaml").write_text(yaml.safe_dump({"data": {"interactions": items["interactions"]}}))
    (folder / "start.yaml").write_text(yaml.safe_dump({"base": {"adapter": "movilens-100k"}}))
    (folder / "base.yaml").write_text(yaml.safe_dump({"base": {"llm": "smolm2-135m-instruct"}}))
    (folder / "good.yaml").write_text("{}\n")
    trace = {"format": 2, "model": {"source": "movilens-100k"}, "request": {"history": []}, "explains": None}
    (folder / "trace.json").write_text(json.dumps(trace))
    return folder


def cases(place):
    """Each command line and what its refusal names."""
    file, gone, work, new = (str(place / name) for name in ("file", "gone.csv", "work", "new"))
    below, requests, answers = f"{file}/below/x", str(place / "requests.jsonl"), f"{new}.jsonl"
    gone_yaml, half, start, good, trace = (
        str(place / name) for name in ("gone.yaml", "half.yaml", "start.yaml", "good.yaml", "trace.json")
    )
    batch = ("batch", MODEL, "--input", requests, "--output")
    return [
        # every command that loads a model: another one than there is, tables that are not there
        *(
            ([*command], "did you mean movielens-100k")
            for command in (
                ("recommend", "movilens-100k"),
                ("replay", trace),
                ("train", "--config", start, "--output", new),
                ("evaluate", "./movilens-100k", "--output", new),
            )
        ),
        *(
            ([*command, "--items", gone], "gone.csv: no such file or folder for the items")
            for command in (
                ("recommend", MODEL),
                ("explain", MODEL, "--item", "50"),
                ("chat", MODEL),
                ("serve", MODEL),
                (*batch, answers),
                ("export", MODEL, new),
                ("extend", MODEL, "--output", new),
                ("fuse", MODEL, "ease", "--output", new),
                ("evaluate", MODEL, "--output", new),
                ("ratings", "--output", new),
                ("replay", trace),
                ("study", "queries", MODEL, "--output", new),
                ("justifications", "evaluate", MODEL),
                ("justifications", "tune", MODEL),
                ("justifications", "dialogues", MODEL),
            )
        ),
        *(
            ([*command, "--config", gone_yaml], "gone.csv: no such file or folder for the items")
            for command in (
                ("train", "--output", new),
                ("encode",),
                ("tokenize",),
                ("evaluate", "popularity", "--output", new),
                ("ratings", "--output", new),
                ("study", "ablation", "--output", new),
                ("study", "cold", "--output", new),
                ("study", "signal"),
            )
        ),
        (["train", "--config", half, "--output", new], "gone.csv: no such file or folder for the interactions"),
        *(
            ([*command, "--interactions", gone], "gone.csv: no such file or folder for the interactions")
            for command in (
                ("extend", MODEL, "--items", MODEL, "--output", new),
                ("evaluate", MODEL, "--output", new),
                ("ratings", "--output", new),
                ("study", "queries", MODEL, "--output", new),
            )
        ),
        (["evaluate", MODEL, "--output", new, "--test", gone], "for the targets"),
        # inputs
        (["batch", MODEL, "--input", gone, "--output", answers], "neither .jsonl nor .parquet"),
        (["batch", MODEL, "--input", f"{gone}.jsonl", "--output", answers], "no such file"),
        (["replay", gone], "no such file"),
        (["replay", file], "no decision trace"),
        (["recommend", MODEL, "--vectors", gone], "no such file"),
        (["recommend", MODEL, "--vectors", work], "is a folder"),
        (["bench", "decode", "--vllm-python", gone], "no such file"),
        # outputs that are there, or cannot be
        ([*batch, str(place / "answers.jsonl")], "is there already"),
        ([*batch, str(place / "answers.csv")], "neither .jsonl nor .parquet"),
        ([*batch, f"{new}/answers.jsonl"], "no such folder"),
        ([*batch, "/proc/answers.jsonl"], "may write to"),
        *(
            ([*command, target], reason)
            for command in (
                ("train", "--config", good, "--output"),
                ("export", MODEL),
                ("export", MODEL, "--to", "vllm"),
                ("extend", MODEL, "--items", MODEL, "--output"),
                ("fuse", MODEL, "ease", "--output"),
                ("justifications", "train", MODEL, "--output"),
            )
            for target, reason in ((file, "is a file"), (work, "other things"), (below, "may write to"))
        ),
        *(
            ([*command, "--output", target], reason)
            for command in (
                ("evaluate", "popularity"),
                ("ratings",),
                ("study", "ablation", "--config", good),
                ("study", "cold", "--config", good),
                ("study", "queries", MODEL),
            )
            for target, reason in ((file, "is a file"), (below, "may write to"), ("/proc/new", "may write to"))
        ),
        *(
            ([*command, target], reason)
            for command in (
                ("recommend", MODEL, "--trace"),
                ("explain", MODEL, "--item", "50", "--trace"),
                ("justifications", "evaluate", MODEL, "--output"),
                ("justifications", "plant", MODEL, "--output"),
                ("justifications", "dialogues", MODEL, "--output"),
                ("bench", "decode", "--keep"),
            )
            for target, reason in ((work, "is a folder"), (below, "may write to"))
        ),
        # feedback
        *(
            ([*command, target], reason)
            for command in (
                ("serve", MODEL, "--feedback"),
                ("recommend", MODEL, "--feedback"),
                ("explain", MODEL, "--item", "50", "--feedback"),
                ("chat", MODEL, "--feedback"),
                ("feedback", MODEL, "wrong", "--item", "50", "--file"),
            )
            for target, reason in ((work, "cannot be kept there"), (below, "cannot be kept"), (file, "something else"))
        ),
        (["serve", MODEL, "--set", f"feedback={work}"], "cannot be kept there"),
        (["serve", MODEL, "--feedback", "/proc/feedback.jsonl"], "may write to"),
        # names
        (["serve", MODEL, "--engine", "vlm"], "did you mean vllm"),
        ([*batch, answers, "--engine", "vlm"], "did you mean vllm"),
        (["bench", "serve", "--engine", "vlm"], "did you mean vllm"),
        ([*batch, answers, "--rank-url", "http://there"], "--engine embedded has no rank_url"),
        (["serve", MODEL, "--write-url", "http://there"], "--engine embedded has no write_url"),
        (["serve", MODEL, "--set", "wating=3"], "did you mean"),
        (["serve", MODEL, "--set", "prompt.titled=1"], "recommender configure"),
        (["serve", MODEL, "--set", "lora.r=8"], "chosen when the model is trained"),
        (["train", "--config", str(place / "base.yaml"), "--output", new], "did you mean smollm2-135m-instruct"),
        (["train", "--config", good, "--set", f"base.llm={file}", "--output", new], "a file, expected a folder"),
        (["bench", "decode", "--llm", "smolm2-135m-instruct"], "did you mean smollm2-135m-instruct"),
        (["bench", "decode", "--dtype", "flaot32"], "dtype"),
        (["bench", "profile", "--beams", "x"], "--beams 'x': expected whole numbers"),
        (["bench", "trie", "--sizes", "0"], "--sizes '0': expected whole numbers"),
        (["bench", "agreement", "--formats", "int9"], "expected some of float32"),
        (["fuse", MODEL, "eese", "--output", new], "did you mean ease"),
        (["fuse", MODEL, "sasrec", "--output", new], "cannot be kept in a checkpoint"),
        (["evaluate", "popularty", "--output", new], "did you mean popularity"),
        (["evaluate", "popularity", "--output", new, "--split", "tme"], "did you mean time"),
        (["evaluate", "popularity", "--output", new, "--seeds", "0,x"], "whole numbers"),
        (["feedback", MODEL, "wrnog", "--item", "50", "--file", new], "did you mean wrong"),
        (["feedback", MODEL, "wrong", "--item", "50", "--file", new, "--fact", "genres"], "expected NAME=VALUE"),
    ]


def test_what_cannot_be_used_is_refused_before_anything_heavy_is_imported(place):
    told = cases(place)
    before = sorted(path.name for path in place.iterdir())
    commands = json.dumps([arguments for arguments, _ in told])
    arguments = [sys.executable, "-c", PROGRAM]
    ran = subprocess.run(arguments, input=commands, capture_output=True, text=True, timeout=120, check=True)
    wrong = []
    for (arguments, said), (code, out, err, seconds) in zip(told, json.loads(ran.stdout), strict=True):
        lines = err.strip().splitlines()
        one_line = 1 <= len(lines) <= 2 and lines[0].startswith("error: ") and not out
        if code != 2 or said not in err or not one_line or seconds > 5:
            wrong.append((" ".join(arguments), said, code, err, seconds))
    assert not wrong, "\n".join(map(str, wrong))
    assert sorted(path.name for path in place.iterdir()) == before  # nothing was begun
