"""The parts of a ranking in plain words, which follow what the catalogue calls its items."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recommender.engine.engine import Engine

#: name -> title and description; {many}, {one}: what is recommended
_WORDS: dict[str, tuple[str, str]] = {
    "text": (
        "Text: what is written of it",
        "What is written of each of the {many}: its title, its attributes and its description.",
    ),
    "knowledge": (
        "Knowledge: what a language model knows of the name",
        "What another language model makes of each title: what it has read elsewhere.",
    ),
    "image": ("Picture: what it looks like", "What the picture of each of the {many} shows: forms and colours."),
    "audio": ("Sound: what it sounds like", "What is heard in the sound of each of the {many}."),
    "collaborative": (
        "Company: what is liked together",
        "Which {many} the same people had, in the histories that the model was trained on.",
    ),
    "popularity": (
        "Popularity: what everybody is shown",
        "How likely the model takes each of the {many} for somebody of whom it knows nothing. Without it, what everybody"
        " would be shown counts for nothing.",
    ),
    "history": (
        "Your history: what you told of yourself",
        "The {many} of your history. Without it they are only left out of the list, and decide nothing.",
    ),
    "baselines": ("Other methods: {names}", "Rankings by {names} that are added to that of the language model."),
    "query": (
        "Your words: what you ask for",
        "How like your words each text is: {weight:g} nats for each standard deviation, beside what the language model"
        " makes of them.",
    ),
    "feedback": ("Not for me: what you refused", "The {many} that you called not for you are not listed."),
    "filters": ("Filters: what may be listed", "Only {many} that meet your filters, and are not excluded, are listed."),
    "domains": (
        "Catalogues: which of them the list is of",
        "Only what is of the catalogues that you chose is listed; of several, the best of each take turns.",
    ),
    "boosts": ("Boosts: what was raised or lowered", "Nats that the request adds to the scores of some {many}."),
}
_STANDINS = {
    "image": "Here it is a stand-in for missing pictures: the title, drawn on a card.",
    "audio": "Here it is a stand-in for missing sounds: the title, spoken.",
}


def described(name: str, engine: Engine) -> tuple[str, str]:
    """Return the title and the description of a part, as sentences for people who use what an engine recommends."""
    title, description = _WORDS[name]
    names = " and ".join(engine.fusion.baselines) if engine.fusion is not None else ""
    values = {"many": engine.style.noun, "names": names, "weight": engine.config.decoding.query_weight}
    standin = _STANDINS.get(name, "") if engine.config.data.standin_media else ""
    return title.format(**values), " ".join(filter(None, (description.format(**values), standin)))
