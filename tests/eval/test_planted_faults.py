"""Planted faults: every kind is planted where there is room for it, and nothing else is changed."""

from __future__ import annotations

import random

from recommender.eval.planted_faults import FAULT_KINDS, Room, plant_fault

TEXT = 'Because you watched "Alien", try "Aliens" (1986), an action film: both are films from the 1980s.'
ROOM = Room(["Aliens", "Alien"], "watched", "film", "films", "1980s", telling=True)


def planted(text=TEXT, room=ROOM, tries=300):
    draw, texts = random.Random(0), {}
    for _ in range(tries):
        if fault := plant_fault(text, room, draw):
            texts.setdefault(fault.kind, set()).add(fault.text)
    return texts


def test_every_kind_is_planted():
    faults = planted()
    assert set(faults) == set(FAULT_KINDS) and all(TEXT not in texts for texts in faults.values())
    assert faults["wrong article"] == {TEXT.replace("an action", "a action")}
    assert any("watched watched" in text for text in faults["doubled word"])
    assert any("are a films" in text for text in faults["wrong number"])
    assert any('"Aliens" "Aliens"' in text for text in faults["title twice"])
    assert any('like "Alien" in your history, like "Alien"' in text for text in faults["tautology"])
    assert 'Because you watched "Alien", try "Aliens".' in faults["vacuous"]


def test_names_stay_whole_and_what_tells_nothing_is_not_emptied():
    faults = planted(
        TEXT.replace("Alien", "The Film Is a Film"), Room(["The Film Is a Films"], "watched", "film", "films")
    )
    assert "vacuous" not in faults
    assert all('"The Film Is a Film' in text for kind, texts in faults.items() if kind != "tautology" for text in texts)
