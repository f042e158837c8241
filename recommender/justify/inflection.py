"""Singular and plural of English nouns by their endings, for attribute names and for what is recommended.

Not the library `inflect`: its import takes 2.3 s of CPU time and its plurals 28 times as long over the values of a
catalogue, and it changes what is singular already ("genus" -> "genu", "bus" -> "bu").
"""

from __future__ import annotations

_SAME = ("series", "species", "news")
_HISSING = ("s", "x", "z", "ch", "sh")
#: plurals of nouns in -ie, which look like those of nouns in -y
_IN_IE = ("cookies", "movies")


def singular(word: str) -> str:
    """Return the singular of an English noun; a word that is no plural stays as it is."""
    if word.endswith(_SAME):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-1] if word.endswith(_IN_IE) else f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 2 else word


def plural(word: str) -> str:
    """Return the plural of an English noun that is given in the singular."""
    if word.endswith(_SAME):
        return word
    if word.endswith("y") and word[-2:-1] not in set("aeiou"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(_HISSING) else f"{word}s"
