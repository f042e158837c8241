"""Writing: a true draft is kept, a false one is rewritten or replaced by a plain justification."""

from __future__ import annotations

import pytest

from recommender.justify import (
    justify,
    sources,
)
from tests.justify.films import CATALOGUE, CHECKER, FILMS, evidence, plain


def _never(prompts, names=None):
    raise AssertionError("asked")


def test_justify_keeps_true_drafts_and_replaces_false_ones():
    asked = []

    def write(prompts, names=None):
        asked.append((list(prompts), names))
        false = 'Because you watched "Alien", "Blade Runner" is a Drama film.'
        true = 'Because you watched "Alien", try "Aliens", an Action film. You will love it!'
        return [true, false]

    true, false = justify(CATALOGUE, [evidence(0, 1), evidence(2, 1)], write, CHECKER, FILMS)
    assert [len(prompts) for prompts, _ in asked] == [2]  # held to its names it would be as false
    assert sources([true, false]) == {"model": 1, "rewritten": 0, "plain": 1}
    assert (true.source, true.text) == (
        "model",
        'Because you watched "Alien", try "Aliens", an Action film.',
    )
    assert true.verdict.ok and true.verdict == true.draft_verdict
    assert false.source == "plain" and "Drama" not in false.text and "Drama" in false.draft
    assert false.verdict.ok and not false.draft_verdict.ok and "Drama" in false.draft_verdict.reason
    assert false.evidence == evidence(2, 1)


@pytest.mark.parametrize("draft", ["", "   ", "\n", "Sorry, I cannot do that.", '"', "日本語。", "Because " * 200])
def test_whatever_the_model_writes_the_answer_is_true(draft):
    justification = justify(
        CATALOGUE, [evidence(0, 1)], lambda prompts, names=None: [draft for _ in prompts], CHECKER, FILMS
    )[0]
    assert justification.source == "plain" and justification.verdict.ok


@pytest.mark.parametrize("draft", ["No idea.", 'Because you watched "Heat", try "Aliens" by James Cameron.'])
def test_wrong_names_are_written_once_more_held_to_the_right_ones(draft):
    asked = []

    def write(prompts, names=None):
        asked.append(names)
        return ['Because you watched "Alien", try "Aliens" by James Cameron.' if names else draft for _ in prompts]

    justification = justify(CATALOGUE, [evidence(0, 1)], write, CHECKER, FILMS)[0]
    assert len(asked) == 2 and asked[1] is not None and len(asked[1][0]) == 2
    assert justification.source == "rewritten" and justification.text == justification.rewrite
    assert justification.draft == draft


def test_without_a_writer_justifications_are_plain():
    justification = justify(CATALOGUE, [evidence(0, 1)], None, CHECKER, FILMS)[0]
    assert justification.source == "plain" and justification.text == plain(evidence(0, 1), CHECKER, FILMS)


def test_nothing_to_justify_asks_nobody():
    assert justify(CATALOGUE, [], _never, CHECKER, FILMS) == []
