"""The templates of one language: an outline -> many sentences that say it, each with the words that shape it.

A line of prompts/lang/*.jinja may hold choices, [a|b|c]; a seed picks one of each. Texts from the catalogue are protected
while choices are made, so that a title with brackets stays whole.
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
from recommender.justify.inflection import plural
from recommender.justify.item_names import display_name, title_year
from recommender.justify.style import Style

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_OPEN, _CLOSE = "\ue010", "\ue011"
_PROTECT = str.maketrans({"[": "\ue012", "]": "\ue013", "|": "\ue014", "\n": " "})
_RESTORE = str.maketrans({"\ue012": "[", "\ue013": "]", "\ue014": "|", _OPEN: None, _CLOSE: None})
_PROTECTED = re.compile(f"{_OPEN}[^{_CLOSE}]*{_CLOSE}")
_DRAWS_PER_LINE = 4


@dataclass(frozen=True)
class Fact:
    """One attribute of an outline: its name and the values that hold for everything that is named."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Outline:
    """What a justification will say: of `item`, naming these history items (`others`), with these facts.

    `facts` hold for everything that is named, `own` for the item alone.
    """

    item: int
    others: tuple[int, ...]
    facts: tuple[Fact, ...]
    own: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Template:
    """A filled template. `cues`: the chosen words that shape it; "…" stands for names and facts between them.

    `line`: the line of the language that it comes from, as block and number: "shared.3".
    """

    text: str
    cues: tuple[str, ...]
    line: str = ""


def templates_of(catalogue: Catalogue, outline: Outline, style: Style, seed: int = 0) -> Iterator[Template]:
    """Yield different texts on an outline, in an order that `seed` decides; each line of the language comes early.

    Only the style's `lines` are used, if it names some of this block.
    """
    block = _block_of(outline)
    draw = random.Random(seed)
    verb = draw.choice(style.words.verbs)
    variables = phrases_of(catalogue, outline, style) | {"verb": verb}
    protected = {name: _protect(value) for name, value in variables.items()}
    rendered = prompts.render_block(f"lang/{style.language}", block, **protected).splitlines()
    numbered = [(f"{block}.{n}", line) for n, line in enumerate(line.strip() for line in rendered if line.strip())]
    draw.shuffle(numbered)
    numbered = [(name, line) for name, line in numbered if name in style.lines] or numbered
    yielded: set[str] = set()
    for name, line in numbered * _DRAWS_PER_LINE:
        template = _make_choices(name, line, verb, draw)
        if template.text not in yielded:
            yielded.add(template.text)
            yield template


def _block_of(outline: Outline) -> str:
    if outline.others:
        return "shared" if outline.facts else "own" if outline.own else "unshared"
    return "alone" if outline.facts else "bare"


def _protect(value: Any) -> Any:
    return f"{_OPEN}{value.translate(_PROTECT)}{_CLOSE}" if isinstance(value, str) and value else value


def _make_choices(name: str, line: str, verb: str, draw: random.Random) -> Template:
    cues = [verb] if _protect(verb) in line else []

    def choose(match: re.Match[str]) -> str:
        option = draw.choice(match[1].split("|"))
        if cue := " ".join(_PROTECTED.sub("…", option).strip(" ,").split()):
            cues.append(cue)
        return option

    text = _CHOICE.sub(choose, line).translate(_RESTORE)
    return Template(text[:1].upper() + text[1:], tuple(cues), name)


def phrases_of(catalogue: Catalogue, outline: Outline, style: Style) -> dict[str, Any]:
    """Return the variables of a template: names in quotation marks, and the facts as phrases in every form."""
    count = len(outline.others) + 1
    return {
        "about": _name_with_year(catalogue, outline.item),
        "history": enumeration([_quoted_name(catalogue, other) for other in outline.others], style),
        "many_named": len(outline.others) > 1,
        "both": prompts.render_block(f"lang/{style.language}", "both", count=count),
        "is_one": _facts_phrase(outline.facts, "one", style),
        "are_all": _facts_phrase(outline.facts, "all", style),
        "noun": _facts_phrase(outline.facts, "noun", style),
        "group": _facts_phrase(outline.facts, "group", style),
        "own_one": _facts_phrase(outline.own, "one", style),
        "own_noun": _facts_phrase(outline.own, "noun", style),
    }


def enumeration(values: Sequence[str], style: Style) -> str:
    """Return values as an enumeration: "a, b and c"."""
    return prompts.render_block(f"lang/{style.language}", "listed", values=list(values))


def _facts_phrase(facts: Sequence[Fact], form: str, style: Style) -> str:
    """Return facts as one phrase: "is a Drama film from the 1990s", "stars Tom Hanks and is from 1995"."""
    if not facts:
        return ""
    joins = form in ("group", "noun") or role(facts[0].name) == "kind"
    first = _fact_phrase(facts[0], form, style)
    rest = [_fact_phrase(fact, "tail" if joins else form, style) for fact in facts[1:]]
    return " ".join([first, *rest]) if joins else enumeration([first, *rest], style)


def _fact_phrase(fact: Fact, form: str, style: Style) -> str:
    name, values = label(fact.name), enumeration(fact.values, style)
    variables: Mapping[str, Any] = {
        "form": form,
        "role": role(fact.name),
        "label": name if len(fact.values) == 1 or name.endswith("s") else plural(name),
        "values": values,
        "phrase": style.phrases[fact.name].replace("{values}", values) if fact.name in style.phrases else "",
        "one": style.words.singular,
        "many": style.words.plural,
    }
    return prompts.render_block(f"lang/{style.language}", "fact", **variables)


def _quoted_name(catalogue: Catalogue, item: int) -> str:
    return f'"{display_name(catalogue[item])}"'


def _name_with_year(catalogue: Catalogue, item: int) -> str:
    """Return the quoted name of the recommended item, with its year unless the title has one."""
    years = years_of(facts_of(catalogue, item))
    name = _quoted_name(catalogue, item)
    return f"{name} ({years[0]})" if years and not title_year(catalogue[item].title) else name
