"""The templates_of of one language: what is to be said -> many sentences that say it, each with the words that make it.

A line of prompts/lang/*.jinja may hold choices, [a|b|c]; one number picks one of each. What comes from the catalogue
is protected while choices are made, so that a title with brackets stays one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recommender import prompts
from recommender.data.catalogue import Catalogue
from recommender.justify.facts import facts_of, label, role, years_of
from recommender.justify.item_names import display_name, title_year
from recommender.justify.style import Style

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_OPEN, _CLOSE = "\ue010", "\ue011"
_PROTECT = str.maketrans({"[": "\ue012", "]": "\ue013", "|": "\ue014", "\n": " "})
_RESTORE = str.maketrans({"\ue012": "[", "\ue013": "]", "\ue014": "|", _OPEN: None, _CLOSE: None})
_PROTECTED = re.compile(f"{_OPEN}[^{_CLOSE}]*{_CLOSE}")
_MOST_DRAWS = 4


@dataclass(frozen=True)
class Fact:
    """One attribute as it will be spoken: its name and the values that hold for everything that is named."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Outline:
    """What a sentence is about to say: of `item`, naming these history items (`others`), with these facts."""

    item: int
    others: tuple[int, ...]
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Template:
    """A sentence, and the chosen words of which it is built; "…" stands for names and facts between them. `line`: which
    line of the language it comes from, as block and number."""

    text: str
    cues: tuple[str, ...]
    line: str = ""


def templates_of(catalogue: Catalogue, plan: Outline, style: Style, turn: int = 0) -> Iterator[Template]:
    """Yield different sentences on an outline, in an order that `turn` decides; every line of the language comes early.

    Only the style's `lines`, if it names some of this kind.
    """
    block = ("shared" if plan.facts else "unshared") if plan.others else "alone" if plan.facts else "bare"
    draw = random.Random(turn)
    verb = draw.choice(style.spoken.verbs)
    variables = phrases_of(catalogue, plan, style) | {"verb": verb}
    guarded = {name: _guard(value) for name, value in variables.items()}
    lines = prompts.render_block(f"lang/{style.language}", block, **guarded).splitlines()
    numbered = [(f"{block}.{n}", line) for n, line in enumerate(line.strip() for line in lines if line.strip())]
    draw.shuffle(numbered)
    numbered = [one for one in numbered if one[0] in style.lines] or numbered
    seen: set[str] = set()
    for name, line in numbered * _MOST_DRAWS:
        found = _chosen(name, line, verb, draw)
        if found.text not in seen:
            seen.add(found.text)
            yield found


def _guard(value: Any) -> Any:
    return f"{_OPEN}{value.translate(_PROTECT)}{_CLOSE}" if isinstance(value, str) and value else value


def _chosen(name: str, line: str, verb: str, draw: random.Random) -> Template:
    cues = [verb] if _guard(verb) in line else []

    def choose(found: re.Match[str]) -> str:
        option = draw.choice(found[1].split("|"))
        if cue := " ".join(_PROTECTED.sub("…", option).strip(" ,").split()):
            cues.append(cue)
        return option

    text = _CHOICE.sub(choose, line).translate(_RESTORE)
    return Template(text[:1].upper() + text[1:], tuple(cues), name)


def phrases_of(catalogue: Catalogue, plan: Outline, style: Style) -> dict[str, Any]:
    """Return what the templates speak of: names in quotation marks, and the facts as phrases in every form."""
    count = len(plan.others) + 1
    return {
        "about": _about(catalogue, plan.item),
        "history": listed([_quoted(catalogue, other) for other in plan.others], style),
        "many_named": len(plan.others) > 1,
        "both": prompts.render_block(f"lang/{style.language}", "both", count=count),
        "is_one": _said(plan.facts, "one", style),
        "are_all": _said(plan.facts, "all", style),
        "noun": _said(plan.facts, "noun", style),
        "group": _said(plan.facts, "group", style),
    }


def listed(values: Sequence[str], style: Style) -> str:
    """Return values as an enumeration: "a, b and c"."""
    return prompts.render_block(f"lang/{style.language}", "listed", values=list(values))


def _said(facts: Sequence[Fact], form: str, style: Style) -> str:
    """Return facts as one phrase: "is a Drama film from the 1990s", "stars Tom Hanks and is from 1995"."""
    if not facts:
        return ""
    joins = form in ("group", "noun") or role(facts[0].name) == "kind"
    first = _phrase(facts[0], form, style)
    rest = [_phrase(fact, "tail" if joins else form, style) for fact in facts[1:]]
    return " ".join([first, *rest]) if joins else listed([first, *rest], style)


def _phrase(fact: Fact, form: str, style: Style) -> str:
    own, values = label(fact.name), listed(fact.values, style)
    one, many = style.spoken.one, style.spoken.many
    told: Mapping[str, Any] = {
        "form": form,
        "role": role(fact.name),
        "label": own if len(fact.values) == 1 or own.endswith("s") else _plural(own),
        "values": values,
        "phrase": style.phrases[fact.name].replace("{values}", values) if fact.name in style.phrases else "",
        "one": one,
        "many": many,
    }
    return prompts.render_block(f"lang/{style.language}", "fact", **told)


def _plural(word: str) -> str:
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def _quoted(catalogue: Catalogue, item: int) -> str:
    return f'"{display_name(catalogue[item])}"'


def _about(catalogue: Catalogue, item: int) -> str:
    """Return the quoted name of the recommended item, with its year unless the title has one."""
    years = years_of(facts_of(catalogue, item))
    name = _quoted(catalogue, item)
    return f"{name} ({years[0]})" if years and not title_year(catalogue[item].title) else name
