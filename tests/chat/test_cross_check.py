"""The cross-check: words around a value that leave no doubt decide, and nothing else is changed."""

from __future__ import annotations

import pytest

from recommender.chat.cross_check import Meaning, checked
from recommender.conversations.mentions import MentionFinder
from recommender.conversations.wishes import ASKED, DISLIKED, FREE, LIKED, MUST, NOT, NOTHING, OR, SIMILAR, WISH
from tests.conversations.test_making import CATALOGUE

FINDER = MentionFinder(CATALOGUE)


def read(text, *said, asks=False):
    mentions = FINDER.find(text)
    assert len(mentions) == len(said), [m.text for m in mentions]
    meanings = [Meaning(m, meant, 0.9) for m, meant in zip(mentions, said, strict=True)]
    return [m.meant for m in checked(text, mentions, meanings, asks)]


@pytest.mark.parametrize(
    ("text", "said", "expected"),
    [
        ("she hates horror", [MUST], [NOT]),
        ("nothing too dramatic, no horror or war please", [MUST, MUST, MUST], [NOT, NOT, NOT]),
        ("comedy or drama", [MUST, MUST], [MUST, OR]),
        ("comedy or drama, I don't mind which", [NOT, NOT], [MUST, OR]),
        ("no, not only comedies", [MUST], [FREE]),
        ("it does not have to be a comedy", [MUST], [FREE]),
        ("horror is fine after all", [NOT], [FREE]),
        ("nothing but horror", [NOT], [MUST]),
        ("grandpa only wants war", [WISH], [MUST]),
        ("I like comedy", [WISH], [WISH]),
        ("not horror but comedy", [MUST, MUST], [NOT, MUST]),
        ("a comedy please", [MUST], [MUST]),
        ("I am tired of war. Drama, please", [WISH, MUST], [NOT, MUST]),
    ],
)
def test_what_words_around_values_say(text, said, expected):
    assert read(text, *said) == expected


@pytest.mark.parametrize(
    ("text", "reacts"),
    [
        ("no horror please", False),
        ("I hated it, no horror please", True),
        ("the first one was great, but rather comedy", True),
        ("no", True),
    ],
)
def test_conditions_alone_say_nothing_of_what_was_suggested(text, reacts):
    (suggested,), mentions = FINDER.find("The Baker (1970)"), FINDER.find(text)
    meanings = [Meaning(suggested, DISLIKED, 0.9), *(Meaning(m, NOT, 0.9) for m in mentions)]
    assert checked(text, mentions, meanings, False)[0].meant == (DISLIKED if reacts else NOTHING)


def test_items_are_asked_about_only_in_questions():
    assert read("what do people see who love The Baker (1970)?", ASKED) == [SIMILAR]
    assert read("who directed The Baker (1970)?", ASKED, asks=True) == [ASKED]
    assert read("I hated The Baker (1970)", DISLIKED) == [DISLIKED]
    assert read("I loved The Baker (1970)", LIKED) == [LIKED]
    assert read("The Baker (1970), you know", NOTHING) == [SIMILAR]
