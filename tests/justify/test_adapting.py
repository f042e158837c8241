"""What people found helpful: read from the texts that they marked, and followed by what is explained to them next."""

from __future__ import annotations

from collections import Counter

import pytest

from recommender.justify.adapting import ExplanationTaste, Helpful, kind_of, length_of
from recommender.justify.style import CROWD, Style

SHORT = 'Following "Copycat", you might like "Dead Presidents" (1995), as both are crime films.'
NORMAL = (
    '"Shadow Conspiracy" (1997) is recommended alongside "Good Morning" and "Under Siege 2: Dark Territory": it is a '
    "thriller directed by George P. Cosmatos."
)
DETAILED = 'You watched "A", "B" and "C", all of them thrillers, and so "D" (1997), a thriller by E, is for you.'


@pytest.mark.parametrize(("text", "length"), [(SHORT, "short"), (NORMAL, "normal"), (DETAILED, "detailed")])
def test_a_text_has_the_length_of_what_it_names(text, length):
    assert length_of(text) == length


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        (Helpful(("genres", "director")), ("director",)),
        (Helpful(("genres", "year")), ("genres",)),
        (Helpful(("genres", "series", "cast")), ("series",)),
        (Helpful(("year",)), ("year",)),
        (Helpful(("genres",), 'Many who watched "Flubber" also watched "Bean" (1997), a comedy.'), (CROWD,)),
        (Helpful(("genres",), 'You chose "Many Who Also" and so "Bean" (1997), a comedy, is for you.'), ("genres",)),
        (Helpful(), ()),
    ],
)
def test_the_most_specific_thing_that_was_told_was_helpful(mark, kind):
    assert kind_of(mark) == kind


def test_who_said_nothing_is_answered_as_configured():
    style = Style(length="short")
    assert ExplanationTaste.of("ann", []).style(style, 3) is style
    assert ExplanationTaste.of("ann", []).most_named == 0


def test_one_mark_already_decides_the_kind():
    taste = ExplanationTaste.of("ann", [Helpful(("year",))])
    assert {taste.style(Style(), item).prefers for item in range(20)} == {("year",)}
    assert {taste.style(Style(), item).length for item in range(20)} == {"normal"}


def test_a_length_that_was_found_helpful_becomes_usual_and_others_are_still_tried():
    taste = ExplanationTaste.of("ann", [Helpful(text=SHORT)] * 6)
    drawn = Counter(taste.style(Style(), item).length for item in range(400))
    assert drawn["short"] > 320 and len(drawn) > 1
    expected = 6.5**2 / (6.5**2 + 2**2 + 0.5**2)
    assert drawn["short"] / 400 == pytest.approx(expected, abs=0.05)


def test_the_same_question_has_the_same_answer_until_more_is_said():
    marks = [Helpful(("director",), NORMAL), Helpful(("genres",), SHORT)]
    first, again = (ExplanationTaste.of("ann", marks) for _ in range(2))
    styles = [first.style(Style(), item) for item in range(50)]
    assert styles == [again.style(Style(), item) for item in range(50)]
    other = ExplanationTaste.of("bob", marks)
    assert styles != [other.style(Style(), item) for item in range(50)]
