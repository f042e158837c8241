"""Results as people read them: nothing cut in a pipe, no broken word in a terminal, JSON as it is."""

import io
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from recommender.cli import output
from recommender.errors import RecommenderError

WIDE = [{f"column {n}": f"value-{n}-{'x' * n}" for n in range(14)}, {f"column {n}": 0.123456 for n in range(14)}]


@pytest.fixture
def console(monkeypatch):
    """Let results go to a terminal, or a pipe, of some width; returns what was written."""

    def replaced(width, terminal):
        file = io.StringIO()
        monkeypatch.setattr(output, "out", Console(file=file, width=width, force_terminal=terminal, color_system=None))
        return file

    return replaced


def test_a_table_in_a_pipe_is_as_wide_as_its_cells(console):
    file = console(80, terminal=False)
    output.print_rows(WIDE, "wide")
    text = file.getvalue()
    assert "…" not in text and all(value in text for value in WIDE[0].values()) and text.count("0.1235") == 14
    assert all(line == line.rstrip() for line in text.splitlines())
    (header,) = (line for line in text.splitlines() if "column 0" in line)
    assert "column 13" in header  # one line a row, however long


def test_a_table_that_fits_a_terminal_is_left_alone(console):
    file = console(80, terminal=True)
    output.print_rows([{"film": "Heat", "score": 1.5}])
    assert max(len(line) for line in file.getvalue().splitlines()) < 30


def test_a_table_too_wide_for_a_terminal_wraps_between_words(console):
    sentence = "Because you watched Star Wars you may like Raiders of the Lost Ark as well, an Action film."
    file = console(60, terminal=True)
    output.print_rows([{"rank": 1, "title": "Raiders of the Lost Ark", "justification": sentence, "score": -7.25}])
    text = file.getvalue()
    lines = text.splitlines()
    assert all(len(line) <= 60 for line in lines) and "…" not in text
    words = [word for line in lines for word in line.strip("│┃└┘┡┩┏┓━─┴┬╇ ").replace("│", " ").split()]
    assert all(words.count(word) >= 1 for word in sentence.split()) and "-7.25" in words


def test_rows_are_listed_where_no_width_of_columns_would_do(console):
    file = console(60, terminal=True)
    output.print_rows(WIDE, "wide")
    text = file.getvalue()
    assert "…" not in text and all(value in text for value in WIDE[0].values())
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 60


@given(
    rows=st.lists(st.lists(st.text("abc de", max_size=30), min_size=3, max_size=3), min_size=1, max_size=4),
    width=st.integers(20, 100),
)
def test_no_word_is_broken_at_any_width(rows, width):
    named = [dict(zip(("one", "two", "three"), row, strict=True)) for row in rows]
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(output.fitted(output.table_of(named), console))
    text = console.file.getvalue()
    if "…" in text or max(len(word) for row in rows for word in ["x", *" ".join(row).split()]) > width - 10:
        return  # a single word wider than the terminal
    shown = text.replace("│", " ").replace("┃", " ").split()
    for word in (word for row in rows for cell in row for word in cell.split()):
        assert word in shown


def test_prose_wraps_in_a_pipe(console):
    file = console(40, terminal=False)
    grid = Table.grid()
    grid.add_row("words and words " * 8)
    output.print_view(grid)
    assert all(len(line) <= 40 for line in file.getvalue().splitlines()) and file.getvalue().count("words") == 16


def test_text_wraps_between_words_in_a_terminal_and_not_at_all_in_a_pipe(console):
    text = "1. A film\n   Because it is long-winded and has many words."
    file = console(20, terminal=True)
    output.print_text(text)
    lines = file.getvalue().splitlines()
    assert lines[:3] == ["1. A film", "   Because it is", "   long-winded and"] and max(map(len, lines)) <= 20
    file = console(20, terminal=False)
    output.print_text(text)
    assert file.getvalue() == f"{text}\n"


def test_json_is_one_line_and_keeps_every_character(console):
    file = console(20, terminal=False)
    value = {"title": "Amélie [bold] :smile:", "ids": list(range(50))}
    output.print_json(value)
    assert file.getvalue().count("\n") == 1 and json.loads(file.getvalue()) == value


def test_facts_are_lines_or_json(console):
    file = console(80, terminal=False)
    output.print_facts({"true": 0.5, "names": ["a"]}, as_json=False)
    assert file.getvalue() == 'true: 0.5\nnames: ["a"]\n'
    output.print_facts({"true": 0.5}, as_json=True)
    assert json.loads(file.getvalue().splitlines()[-1]) == {"true": 0.5}


def test_rows_without_rows(console):
    file = console(80, terminal=False)
    output.print_rows([], "nothing")
    output.print_rows([], as_json=True)
    assert file.getvalue().splitlines()[-1] == "[]"


def test_a_terminal_is_not_steered_by_titles_and_notes():
    file = io.StringIO()
    console = output._Screen(file=file, width=80, force_terminal=True, color_system=None)
    table = output.table_of([{"title": "\x1b[2J\u202eStar", "n": 1}])
    console.print(table)
    console.print("\x1b]0;owned\x07 note")
    assert "\x1b" not in file.getvalue() and "\u202e" not in file.getvalue() and "\\u001b]0;owned" in file.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        ["recommend", "movielens-100k", "--history", "50", "--trace", "/proc/t.json"],
        ["recommend", "movielens-100k", "--history", "50", "--trace", "/dev/full"],
        ["explain", "movielens-100k", "--history", "50", "--item", "181", "--trace", "/dev/full/t.json"],
        ["justifications", "plant", "movielens-100k", "--output", "/sys/t.json"],
        ["evaluate", "popularity", "--output", "/proc/report"],
        ["evaluate", "popularity", "--output", "/dev/full"],
        ["ratings", "--output", "/proc/self/status"],
        ["study", "ablation", "--config", "nowhere.yaml", "--output", "/proc/study"],
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_loaded(arguments):
    from typer.testing import CliRunner

    from recommender.cli.command_line import app

    begun = time.monotonic()
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, RecommenderError), (result.output, result.exception)
    assert arguments[-1] in result.exception.message and "\n" not in result.exception.message
    assert time.monotonic() - begun < 5
