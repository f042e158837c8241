"""How a text file of rows is laid out: what packs it, its encoding, what separates fields, how they are quoted."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from recommender.config import TableConfig
from recommender.errors import DataError

PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")
SEPARATORS = (",", "\t", ";", "|", "::")
_SPOKEN = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars", "::": "double colons"}
_USUAL = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_ENCLOSING = (",", ";")  # fields of these are quoted by habit; in the others a quote is part of the text, unless shown
_UNIT = "\x1f"  # stands for a separator of several characters, which parsers do not know
# as Excel begins a file for itself; programs that write it along put it in quotes
_SEPARATOR_LINE = re.compile(rb"\A(?:\xef\xbb\xbf)?\"?sep=([^\r\n])\"?[,;\t|]*\r?\n", re.IGNORECASE)
_SAMPLE_CHARS = 1 << 20
_PART_BYTES = 1 << 20
_SMALL_UNPACKED = 64 << 20  # bytes to which a file may unpack whatever its size
_MOST_TIMES = 200  # its size, to which a larger one may: tables of text pack five to fifty times
_MOST_UNPACKED = 8 << 30
_SAMPLE_ROWS = 200
_BOMS = (  # the longer first: that of UTF-32 begins with that of UTF-16
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_FOREIGN_SHARE = 0.3  # of letters that are not ASCII: more than any language in Latin letters has


@dataclass(frozen=True)
class Layout:
    """How the rows of a text file are written. `names`: its columns, if no header names them."""

    encoding: str = "utf-8"
    separator: str = ","
    quoted: bool = True
    escaped: bool = False
    names: tuple[str, ...] | None = None

    @property
    def one_char_separator(self) -> str:
        """The separator as parsers take it, after `utf8` has put it in."""
        return (
            self.separator
            if len(self.separator) == 1 and self.separator.isascii() and self.separator != "\0"
            else _UNIT
        )

    def utf8(self, raw: bytes) -> bytes:
        """Return the file's text as UTF-8, with separators of one character; bytes that fit no letter become U+FFFD.

        Raises DataError for an encoding that does not exist, or of which Python reads no text.
        """
        if self.encoding != "utf-8":
            raw = _decoded(raw, self.encoding).removeprefix("\ufeff").encode("utf-8", errors="replace")
        if self.one_char_separator != self.separator:
            raw = raw.replace(_UNIT.encode(), b" ").replace(self.separator.encode(), _UNIT.encode())
        return _SEPARATOR_LINE.sub(b"\n", raw, count=1)  # a blank line, so that lines keep their numbers

    def rows(self, utf8: bytes, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
        """Yield the line on which each row starts, and its fields. `utf8`: what the method of this name returned."""
        text = io.TextIOWrapper(io.BytesIO(utf8), encoding="utf-8-sig", errors="replace", newline="")
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        escape = "\\" if self.escaped else None
        csv.field_size_limit(1 << 30)
        reader = csv.reader(text, delimiter=self.one_char_separator, quoting=quoting, escapechar=escape, strict=strict)
        start = 1
        for row in reader:
            yield start, row
            start = reader.line_num + 1

    def note(self, path: Path) -> str | None:
        """Return what a person might not have expected of this file, None for UTF-8 with the usual separator."""
        parts = []
        if self.encoding not in ("utf-8", "utf-8-sig"):
            parts.append(f"read as {self.encoding}")
        if self.separator != _USUAL.get(unpacked_suffix(path), ""):
            parts.append(f"fields are separated by {_SPOKEN.get(self.separator, repr(self.separator))}")
        if self.escaped:
            parts.append('quotes inside fields are written \\"')
        return ", ".join(parts) or None


def unpacked_suffix(path: Path) -> str:
    """Return the ending of a file's name, lower case, without that of what packs it: ".csv" of "a.CSV.gz"."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def read_unpacked(path: Path) -> bytes:
    """Return a file's bytes, unpacked if gzip, bzip2, xz, zstandard or zip packs it, whatever its name.

    Raises DataError for a broken file, or a zip of several files; OSError for what cannot be opened.
    """
    with path.open("rb") as file:
        start = file.read(8)
    for mark, unpack in _UNPACK.items():
        if start.startswith(mark):
            try:
                return unpack(path)
            except (OSError, EOFError, ValueError, lzma.LZMAError, zipfile.BadZipFile, RuntimeError) as error:
                reason = " ".join(str(error).split())
                raise DataError(f"{path}: cannot be unpacked ({reason})", "pack it again, or unpack it") from None
    return path.read_bytes()


