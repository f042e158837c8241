"""Phrasings of queries that no training reads: some name the wanted attribute value, others describe it in other words."""

from __future__ import annotations

from collections.abc import Mapping

#: {a}: an attribute value as the catalogue writes it
NAMED = (
    "could you find me something {a}?",
    "tonight calls for {a}",
    "we are looking for a good {a} one",
    "got anything {a}?",
)

#: a kind of film -> descriptions that do not name it
OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    "action": ("lots of explosions and car chases", "fist fights, guns and a hero who never stops"),
    "adventure": ("a quest to far away lands", "explorers in search of a lost treasure"),
    "animation": ("a cartoon", "drawn by hand, like Disney used to"),
    "children's": ("something to watch with my six year old", "harmless fun for the little ones"),
    "comedy": ("make me laugh out loud", "a funny one with a lot of jokes"),
    "crime": ("gangsters and the mafia", "a heist, robbers and the police"),
    "documentary": ("true facts about the real world", "interviews with real people"),
    "drama": ("a moving story about people and their troubles", "serious, sad and touching"),
    "fantasy": ("wizards, dragons and magic", "fairies and enchanted kingdoms"),
    "film-noir": ("a cynical private eye in black and white", "a femme fatale and shadows in the rain"),
    "horror": ("something really scary", "monsters, blood and nightmares"),
    "musical": ("people who burst into song and dance", "singing and dancing on stage"),
    "mystery": ("who is the murderer? keep me guessing", "a detective solves a puzzle"),
    "romance": ("two people fall in love", "a love story for a date"),
    "sci-fi": ("space ships, aliens and robots", "the future and its machines"),
    "thriller": ("full of suspense, on the edge of my seat", "a killer is on the loose and time runs out"),
    "war": ("soldiers on the battlefield", "trenches, tanks and generals"),
    "western": ("cowboys and outlaws", "gunslingers in the old west"),
}
