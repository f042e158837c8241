"""The English words that the checker understands: words that claim nothing, and words that point at an attribute.

A word that is in no list here and in no title or attribute of the catalogue claims something that cannot be verified, so
the lists are short on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from recommender.justify.inflection import singular


@dataclass(frozen=True)
class DomainWords:
    """The words for what is recommended. `verbs`: what people do with it, in the past tense, the usual one first."""

    singular: str
    plural: str
    verbs: tuple[str, ...] = ("chose",)
    other_nouns: tuple[str, ...] = ()

    @property
    def past_verbs(self) -> tuple[str, ...]:
        """What people are known to have done with an item of their history: the verbs, or simply that they chose it."""
        return (*self.verbs, "chose", "chosen", "picked")


_FILMS = DomainWords("film", "films", ("watched", "saw"), ("movie", "movies"))
_SONGS = DomainWords("song", "songs", ("listened to", "heard", "played"), ("track", "tracks"))
_DOMAINS = {
    "films": _FILMS,
    "movies": DomainWords("movie", "movies", _FILMS.verbs, ("film", "films")),
    "series": DomainWords("series", "series", _FILMS.verbs, ("show", "shows")),
    "books": DomainWords("book", "books", ("read",)),
    "articles": DomainWords("article", "articles", ("read",)),
    "songs": _SONGS,
    "tracks": DomainWords("track", "tracks", _SONGS.verbs, ("song", "songs")),
    "music": DomainWords("piece of music", "pieces of music", _SONGS.verbs),
    "games": DomainWords("game", "games", ("played",)),
}


@lru_cache(maxsize=64)
def domain_words(noun: str) -> DomainWords:
    """Return the words for what is recommended, given its name in the plural; people "chose" what is in no list.

    Of "films and products" they chose a "film or product".
    """
    if known := _DOMAINS.get(noun.casefold()):
        return known
    names = [name for name in noun.split(" and ") if name.strip()]
    if len(names) < 2:
        return DomainWords(singular(noun), noun)
    parts = [domain_words(name) for name in names]
    others = tuple(text for part in parts for text in (part.singular, part.plural, *part.other_nouns))
    return DomainWords(" or ".join(part.singular for part in parts), noun, other_nouns=others)


def history_verbs(noun: str, liked: bool) -> tuple[str, ...]:
    """Return what people are known to have done with what they had; `liked`: only what they rated high was kept."""
    return (*domain_words(noun).past_verbs, *(LIKING if liked else ()))


#: words that speak of what others did, which is compared with counts
CROWD = frozenset("many people".split())
#: words that claim nothing of their own
NEUTRAL = (
    frozenset(
        """a add adds after again all along alongside also among an and another are as at based be because been being besides
    both can choice choices come comes could each else every fan fans fit fits fitting follow following follows for from
    given go goes good had has have here history if in into is it item items join joins lead leads like link links list
    match matches may might more much natural next now of on once one ones option or other others our pick picks point
    points reason recommend recommendation recommendations recommending recommended same share shared shares sharing
    should similar similarly since so some something such suggest suggested suggesting suggestion suggestions suit suits
    than thanks that the their them then these they this those title titles to together too try us was we well what when
    were which who will with would you your""".split()
    )
    | frozenset("part mainly rank ranks up won that back belongs made there touch touches whom".split())
    | frozenset("already alike appreciate common enjoy enjoyed had just liked loved want wanted".split())
    | CROWD
    | frozenset(("either",))
)
#: words of taste, allowed only about what somebody may like, or if they like it
TASTE = frozenset("liked loved enjoyed wanted".split())
#: what people may be said to have done with items that they rated high, beside what they do with any
LIKING = ("liked", "enjoyed", "loved")
#: endings split off by an apostrophe: it's, you've, we'll, they're, you'd
CLITICS = frozenset(("s", "ve", "ll", "re", "d"))
#: words that say that a fact holds for more than one item
SHARING = frozenset(
    """both all too also like same share shares shared sharing common similar similarly another more well such they
    them their these those again other others alike each every""".split()
)
#: words that claim a resemblance, which needs a shared fact
RESEMBLING = frozenset("same share shares shared sharing common similar similarly alike".split())
PRONOUNS = frozenset(("it", "this"))

#: words before (or right after) a value that say which role it plays
CUES: dict[str, frozenset[str]] = {
    **dict.fromkeys(("genre", "genres", "category", "categories"), frozenset({"kind"})),
    **dict.fromkeys(("directed", "director", "directors"), frozenset({"director"})),
    **dict.fromkeys(("star", "stars", "starring", "starred", "actor", "actors", "cast"), frozenset({"cast"})),
    **dict.fromkeys(("feature", "features", "featuring", "appear", "appears"), frozenset({"cast"})),
    **dict.fromkeys(("written", "wrote", "writer", "writers", "author", "authors"), frozenset({"writer"})),
    **dict.fromkeys(("artist", "artists", "performed", "sung"), frozenset({"artist"})),
    **dict.fromkeys(("released", "year"), frozenset({"year"})),
    "decade": frozenset({"decade"}),
    "rated": frozenset({"age rating"}),
    "tagged": frozenset({"keyword", "tag"}),
    "by": frozenset(
        {"director", "writer", "artist", "brand", "maker", "manufacturer", "publisher", "developer", "label"}
    ),
}
#: other words for a value of the role `kind`
SYNONYMS = {
    "sci-fi": ("science fiction", "scifi"),
    "science fiction": ("sci-fi", "scifi"),
    "romance": ("romantic",),
    "comedy": ("comedic",),
    "drama": ("dramatic",),
    "children's": ("children",),
    "animation": ("animated",),
    "film-noir": ("noir",),
    "musical": ("musicals",),
    "biography": ("biographical",),
}


@lru_cache(maxsize=64)
def neutral_words(noun: str) -> frozenset[str]:
    """Return the words that claim nothing where `noun` is recommended: its names and verbs are among them."""
    words = domain_words(noun)
    texts = (words.singular, words.plural, *words.other_nouns, *words.past_verbs)
    return NEUTRAL | {word for text in texts for word in text.casefold().split()}