def sniff_encoding(raw: bytes) -> str:
    """Return the encoding that a text file is most likely written in.

    By its mark, or as UTF-16 by its zeros; else UTF-8 if that reads most of what is not ASCII, so that a few broken
    lines can be reported; else Windows-1252 (of which Latin-1 is a part), or what charset-normalizer finds if most letters
    are foreign to Latin scripts.
    """
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            return encoding
    start = raw[:4096]
    if start.count(0) > len(start) // 4:
        return "utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"
    text = raw.decode("utf-8", errors="replace")
    broken = text.count("\ufffd")
    if broken == 0 or len(text) - len(text.encode("ascii", "ignore")) > 2 * broken:
        return "utf-8"
    return _eight_bit_encoding(raw)


def find_layout(raw: bytes, path: Path, told: TableConfig) -> Layout:
    """Return the layout of a file with these bytes; what is `told` is taken as it is, the rest is found by looking.

    Raises DataError for an encoding that does not exist.
    """
    encoding = told.encoding or sniff_encoding(raw)
    try:
        text = _decoded(raw[: 4 * _SAMPLE_CHARS], encoding).removeprefix("\ufeff")
    except DataError as error:
        raise DataError(f"{path}: {error.message}", error.hint) from None
    sample = text[:_SAMPLE_CHARS]
    encoding = "utf-8" if encoding.lower().replace("_", "-") in ("utf8", "utf-8-sig") else encoding
    excel = _SEPARATOR_LINE.match(sample[:16].encode())
    separator = told.separator or (excel[1].decode(errors="replace") if excel else None)
    separators = [separator] if separator else _possible(sample, unpacked_suffix(path), told.header)
    layouts = [
        Layout(encoding, separator, quoted, names=told.header)
        for separator in separators
        for quoted in _quotings(sample, separator)
    ]
    best = layouts[0]
    if len(layouts) > 1:  # max() takes the first of equals: the usual one
        best = max(layouts, key=lambda layout: _consistency(layout, sample))
    escapes = best.quoted and b"\\" in raw and _escapes(best, best.utf8(raw))
    return replace(best, escaped=True) if escapes else best


def _decoded(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding, errors="replace")
    except (LookupError, ValueError):  # of no text, such as idna, or no name
        raise DataError(f"there is no encoding {encoding!r} of tables", "for example utf-8, cp1252, utf-16") from None


def _eight_bit_encoding(raw: bytes) -> str:
    lines = islice((line for line in raw.splitlines() if not line.isascii()), 2000)
    sample = b"\n".join(lines)
    high = sum(byte >= 0x80 for byte in sample)
    letters = sum(chr(byte).isalpha() for byte in sample if byte < 0x80)
    if high > _FOREIGN_SHARE * (high + letters) and high > 20:  # fewer letters tell no language
        from charset_normalizer import from_bytes

        found = from_bytes(sample).best()
        if found is not None:
            return str(found.encoding)
    try:
        raw.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _possible(sample: str, suffix: str, header: Sequence[str] | None) -> list[str]:
    """Return the separators that the first line could have, the usual one first."""
    first = next((line for line in sample.splitlines() if line.strip()), "")
    usual = _USUAL.get(suffix, "::" if "::" in first else ",")
    known = sorted(SEPARATORS, key=lambda separator: separator != usual)
    return [separator for separator in known if separator in first] or [usual]


