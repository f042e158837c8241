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
from recommender.justify.facts import PEOPLE, facts_of, label, role, years_of
from recommender.justify.inflection import plural
from recommender.justify.item_names import display_name, title_year
from recommender.justify.kinds import kind_phrase
from recommender.justify.style import Style

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_OPEN, _CLOSE = "\ue010", "\ue011"
_PROTECT = str.maketrans({"[": "\ue012", "]": "\ue013", "|": "\ue014", "\n": " "})
_RESTORE = str.maketrans({"\ue012": "[", "\ue013": "]", "\ue014": "|", _OPEN: None, _CLOSE: None})
_PROTECTED = re.compile(f"{_OPEN}[^{_CLOSE}]*{_CLOSE}")
_DRAWS_PER_LINE = 4
#: blocks of a language that are choices of words, used within its lines
_CHOICES_OF_WORDS = ("offer", "fit")


@dataclass(frozen=True)
class Fact:
    """One attribute of an outline: its name and the values that hold for everything that is named."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Outline:
    """What a justification will say: of `item`, naming these history items (`others`), with these facts.

    `facts` hold for everything that is named, `own` for the item alone: what it is. `crowd`: how many people had each of
    `others` and the item; empty if that is not to be said.
    """

    item: int
    others: tuple[int, ...]
    facts: tuple[Fact, ...]
    own: tuple[Fact, ...] = ()
    crowd: tuple[int, ...] = ()


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
    draw = random.Random(seed)
    verb = draw.choice(style.words.verbs)
    variables = phrases_of(catalogue, outline, style) | {"verb": verb}
    protected = {name: _protect(value) for name, value in variables.items()}
    protected |= {name: prompts.render_block(f"lang/{style.language}", name) for name in _CHOICES_OF_WORDS}
    numbered = [
        (f"{block}.{number}", line)
        for block in _blocks_of(outline)
        for number, line in enumerate(_lines(prompts.render_block(f"lang/{style.language}", block, **protected)))
    ]
    draw.shuffle(numbered)
    numbered = [(name, line) for name, line in numbered if name in style.lines] or numbered
    yielded: set[str] = set()
    for name, line in numbered * _DRAWS_PER_LINE:
        template = _make_choices(name, line, verb, draw)
        if template.text not in yielded:
            yielded.add(template.text)
            yield template


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _blocks_of(outline: Outline) -> tuple[str, ...]:
    """Return the blocks of a language whose lines can say an outline."""
    if not outline.others:
        return ("alone",) if outline.own else ("bare",)
    if outline.crowd:
        more = (("companions_own", bool(outline.own)), ("companions_counted", len(outline.crowd) == 1))
        return ("companions", *(block for block, fits in more if fits))
    if not outline.facts:
        return ("own",) if outline.own else ("unshared",)
    by_role = [name for name, has in (("people", _people(outline)), ("series", _series(outline))) if has]
    return ("shared_own" if outline.own else "shared", *by_role)


def _people(outline: Outline) -> Fact | None:
    """Return those whose works all named items are, if nothing else is said of what they share."""
    only = outline.facts[0] if len(outline.facts) == 1 else None
    return only if only and role(only.name) in PEOPLE else None


def _series(outline: Outline) -> Fact | None:
    only = outline.facts[0] if len(outline.facts) == 1 else None
    return only if only and role(only.name) == "series" else None


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
    people, series = _people(outline), _series(outline)
    own = facts_phrase(outline.own, "noun", style)
    return {
        "about": _name_with_year(catalogue, outline.item),
        "history": enumeration([_quoted_name(catalogue, other) for other in outline.others], style),
        "any_of": enumeration([_quoted_name(catalogue, other) for other in outline.others], style, "any_of"),
        "people_count": str(outline.crowd[0]) if len(outline.crowd) == 1 else "",
        "crowd": bool(outline.crowd),
        "many_named": len(outline.others) > 1,
        "both": prompts.render_block(f"lang/{style.language}", "both", count=count),
        "is_one": facts_phrase(outline.facts, "one", style),
        "are_all": facts_phrase(outline.facts, "all", style),
        "noun": facts_phrase(outline.facts, "noun", style),
        "group": facts_phrase(outline.facts, "group", style),
        "own": own,
        "own_tail": f", {own}" if own else "",
        "own_middle": f", {own}," if own else "",
        "own_group": facts_phrase(outline.own, "group", style),
        "people": enumeration(people.values, style) if people else "",
        "many_people": people is not None and len(people.values) > 1,
        "deed": _deed(people, style) if people else "",
        "series": enumeration(series.values, style) if series else "",
    }


def _deed(people: Fact, style: Style) -> str:
    """Return what people did in a work: "directed", "stars in"."""
    variables = {"role": role(people.name), "count": len(people.values)}
    return prompts.render_block(f"lang/{style.language}", "deed", **variables)


def enumeration(values: Sequence[str], style: Style, block: str = "listed") -> str:
    """Return values as an enumeration: "a, b and c"; by the block `any_of`: "a, b or c"."""
    return prompts.render_block(f"lang/{style.language}", block, values=list(values))


def facts_phrase(facts: Sequence[Fact], form: str, style: Style) -> str:
    """Return facts as one phrase: "is a Drama film from the 1990s", "stars Tom Hanks and is from 1995"."""
    if not facts:
        return ""
    joins = form in ("group", "noun") or role(facts[0].name) == "kind"
    first = _fact_phrase(facts[0], form, style)
    tail = "tail of one" if form in ("one", "noun") else "tail"
    rest = [_fact_phrase(fact, tail if joins else form, style) for fact in facts[1:]]
    return " ".join([first, *rest]) if joins else enumeration([first, *rest], style)


def _fact_phrase(fact: Fact, form: str, style: Style) -> str:
    name, values = label(fact.name), enumeration(fact.values, style)
    variables: Mapping[str, Any] = {
        "form": form.partition(" ")[0],
        "single": form.endswith("of one"),
        "role": _spoken_role(fact, style),
        "label": name if len(fact.values) == 1 or name.endswith("s") else plural(name),
        "values": values,
        "phrase": style.phrases[fact.name].replace("{values}", values) if fact.name in style.phrases else "",
        "one": style.words.singular,
        "many": style.words.plural,
        "kind_one": kind_phrase(fact.values, style.words.singular, values, several=False),
        "kind_many": kind_phrase(fact.values, style.words.plural, values, several=True),
    }
    return prompts.render_block(f"lang/{style.language}", "fact", **variables)


def _spoken_role(fact: Fact, style: Style) -> str:
    """Return the role by which a fact is spoken: a book is "by" its author, a film is "written by" somebody."""
    who = role(fact.name)
    return "artist" if who == "writer" and "read" in style.words.verbs else who


def _quoted_name(catalogue: Catalogue, item: int) -> str:
    return f'"{display_name(catalogue[item])}"'


def _name_with_year(catalogue: Catalogue, item: int) -> str:
    """Return the quoted name of the recommended item, with its year unless the title has one."""
    years = years_of(facts_of(catalogue, item))
    name = _quoted_name(catalogue, item)
    return f"{name} ({years[0]})" if years and not title_year(catalogue[item].title) else name
