"""The prompts: Jinja templates, one for each task, the same in training and serving.

To add a language, for example French (`fr`):

1. Copy `lang/de.jinja` to `lang/fr.jinja` and translate its blocks; their names and variables stay. `[a|b|c]` is a choice,
   and each line of `shared`, `unshared`, `alone` and `bare` is one template of a justification.
2. Copy `answers/de.jinja` to `answers/fr.jinja` likewise: the answers to "why not that one?". Without it they are English.
3. Copy `media/de.jinja` to `media/fr.jinja` likewise: what pictures show. Without it nothing is said of them.
4. Set `justify.language: fr` in the config. Nothing else lists the languages; the files are found by name.

The language model writes English only, so other languages use the templates, which are true by construction. English is
`lang/en.jinja`; its bytes, and those of `rank`, `align` and `explain`, are hashed in checkpoints: see `READ_BY`.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

#: which templates the weights of ranking, writing and listening were trained on; a checkpoint holds the hash of each group
READ_BY = {"rank": ("align", "rank"), "explain": ("explain", "lang/en"), "converse": ("converse",)}
#: hashes of former templates that render the same text as the present ones: only a variable was renamed
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
    """Return the languages of justifications: the files of lang/."""
    return _stems("lang")


@cache
def answer_languages() -> tuple[str, ...]:
    """Return the languages of answers to questions about a list: the files of answers/."""
    return _stems("answers")


@cache
def media_languages() -> tuple[str, ...]:
    """Return the languages in which it is said what media show: the files of media/."""
    return _stems("media")


def _stems(folder: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (_FOLDER / folder).glob("*.jinja")))


def template_hash(*names: str) -> str:
    """Return the sha256 of the named templates; a checkpoint holds it to recognise its prompts."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode() + (_FOLDER / f"{name}.jinja").read_bytes())
    return digest.hexdigest()


def renders_alike(part: str, recorded: str | None) -> bool:
    """Return whether templates of the hash `recorded` render the same text as those of now. `part`: a key of READ_BY."""
    return recorded == template_hash(*READ_BY[part]) or recorded in FORMER_HASHES.get(part, ())


def template_hashes() -> dict[str, str]:
    """Return the hash of each group of READ_BY: a change of justifications does not concern the ranking."""
    return {part: template_hash(*names) for part, names in READ_BY.items()}


def conversations_hash(language: str) -> str:
    """Return the sha256 of the phrases of made-up conversations in one language."""
    files = sorted((_FOLDER / "conversations").glob(f"{language}.*yaml"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
