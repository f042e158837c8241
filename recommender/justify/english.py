"""English, as far as the checker understands it: words that claim nothing, words that point at a role, and who did what.

Everything here belongs to the language alone. A word that is in no list and in no title or attribute of the catalogue
says something that nobody can verify, so the lists are short on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from recommender.justify.facts import singular


@dataclass(frozen=True)
class Domain:
    """What is recommended, in words. `verbs`: what people do with it, in the past; the first one is spoken."""

    one: str
    many: str
    verbs: tuple[str, ...] = ("chose",)
    nouns: tuple[str, ...] = ()

    @property
    def done(self) -> tuple[str, ...]:
        """What people are known to have done with an item of their history: the verbs, or simply that they chose it."""
        return (*self.verbs, "chose", "chosen", "picked")


_FILMS = Domain("film", "films", ("watched", "saw"), ("movie", "movies"))
_SONGS = Domain("song", "songs", ("listened to", "heard", "played"), ("track", "tracks"))
_DOMAINS = {
    "films": _FILMS,
    "movies": Domain("movie", "movies", _FILMS.verbs, ("film", "films")),
    "series": Domain("series", "series", _FILMS.verbs, ("show", "shows")),
    "books": Domain("book", "books", ("read",)),
    "articles": Domain("article", "articles", ("read",)),
    "songs": _SONGS,
    "tracks": Domain("track", "tracks", _SONGS.verbs, ("song", "songs")),
    "music": Domain("piece of music", "pieces of music", _SONGS.verbs),
    "games": Domain("game", "games", ("played",)),
}


@lru_cache(maxsize=64)
def domain(noun: str) -> Domain:
    """Return the words for what is recommended, given its name in the plural; of the unknown people "chose" some."""
    return _DOMAINS.get(noun.casefold()) or Domain(singular(noun), noun)


#: words that claim nothing of their own
NEUTRAL = frozenset(
    """a add adds after again all along alongside also among an and another are as at based be because been being besides
    both can choice choices come comes could each else every fan fans fit fits fitting follow following follows for from
    given go goes good had has have here history if in into is it item items join joins lead leads like link links list
    match matches may might more much natural next now of on once one ones option or other others our pick picks point
    points reason recommend recommendation recommendations recommending recommended same share shared shares sharing
    should similar similarly since so some something such suggest suggested suggesting suggestion suggestions suit suits
    than thanks that the their them then these they this those title titles to together too try us was we well what when
    which who will with would you your""".split()
) | frozenset("already alike appreciate common enjoy enjoyed had just liked loved want wanted".split())
#: words that speak of taste: said only of what somebody may like, or if they like it
TASTE = frozenset("liked loved enjoyed wanted".split())
#: endings split off by an apostrophe: it's, you've, we'll, they're, you'd
CLITICS = frozenset(("s", "ve", "ll", "re", "d"))
#: words that say a fact belongs to more than one item
SHARING = frozenset(
    """both all too also like same share shares shared sharing common similar similarly another more well such they
    them their these those again other others alike each every""".split()
)
#: words that say items resemble each other; without a shared fact nothing shows that
RESEMBLING = frozenset("same share shares shared sharing common similar similarly alike".split())
PRONOUNS = frozenset(("it", "this"))

#: words before (or right after) a value that say which role it plays
CUES: dict[str, frozenset[str]] = {
    **dict.fromkeys(("genre", "genres", "category", "categories"), frozenset({"kind"})),
    **dict.fromkeys(("directed", "director", "directors"), frozenset({"director"})),
    **dict.fromkeys(("star", "stars", "starring", "starred", "actor", "actors", "cast"), frozenset({"cast"})),
    **dict.fromkeys(("written", "writer", "writers", "author", "authors"), frozenset({"writer"})),
    **dict.fromkeys(("artist", "artists", "performed", "sung"), frozenset({"artist"})),
    **dict.fromkeys(("released", "year"), frozenset({"year"})),
    "decade": frozenset({"decade"}),
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
}


@lru_cache(maxsize=64)
def neutral_words(noun: str) -> frozenset[str]:
    """Return the words that claim nothing where `noun` is recommended: its names and verbs are among them."""
    spoken = domain(noun)
    return NEUTRAL | {
        w for text in (spoken.one, spoken.many, *spoken.nouns, *spoken.done) for w in text.casefold().split()
    }
