"""The style of a justification: its language, its length, and the words for what is recommended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recommender import prompts
from recommender.config import LENGTHS, JustifyConfig, Length, PromptConfig
from recommender.errors import ConfigError
from recommender.justify.english import DomainWords, domain_words, history_verbs

ENGLISH = "en"
CROWD = "others"
"""What stands in `Style.prefers` for what others did, in the place of an attribute."""


@dataclass(frozen=True)
class Size:
    """What a length allows: words (a name counts as one), history items named, attributes, values of an attribute."""

    words: int
    named: int
    groups: int
    values: int


SIZES: Mapping[Length, Size] = {
    "short": Size(words=20, named=1, groups=1, values=1),
    "normal": Size(words=32, named=2, groups=2, values=2),
    "detailed": Size(words=48, named=3, groups=3, values=3),
}


@dataclass(frozen=True)
class Style:
    """`noun`: what is recommended, in the plural. `phrases`: attribute -> how its value is said, as in "rated {values}".

    `prefers`: attributes that are named before others. `lines`: the templates to use, as in `Template.line`; empty: all.
    `liked`: histories hold only what people rated high, so that they may be said to have liked it.
    """

    noun: str = "items"
    language: str = ENGLISH
    length: Length = "normal"
    phrases: Mapping[str, str] = field(default_factory=dict)
    prefers: tuple[str, ...] = ()
    lines: frozenset[str] = frozenset()
    liked: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError for an unknown language or length."""
        if self.language not in prompts.languages():
            known = ", ".join(prompts.languages())
            raise ConfigError(
                f"language {self.language!r}: there is no prompts/lang/{self.language}.jinja", f"use {known}"
            )
        if self.length not in LENGTHS:
            raise ConfigError(f"length {self.length!r} is not known", f"use {', '.join(LENGTHS)}")

    @classmethod
    def of(cls, prompt: PromptConfig, justify: JustifyConfig) -> Style:
        """Return the style of a configuration."""
        return cls(prompt.noun, justify.language, justify.length, dict(justify.phrases))

    @property
    def size(self) -> Size:
        """What the length allows."""
        return SIZES[self.length]

    @property
    def words(self) -> DomainWords:
        """The words for what is recommended, in the language of the justification."""
        english = domain_words(self.noun)
        verbs = tuple(verb for verb in history_verbs(self.noun, self.liked) if verb != "chosen")
        variables = {"noun": self.noun.casefold(), "one": english.singular, "many": english.plural, "verbs": verbs}
        one, many, *translated = prompts.render_block(f"lang/{self.language}", "words", **variables).split("|")
        return DomainWords(one, many, tuple(translated))
