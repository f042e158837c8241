"""How people name kinds in English: "a crime drama" for Crime and Drama, "romantic comedies" for Comedy and Romance.

Only words that every reader knows are joined so; other kinds are said as the catalogue writes them, before the noun.
"""

from __future__ import annotations

from collections.abc import Sequence

from recommender.justify.inflection import plural

#: kind -> as an adjective, and as a noun where it can stand alone; in the order in which several adjectives stand
_WORDS: dict[str, tuple[str, str]] = {
    "romance": ("romantic", ""),
    "animation": ("animated", ""),
    "biography": ("biographical", ""),
    "science fiction": ("science fiction", ""),
    "sci-fi": ("science fiction", ""),
    "fantasy": ("fantasy", ""),
    "children's": ("children's", ""),
    "crime": ("crime", ""),
    "war": ("war", ""),
    "horror": ("horror", ""),
    "action": ("action", ""),
    "adventure": ("adventure", ""),
    "comedy": ("comedy", "comedy"),
    "documentary": ("documentary", "documentary"),
    "drama": ("drama", "drama"),
    "film-noir": ("noir", ""),
    "musical": ("musical", "musical"),
    "mystery": ("mystery", "mystery"),
    "thriller": ("thriller", "thriller"),
    "western": ("western", "western"),
}
_ORDER = list(_WORDS)
#: which of several nouns ends the phrase: a "comedy thriller" is a thriller, a "comedy western" a western
_LAST = ("comedy", "drama", "musical", "documentary", "western", "mystery", "thriller")


def kind_phrase(kinds: Sequence[str], noun: str, spelled: str, several: bool) -> str:
    """Return kinds as one noun, "romantic comedy" or "Jazz record", in the plural if `several`.

    `noun`: that of the catalogue, in the same number. `spelled`: the kinds as an enumeration, which stands before the noun
    where one of them is not a common word.
    """
    if not kinds or any(kind.casefold() not in _WORDS for kind in kinds):
        return f"{spelled} {noun}"
    known = [_WORDS[kind] for kind in sorted((kind.casefold() for kind in kinds), key=_ORDER.index)]
    nouns = sorted((word[1] for word in known if word[1]), key=_LAST.index)
    if not nouns:
        return " ".join([*(adjective for adjective, _ in known), noun])
    last = nouns[-1]
    before = [adjective for adjective, own in known if own != last]
    return " ".join([*before, plural(last) if several else last])
