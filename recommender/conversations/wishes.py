"""What somebody has said in a conversation that bears on what they would like."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

#: what can be meant by the name of an item, and by a value: see `prompts/conversations`
LIKED, SIMILAR, SEEN, DISLIKED, ASKED, NOTHING = "liked", "similar", "seen", "disliked", "asked", "none"
MUST, OR, WISH, NOT, FREE = "must", "or", "wish", "not", "free"
ITEM_MEANINGS = (LIKED, SIMILAR, SEEN, DISLIKED, ASKED, NOTHING)
VALUE_MEANINGS = (MUST, OR, WISH, NOT, FREE, NOTHING)
#: what a message is: it wants a list, asks something, or is only polite
LIST, QUESTION, COURTESY = "list", "question", "courtesy"
ACTS = (LIST, QUESTION, COURTESY)


@dataclass
class Wish:
    """What a seeker has said so far. Items are catalogue indices, `outside` those of works that the catalogue lacks.

    `kinds`: conditions, each a group of which one must hold; `tastes`: kinds that are liked; `named`: every item that was
    spoken of, which is not recommended again; `quoted`: items whose descriptions are quoted; `years`: first and last.
    """

    liked: list[int] = field(default_factory=list)
    disliked: list[int] = field(default_factory=list)
    outside: list[int] = field(default_factory=list)
    kinds: list[tuple[str, ...]] = field(default_factory=list)
    tastes: list[str] = field(default_factory=list)
    not_kinds: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    not_people: list[str] = field(default_factory=list)
    themes: list[str] = field(default_factory=list)
    quoted: list[int] = field(default_factory=list)
    years: tuple[int, int] | None = None
    named: set[int] = field(default_factory=set)

    def copy(self) -> Wish:
        """Return the wish as it is now."""
        copied = {name: list(value) for name, value in vars(self).items() if isinstance(value, list)}
        return replace(self, **copied, named=set(self.named))  # type: ignore[arg-type]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said that could tell items apart."""
        return replace(self, named=set()) == Wish()

    def free(self, kind: str) -> None:
        """Take back what was said of a kind."""
        self.kinds = [group for group in self.kinds if kind not in group]
        self.not_kinds = [other for other in self.not_kinds if other != kind]
