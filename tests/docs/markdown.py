"""Reads Markdown as the tests of the documentation need it: headings, fenced blocks, links and inline code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\s*$")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*$")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the file on which it begins."""

    language: str
    text: str
    line: int

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands of a shell block, continued lines joined, comments left out."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"\s+#\s.*$", "", line).strip() for line in joined.splitlines())
        return tuple(" ".join(line.split()) for line in lines if line and not line.startswith("#"))


@dataclass
class Section:
    """A heading of the second level with the blocks below it."""

    title: str
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """A Markdown file, its blocks taken out of its prose."""

    path: Path
    prose: str
    blocks: tuple[Block, ...]
    sections: tuple[Section, ...]
    headings: tuple[str, ...]

    @property
    def name(self) -> str:
        """The path within the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def links(self) -> tuple[str, ...]:
        """The targets of all links and images."""
        return tuple(_LINK.findall(_CODE.sub("", self.prose)))

    @property
    def code(self) -> tuple[str, ...]:
        """All pieces of inline code."""
        return tuple(_CODE.findall(self.prose))

    @property
    def commands(self) -> Iterator[list[str]]:
        """Every `recommender ...` command, in blocks and in inline code, as its words."""
        shown = [line for block in self.blocks if block.language in ("bash", "sh") for line in block.commands]
        for line in [*shown, *self.code]:
            if line.startswith("recommender "):
                yield shlex.split(line)


def read(path: Path) -> Page:
    """Read a page."""
    prose: list[str] = []
    headings: list[str] = []
    sections = [Section("")]
    blocks: list[Block] = []
    language, start, lines = None, 0, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if language is not None:
            if line.startswith("```"):
                blocks.append(Block(language, "\n".join(lines), start))
                sections[-1].blocks.append(blocks[-1])
                language = None
            else:
                lines.append(line)
        elif fence := _FENCE.match(line):
            language, start, lines = fence[1], number, []
        else:
            prose.append(line)
            if heading := _HEADING.match(line):
                headings.append(heading[2])
                if heading[1] == "##":
                    sections.append(Section(heading[2]))
    assert language is None, f"{path}: the block that begins on line {start} does not end"
    return Page(path, "\n".join(prose), tuple(blocks), tuple(sections), tuple(headings))


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and the site make it."""
    plain = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
    return re.sub(r"[\s-]+", "-", plain)


def pages() -> list[Page]:
    """Read every page that people are shown; `eval/LOG.md` is history and stays as it was written."""
    top = (ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY"))
    return [read(path) for path in [*filter(Path.is_file, top), *sorted((ROOT / "docs").rglob("*.md"))]]
