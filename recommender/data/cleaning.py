"""Cleans text: no HTML, no control characters, single spaces.

By the standard library's parser: selectolax 1.0 is nine times as fast, but drops whatever looks like a tag ("<Untitled>",
"I <heart> NY", "List<String>", "a <b"), leaves what was escaped twice, and cannot tell "a<b>b</b>" from "a<br>b".
"""

from __future__ import annotations

import html
import re
import unicodedata
from html.parser import HTMLParser

_BLOCK_NAMES = (
    "address article aside blockquote br dd div dl dt footer h1 h2 h3 h4 h5 h6 header hr img li main nav ol p pre"
    " section table tbody td tfoot th thead tr ul"
)
_INLINE_NAMES = (
    "a abbr acronym b base bdi bdo big body center cite code del dfn em embed font form head html i iframe input ins"
    " kbd label link map mark meta noscript object option param q s samp script select small source span strike"
    " strong style sub sup svg textarea title tt u var video wbr"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_TAGS = _BLOCKS | frozenset(_INLINE_NAMES.split())
_BARE_NAMES = (
    "allowfullscreen async autofocus autoplay border checked compact controls default defer disabled hidden inert ismap"
    " itemscope loop multiple muted nohref nomodule noshade novalidate nowrap open playsinline readonly required reversed"
    " selected / dir class id style title alt"
)
_BARE = frozenset(_BARE_NAMES.split())  # attributes that may stand without a value
_LONE_TAG = re.compile(r"\s*<[A-Z][A-Za-z0-9]*>\s*")
_EMPTY_TAGS = frozenset({"<br>", "<hr>", "<img>", "<wbr>", "<input>"})
_SILENT = frozenset({"script", "style"})
# Invisible characters that reorder or split what the eye reads.
_HIDDEN = frozenset("\u200b\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NOTHING = frozenset({"nan", "null", "none", "n/a"})
# letters and signs by their category, of which nothing is seen
_UNSEEN = frozenset("\u2800\u3164\u115f\u1160\uffa0\ufffc\ufffd")
_FILLERS = frozenset(" -–—_.…,;:/\\?")
_PASSES = 4


class _TextCollector(HTMLParser):
    """Collects what is not markup. Unknown tags stay: "<3" and "<Untitled>" are text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.silent = 0

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not _is_tag(tag, attrs):
            self.handle_data(self.get_starttag_text() or "")
        elif tag in _BLOCKS:
            self.parts.append(" ")
        self.silent += tag in _SILENT

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not _is_tag(tag, attrs):
            self.handle_data(self.get_starttag_text() or "")
        elif tag in _BLOCKS:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self.silent = max(0, self.silent - (tag in _SILENT))
        if tag in _BLOCKS:
            self.parts.append(" ")


def _is_tag(name: str, attrs: list[tuple[str, str | None]]) -> bool:
    """Return whether this is markup: "a<b and c>d" is not, for "and" and "c" are no attributes."""
    return (
        name in _SILENT or name in _TAGS and all(value is not None or attribute in _BARE for attribute, value in attrs)
    )


def strip_html(text: str) -> str:
    """Return the text without tags and with entities resolved, also where they were escaped twice."""
    for _ in range(_PASSES):
        if "<" not in text and "&" not in text:
            return text
        stripped = _strip_once(text)
        if stripped == text:
            return text
        text = stripped
    return text


def _strip_once(text: str) -> str:
    # The parser drops an unfinished tag at the end, but "a <b" may as well be arithmetic.
    body, mark, tail = text.rpartition("<")
    if not mark or ">" in tail:
        body, tail = text, ""
    else:
        tail = "" if _starts_tag(tail) else html.unescape(mark + tail)
    parser = _TextCollector()
    parser.feed(body)
    parser.close()
    return "".join(parser.parts) + tail


def clean_text(text: str) -> str:
    """Return the text without HTML, control or hidden characters, on one line with single spaces."""
    text = strip_html(text)
    if not text.isascii() or not text.isprintable():
        text = "".join(" " if char.isspace() else char for char in text if char.isspace() or _is_visible(char))
    return " ".join(text.split())


def clean_title(text: str) -> str:
    """Return a title as clean text. One that is nothing but a capitalised tag ("<Title>", "<S>") is kept: it is a name."""
    clean = clean_text(text)
    return (
        text.strip() if not clean and _LONE_TAG.fullmatch(text) and text.strip().lower() not in _EMPTY_TAGS else clean
    )


def is_unseen(text: str) -> bool:
    """Return whether nothing of a text is seen: blanks, controls, marks alone, private or lost characters."""
    return all(char in _UNSEEN or unicodedata.category(char)[0] in "CMZ" and _is_known(char) for char in text)


def is_blank(text: str) -> bool:
    """Return whether the text says nothing: no letter or digit, or only a word for nothing such as "NaN"."""
    return text.lower() in _NOTHING or not any(char.isalnum() for char in text)


def is_placeholder(text: str) -> bool:
    """Return whether a value stands for none: "NaN", "N/A", or only dashes, dots and the like. "!!!" and "÷" are values."""
    if text and text[0].isalnum():  # no filler: what most values begin with
        return text.lower() in _NOTHING
    return text.lower() in _NOTHING or all(char in _FILLERS for char in text)


def _starts_tag(text: str) -> bool:
    words = text.removeprefix("/").split(maxsplit=1)
    return bool(words) and not text[0].isspace() and len(words[0]) > 1 and words[0].lower() in _TAGS


def _is_known(char: str) -> bool:
    """Return whether this Python's tables know a character: new emoji and letters are not among them."""
    return unicodedata.category(char) != "Cn"


def _is_visible(char: str) -> bool:
    # letters that this Python's tables do not know yet, such as new emoji, are letters; only U+FFFE and the like are not
    if not _is_known(char):
        return not (ord(char) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(char) <= 0xFDEF)
    return char not in _HIDDEN and unicodedata.category(char) not in ("Cc", "Cs")
