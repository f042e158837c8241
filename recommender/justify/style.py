"""How a justification shall be written: in which language, how long, of what kind of thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recommender import prompts
from recommender.config import LENGTHS, Length, PromptConfig
from recommender.config import JustifyConfig as Settings
from recommender.errors import ConfigError
from recommender.justify.english import Domain, domain

ENGLISH = "en"


@dataclass(frozen=True)
class Size:
    """What a length allows: words (a name counts as one), history items named, kinds of facts, values of a kind."""

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
    `prefers`: attributes that are spoken of before others. `lines`: those of the language that are used; empty: all."""

    noun: str = "items"
    language: str = ENGLISH
    length: Length = "normal"
    phrases: Mapping[str, str] = field(default_factory=dict)
    prefers: tuple[str, ...] = ()
    lines: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Raises ConfigError for a language or a length that there is none of."""
        if self.language not in prompts.languages():
            known = ", ".join(prompts.languages())
            raise ConfigError(
                f"language {self.language!r}: there is no prompts/lang/{self.language}.jinja", f"use {known}"
            )
        if self.length not in LENGTHS:
            raise ConfigError(f"length {self.length!r} is not known", f"use {', '.join(LENGTHS)}")

    @classmethod
    def of(cls, prompt: PromptConfig, justify: Settings) -> Style:
        """Return what a configuration says."""
        return cls(prompt.noun, justify.language, justify.length, dict(justify.phrases))

    @property
    def size(self) -> Size:
        """What the length allows."""
        return SIZES[self.length]

    @property
    def spoken(self) -> Domain:
        """The words for what is recommended, in the language of the sentence."""
        english = domain(self.noun)
        verbs = tuple(verb for verb in english.done if verb != "chosen")
        told = {"noun": self.noun.casefold(), "one": english.one, "many": english.many, "verbs": verbs}
        one, many, *done = prompts.render_block(f"lang/{self.language}", "words", **told).split("|")
        return Domain(one, many, tuple(done))
