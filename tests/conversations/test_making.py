"""Made-up conversations: what is meant is known at every place, nothing is named twice, seeds repeat."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from recommender.conversations.made import MadeTurn, Said
from recommender.conversations.making import ConversationMaker
from recommender.conversations.outside import OutsideWorks
from recommender.conversations.taste import Taste
from recommender.conversations.wishes import (
    ACTS,
    COURTESY,
    ITEM_MEANINGS,
    LIST,
    MUST,
    NOT,
    QUESTION,
    VALUE_MEANINGS,
    Wish,
)
from recommender.data.catalogue import Catalogue, Item

KINDS = ("Comedy", "Drama", "Horror", "War")
CATALOGUE = Catalogue(
    Item(
        str(n),
        f"The {name} ({1970 + n})",
        text=f"A {name.lower()} walks slowly through the quiet old town and finds a friend. They stay.",
        attributes={"genres": (KINDS[n % 4],), "director": (f"Ann Maker{n % 3}",)},
    )
    for n, name in enumerate(("Baker", "Sailor", "Painter", "Doctor", "Gardener", "Miner", "Singer", "Tailor"))
)
OUTSIDE = Catalogue(
    Item(
        f"o{n}",
        f"Elsewhere {n} (19{80 + n})",
        attributes={"genres": (KINDS[n % 4],), "director": (f"Bob Other{n % 2}",)},
    )
    for n in range(6)
)
HISTORIES = [np.arange(8), np.arange(8)[::-1], np.array([1, 3, 5, 7]), np.array([2])]


@pytest.fixture(scope="module")
def maker():
    outside = OutsideWorks(OUTSIDE, CATALOGUE)
    return ConversationMaker(Taste.learned(CATALOGUE, HISTORIES, outside.works), HISTORIES, "films", outside)


@pytest.fixture(scope="module")
def made(maker):
    return list(islice(maker.conversations(3), 400))


def test_the_same_seed_makes_the_same_conversations(maker, made):
    assert list(islice(maker.conversations(3), 30)) == made[:30]
    assert list(islice(maker.conversations(4), 30)) != made[:30]


def test_places_follow_the_seeker_and_wishes_grow(made):
    for conversation in made:
        places = [place for place, _ in conversation.wishes]
        assert places == sorted(set(places)) and places[-1] <= len(conversation.turns)
        for place, wish in conversation.wishes:
            assert conversation.turns[place - 1].role == "user"
            assert conversation.turns[place - 1].act in ACTS
            assert set(conversation.profile) <= wish.named
            assert set(wish.liked) | set(wish.disliked) <= wish.named
        assert not set(conversation.left) & conversation.wishes[-1][1].named


def test_every_part_means_something_that_can_be_meant(made):
    meant = {part.meant for conversation in made for turn in conversation.turns for part in turn.parts}
    assert meant <= {"", *ITEM_MEANINGS, *VALUE_MEANINGS}
    assert {"", MUST, NOT, "or", "wish", "free", "liked", "similar", "seen", "disliked", "asked"} <= meant
    acts = {turn.act for conversation in made for turn in conversation.turns if turn.role == "user"}
    assert acts == {LIST, QUESTION, COURTESY}


def test_meanings_agree_with_the_wish_at_the_end(made):
    for conversation in made:
        turns = conversation.turns
        refused = [p.text for turn in turns for p in turn.parts if p.meant == NOT]
        wish = conversation.wishes[-1][1]
        if not refused:
            assert not wish.not_kinds and not wish.not_people


def test_corrections_take_conditions_back():
    wish = Wish(kinds=[("comedy",), ("drama", "war")], not_kinds=["horror"])
    wish.free("comedy")
    wish.free("horror")
    assert wish.kinds == [("drama", "war")] and not wish.not_kinds


def test_some_are_known_before_and_some_messages_are_brief(made):
    assert any(c.profile and len(c.turns) == 1 for c in made) and any(len(c.profile) > 1 for c in made)
    assert 0.4 < np.mean([c.brief for c in made]) < 0.9
    assert all(len(c.turns) == 1 and not c.profile for c in made if c.brief)


def test_what_a_span_of_a_turn_means():
    turn = MadeTurn("user", (Said("no "), Said("horror", NOT), Said(" please")))
    assert turn.text == "no horror please"
    assert turn.meant_at(3, 9) == NOT and turn.meant_at(3, 12) == NOT and turn.meant_at(0, 2) == ""


def test_a_catalogue_of_titles_alone_is_talked_about():
    bare = Catalogue(Item(str(n), f"Thing {n}") for n in range(5))
    maker = ConversationMaker(Taste.learned(bare, [np.arange(5)]), [np.arange(5)])
    assert all(conversation.turns for conversation in islice(maker.conversations(0), 50))
