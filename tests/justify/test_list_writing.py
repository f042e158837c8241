"""A list written in one go: true lines stay, false ones are replaced, and names are constrained to what can be spelled."""

from __future__ import annotations

import pytest

from recommender.data.catalogue import Catalogue, Item
from recommender.justify import ClaimChecker, Evidence, Influence, Style, written_list
from recommender.justify.evidence import shared_facts
from tests.justify.films import CHECKER, FILMS, evidence, plain

LIST = [evidence(0, 1), evidence(2, 1)]
TRUE = 'Because you watched "Alien", "Aliens" is a Sci-Fi film too.'
FALSE = 'Because you watched "Alien", "Blade Runner" is a Drama film.'


def anything(text):
    return True


class Writer:
    """Writes given lines and remembers what it was asked for."""

    def __init__(self, *lines):
        self.lines, self.calls = lines, []

    def __call__(self, prompt, constraint):
        self.calls.append((prompt, constraint))
        yield from self.lines


def test_true_lines_are_kept_and_false_ones_replaced_in_order():
    writer = Writer(TRUE, FALSE)
    first, second = written_list(LIST, writer, anything, CHECKER, FILMS)
    assert (first.text, first.source) == (TRUE, "model")
    assert second.source == "plain" and second.draft == FALSE and second.text == plain(LIST[1], CHECKER, FILMS)
    assert "Drama" in second.draft_verdict.reason and second.evidence == LIST[1]


def test_one_prompt_asks_for_all_lines_and_constrains_the_names():
    writer = Writer(TRUE, TRUE)
    list(written_list(LIST, writer, anything, CHECKER, FILMS))
    ((prompt, constraint),) = writer.calls
    assert prompt.endswith("Write 2 lines, one for each.") and prompt.count("Suggest:") == 2
    assert constraint.items == ("Aliens", "Blade Runner") and constraint.names == ("Alien",)


def test_lines_come_as_they_are_written():
    def endless(prompt, constraint):
        yield TRUE
        raise AssertionError("the second line was not asked for")

    assert next(written_list(LIST, endless, anything, CHECKER, FILMS)).text == TRUE


def test_a_text_that_ends_early_ends_the_list():
    assert [j.text for j in written_list(LIST, Writer(TRUE), anything, CHECKER, FILMS)] == [TRUE]


@pytest.mark.parametrize(
    ("title", "spelled"), [("Amélie", "Amelie"), ("Ōkami 狼", "Okami"), ("電影", "It"), ("Heat", "Heat")]
)
def test_names_that_the_tokens_cannot_spell_lose_their_accents(title, spelled):
    catalogue = Catalogue([Item("1", title), Item("2", "Café"), Item("3", "Alien")])
    influences = (Influence(1, 1.0), Influence(2, 0.5))
    found = Evidence(0, influences, shared_facts(catalogue, 0, [1, 2]))
    writer = Writer("")
    list(written_list([found], writer, str.isascii, ClaimChecker(catalogue), FILMS))
    constraint = writer.calls[0][1]
    assert constraint.items == (spelled,) and constraint.names == ("Alien",)


def test_other_languages_are_plain_and_ask_nobody():
    german, writer = Style("films", language="de"), Writer(TRUE, TRUE)
    texts = [justification.text for justification in written_list(LIST, writer, anything, CHECKER, german)]
    assert texts == [plain(found, CHECKER, german) for found in LIST] and writer.calls == []
    assert list(written_list([], writer, anything, CHECKER, FILMS)) == [] and writer.calls == []
