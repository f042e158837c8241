"""The command line as a whole: its groups, its former names, and how it ends."""

import subprocess
import sys
import time

import pytest
from typer.main import get_command

from recommender.cli import app, main
from recommender.cli.options import PANELS
from recommender.errors import RecommenderError

NAMES = (
    "demo validate encode tokenize sounds join pictures private-histories train extend shrink configure fuse recommend"
    " explain chat serve mcp batch export evaluate ratings"
)
GROUPS = "study conversations justifications bench"
OPERATE = (
    "feedback replay env keys store events consent export-user forget audit data-map"
    " experiments items sign update watch"
)


def commands(command=None, path=()):
    """Yield every command with the words that call it."""
    command = command or get_command(app)
    for name, child in getattr(command, "commands", {}).items():
        yield (*path, name), child
        yield from commands(child, (*path, name))


def test_all_commands_are_there():
    top = {words[0] for words, command in commands() if len(words) == 1 and not command.hidden}
    assert top == set(f"{NAMES} {GROUPS} {OPERATE}".split())


def test_help_lists_the_groups_in_their_order(run):
    code, out, _ = run("--help")
    places = [out.index(f"─ {panel} ─") for panel in PANELS]
    assert code == 0 and places == sorted(places)


def test_help_fits_80_columns_one_line_a_command(run, monkeypatch):
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    _, out, _ = run("--help")
    assert max(len(line) for line in out.splitlines()) <= 80 and "…" not in out
    for words, command in commands():
        if len(words) == 1 and not command.hidden:
            first = " ".join((command.help or "").partition("\n\n")[0].split())
            assert len(first) <= 60, words
            assert any(words[0] in line and first[:30] in line for line in out.splitlines()), words


def test_every_command_and_option_says_what_it_is_for():
    for words, command in commands():
        assert command.help, words
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name not in ("help", "history"):
                assert getattr(parameter, "help", None), (words, parameter.name)


def test_former_names_still_work_and_are_not_listed(run):
    code, out, _ = run("reasons", "--help")
    assert code == 0 and "evaluate" in out and "plant" in out
    code, out, _ = run("study", "wishes", "--help")
    assert code == 0 and "queries put into words" in " ".join(out.split())
    _, out, _ = run("--help")
    assert " reasons " not in out


def test_json_is_there_wherever_something_is_printed():
    for words, command in commands():
        if getattr(command, "commands", None) is None and words[-1] not in ("serve", "mcp"):
            assert "--json" in [option for parameter in command.params for option in parameter.opts], words


def test_help_answers_within_a_second_of_computing():
    """Wall time says how busy the machine is; the seconds of the processor say what `--help` costs."""
    code = "import sys, time; sys.argv = ['recommender', '--help']\nfrom recommender.cli import main\n"
    code += "try:\n    main()\nexcept SystemExit:\n    print(time.process_time(), 'torch' in sys.modules)"
    fastest = min(_help_seconds(code) for _ in range(3))
    assert fastest < 1.0


def _help_seconds(code):
    started = time.perf_counter()
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    seconds, torch = run.stdout.splitlines()[-1].split()
    assert torch == "False" and time.perf_counter() > started
    return float(seconds)


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (RecommenderError("this is wrong", "do that"), 2, ["error: this is wrong", "hint: do that"]),
        (RecommenderError("[bold]not markup"), 2, ["error: [bold]not markup"]),
        (PermissionError(13, "Permission denied", "out.json"), 2, ["error: out.json: Permission denied"]),
    ],
)
def test_errors_end_in_a_line_and_exit_code_2(monkeypatch, capsys, error, code, lines):
    def fail():
        raise error

    monkeypatch.setattr("recommender.cli.command_line.app", fail)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == code and capsys.readouterr().err.splitlines() == lines


def test_a_reader_who_has_enough_ends_it_quietly(monkeypatch):
    class Closed:
        closed = False

        def close(self):
            Closed.closed = True

        def write(self, text):
            return len(text)

        def flush(self):
            return None

    def fail():
        raise BrokenPipeError

    monkeypatch.setattr("recommender.cli.command_line.app", fail)
    monkeypatch.setattr(sys, "stderr", Closed())
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 0 and Closed.closed


@pytest.mark.parametrize("moment", ["recommender.cli.options", "typer", "recommender.cli.command_line"])
def test_ctrl_c_while_it_is_loaded_ends_it_quietly(moment):
    """The signal comes as the module begins to be imported."""
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # what runs in the background ignores it
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {moment!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from recommender.cli import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_ctrl_c_outside_of_a_command_ends_it_quietly(monkeypatch, capsys):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr("recommender.cli.command_line.app", stop)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130 and capsys.readouterr() == ("", "")
