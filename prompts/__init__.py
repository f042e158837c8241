"""The prompts: Jinja templates, one a task, the same in training and serving."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

#: which weights read which templates; nothing else of this folder belongs to a checkpoint
READ_BY = {"rank": ("align", "rank"), "explain": ("explain", "lang/en")}
#: hashes of templates that render the same text as those of now: only a variable had another name
FORMER_HASHES = {"rank": ("0395d5aefbfaabfda59dab4bd73628d9e1f9f7e0d3e157f487727df7e88af27a",)}
_FOLDER = Path(__file__).parent
_ENVIRONMENT = Environment(loader=FileSystemLoader(_FOLDER), undefined=StrictUndefined, autoescape=False)


@cache
def _template(name: str) -> Template:
    return _ENVIRONMENT.get_template(f"{name}.jinja")


def render_block(name: str, block: str, **variables: Any) -> str:
    """Render one block of the template `name`, e.g. the system turn of a chat."""
    template = _template(name)
    return "".join(template.blocks[block](template.new_context(variables))).strip()


@cache
def languages() -> tuple[str, ...]:
    """Return the languages in which there are sentences: the files of lang/."""
    return _stems("lang")


@cache
def answer_languages() -> tuple[str, ...]:
    """Return the languages in which questions back are answered: the files of answers/."""
    return _stems("answers")


def _stems(folder: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (_FOLDER / folder).glob("*.jinja")))


def template_hash(*names: str) -> str:
    """Return the sha256 of the named templates: a checkpoint keeps it to know its prompts again."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode() + (_FOLDER / f"{name}.jinja").read_bytes())
    return digest.hexdigest()


def reads_alike(part: str, known: str | None) -> bool:
    """Return whether weights that were trained on templates of the hash `known` read what is rendered now.

    `part`: a key of READ_BY.
    """
    return known == template_hash(*READ_BY[part]) or known in FORMER_HASHES.get(part, ())


def template_hashes() -> dict[str, str]:
    """Return the hash of what each set of weights was trained to read: a changed sentence leaves the ranking alone."""
    return {part: template_hash(*names) for part, names in READ_BY.items()}
