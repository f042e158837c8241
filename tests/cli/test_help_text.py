"""Help of every command: within 80 columns, in two of them, with whole words; and the program's own options."""

from __future__ import annotations

import importlib.metadata

import pytest
from typer.main import get_command

from recommender.cli import app

COMMAND = get_command(app)


def leaves(command, path=()):
    """Yield the words that call each command that is no group."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path
        return
    for name, child in children.items():
        yield from leaves(child, (*path, name))


@pytest.mark.parametrize("words", sorted(leaves(COMMAND)), ids=" ".join)
def test_help_fits_80_columns_with_whole_words(capsys, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        COMMAND([*words, "--help"], prog_name="recommender")
    out = capsys.readouterr().out
    assert not ended.value.code and out.startswith(f"Usage: recommender {' '.join(words)} ")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80 and not any(mark in out for mark in "│╭…\u2011\u00a0")
    assert not any(line.endswith(("-", "[default:")) for line in lines)
    said = " ".join(out.split())
    command = COMMAND
    for word in words:
        command = command.commands[word]
    for parameter in command.params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            assert all(name in said for name in parameter.opts), parameter.name
        if (text := getattr(parameter, "help", None)) and not parameter.hidden:
            assert " ".join(text.split()) in said, parameter.name
    columns = {len(line) - len(line.lstrip()) for line in lines if line.startswith("   ")}
    assert len(columns) <= 3, "the words of all options begin in one column"


@pytest.mark.parametrize("words", [(), ("recommend",), ("study",), ("study", "cold")], ids=" ".join)
def test_h_is_short_for_help(run, words):
    code, out, err = run(*words, "-h")
    assert code == 0 and err == "" and out == run(*words, "--help")[1]


def test_the_version(run):
    assert run("--version") == (0, f"recommender {importlib.metadata.version('recommender')}\n", "")