def _quotings(sample: str, separator: str) -> list[bool]:
    """Return whether quotes may enclose fields, the likelier first. Beside tabs and bars they are mostly plain text."""
    if separator in _ENCLOSING:
        return [True]
    if '"' not in sample:
        return [False]
    return [True, False] if _encloses(sample, separator) else [False, True]


def _encloses(sample: str, separator: str) -> bool:
    """Return whether a header in quotes, or a field with doubled quotes, shows that quotes enclose fields."""
    if sample.startswith('"'):
        return True
    edge = re.escape(separator)
    fields = re.findall(rf'(?:^|{edge})("[^\n]*?)(?={edge}|\r?$)', sample, re.MULTILINE)
    return any(len(field) > 3 and field.endswith('"') and '""' in field[1:-1] for field in fields)


def _consistency(layout: Layout, sample: str) -> float:
    """Return the share of a sample's rows that are as wide as the first one, or as the names that were told."""
    utf8 = replace(layout, encoding="utf-8").utf8(sample.encode("utf-8", errors="replace"))
    strict = layout.quoted and layout.separator not in _ENCLOSING
    try:
        rows = [row for _, row in islice(layout.rows(utf8, strict), _SAMPLE_ROWS) if row]
    except csv.Error:
        return 0.0
    width = len(layout.names) if layout.names else len(rows[0]) if rows else 0
    return sum(len(row) == width for row in rows) / max(len(rows), 1) if width > 1 else 0.0


def _escapes(layout: Layout, utf8: bytes) -> bool:
    r"""Return whether quotes inside fields are written \" rather than doubled: of the lines with \", which reading holds."""
    first = next((row for _, row in layout.rows(utf8) if row), [])
    lines = list(islice((line for line in io.BytesIO(utf8) if b'\\"' in line), _SAMPLE_ROWS))
    doubled, escaped = (
        sum(_reads_alone(replace(layout, escaped=way), line, len(first)) for line in lines) for way in (False, True)
    )
    return escaped > doubled


def _reads_alone(layout: Layout, line: bytes, width: int) -> bool:
    try:
        return [len(row) for _, row in layout.rows(line, strict=True)] == [width]
    except csv.Error:
        return False


def _unzip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
        if len(names) != 1:
            listed = ", ".join(names[:5]) or "none"
            raise DataError(
                f"{path}: the zip holds {len(names)} files ({listed})", "unpack it, and name the file itself"
            )
        with archive.open(names[0]) as file:
            return _bounded(file, path)


def _bounded(file: Any, path: Path) -> bytes:
    """Return all that a stream unpacks to. Raises DataError where that is far more than tables pack."""
    packed = path.stat().st_size
    most = min(max(_SMALL_UNPACKED, _MOST_TIMES * packed), _MOST_UNPACKED)
    parts, size = [], 0
    while part := file.read(_PART_BYTES):
        size += len(part)
        if size > most:
            reason = f"{packed:,} bytes unpack to more than {most:,}, which no table does"
            raise DataError(f"{path}: {reason}", "unpack it, and name the file itself")
        parts.append(bytes(part))
    return b"".join(parts)


def _unpack_with(opener: Callable[..., io.BufferedIOBase]) -> Callable[[Path], bytes]:
    def unpack(path: Path) -> bytes:
        with opener(path) as file:
            return _bounded(file, path)

    return unpack


def _unzstd(path: Path) -> bytes:
    with pa.input_stream(str(path), compression="zstd") as stream:
        return _bounded(stream, path)


_UNPACK: dict[bytes, Callable[[Path], bytes]] = {
    b"\x1f\x8b": _unpack_with(gzip.open),
    b"BZh": _unpack_with(bz2.open),
    b"\xfd7zXZ\x00": _unpack_with(lzma.open),
    b"\x28\xb5\x2f\xfd": _unzstd,
    b"PK\x03\x04": _unzip,
}
