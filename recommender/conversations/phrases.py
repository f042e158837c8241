"""The phrases of made-up conversations: how people greet, wish, like, refuse and answer; `prompts/conversations/*.yaml`.

Beside those of a language, `en.yaml`, may lie more that a base model wrote, `en.written.yaml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from recommender import prompts
from recommender.errors import ConfigError
from recommender.justify.english import SYNONYMS, DomainWords
from recommender.strict.yaml_documents import read_yaml

_FOLDER = Path(prompts.__file__).parent / "conversations"


class Phrases:
    """The phrases of one language. Every draw takes them as often as any other of its kind."""

    def __init__(self, groups: dict[str, tuple[str, ...]], kinds: dict[str, tuple[str, ...]]) -> None:
        """`groups`: name -> phrases; `kinds`: kind, casefolded -> other words for it."""
        self._groups, self._kinds = groups, kinds

    def draw(self, group: str, random: np.random.Generator) -> str:
        """Return one phrase of a group, with its places open."""
        return pick(self._groups[group], random)

    def group(self, name: str) -> tuple[str, ...]:
        """Return all phrases of a group."""
        return self._groups[name]

    def words_for(self, kind: str) -> tuple[str, ...]:
        """Return the words that people have for a kind; a kind that nobody has other words for is said as it is."""
        known = kind.casefold()
        alike = (known, *(name for name, others in SYNONYMS.items() if known in others))
        return next((self._kinds[name] for name in alike if name in self._kinds), (known,))


def pick(choices: Sequence[str], random: np.random.Generator) -> str:
    """Return one of several texts."""
    return choices[int(random.integers(len(choices)))]


def filled(phrase: str, words: DomainWords, random: np.random.Generator, **values: str) -> str:
    """Return a phrase with its nouns said in any of the ways that people have, and other places filled."""
    nouns = [(words.singular, words.plural)]
    nouns += [(one, many) for one, many in zip(words.other_nouns[::2], words.other_nouns[1::2], strict=False)]
    one, many = nouns[int(random.integers(len(nouns)))]
    return phrase.format_map({"noun": one, "nouns": many, **values})


@cache
def phrases_of(language: str = "en") -> Phrases:
    """Return the phrases of a language. Raises ConfigError for one that has none, or a file of another form."""
    path = _FOLDER / f"{language}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in _FOLDER.glob("*.yaml") if "." not in file.stem))
        raise ConfigError(f"no phrases of conversations for {language!r}", f"there are: {known}")
    content, more = read_yaml(path, ConfigError), path.with_name(f"{language}.written.yaml")
    for name, phrases in (read_yaml(more, ConfigError) if more.is_file() else {}).items():
        content[name] = [*content[name], *phrases]
    kinds = {str(kind): tuple(map(str, words)) for kind, words in content.pop("kinds").items()}
    return Phrases({name: tuple(map(str, phrases)) for name, phrases in content.items()}, kinds)
