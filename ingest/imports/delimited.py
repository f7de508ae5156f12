"""CSV files: which letters, which delimiter, quoted line ends."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cdp.errors import InvalidError
from ingest.imports.mapping import Mapping
from ingest.imports.tables import Grid, Record

BLOCK = 1 << 20
SAMPLE = 200_000
DELIMITERS = ",;\t|"
# An opening quote without an end would take the rest of the file into one cell.
LARGEST_CELL = 20_000_000
# In windows-1258 tones are letters of their own, after a vowel; in windows-1252 the same bytes are letters as well.
TONED = re.compile(r"[aăâeêioôơuưyAĂÂEÊIOÔƠUƯY][\u0300\u0301\u0303\u0309\u0323]")
TONES = re.compile(r"[\u0300\u0301\u0303\u0309\u0323]")
CONTROL = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
SEPARATOR = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)


def open_table(path: Path, mapping: Mapping) -> Grid:
    """A CSV file as a table. Raises `InvalidError`."""
    encoding = _known(mapping.encoding) if mapping.encoding else encoding_of(path)
    sample = _sample(path, encoding)
    if len(CONTROL.findall(sample)) > len(sample) / 50:
        raise InvalidError("This is no table of text: its content is binary.", code="unreadable_file")
    told = SEPARATOR.match(sample)
    delimiter = mapping.delimiter or (told[1] if told else delimiter_of(sample))
    layout = {"format": "csv", "encoding": encoding, "delimiter": delimiter}

    def records() -> Iterator[Record]:
        with _text(path, encoding) as file:
            if told:
                file.readline()
            yield from _records(file, delimiter, begin=2 if told else 1)

    return Grid(records, layout, mapping)


def encoding_of(path: Path) -> str:
    """How the letters of a text file are written: a mark at its beginning, else valid UTF-8, else Windows' own."""
    with path.open("rb") as file:
        start = file.read(SAMPLE)
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    odd, even = start[1::2].count(0), start[0::2].count(0)
    if max(odd, even) > len(start) / 5:
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8" if _is_utf8(path) else _windows(start)


def delimiter_of(sample: str) -> str:
    """The sign that cuts most of the sample's rows into equally many cells, at least two; a comma when none does."""
    scores = {delimiter: _regularity(sample, delimiter) for delimiter in DELIMITERS}
    best = max(scores, key=lambda delimiter: scores[delimiter])
    return best if scores[best] > (0, 0) else ","


def _regularity(sample: str, delimiter: str) -> tuple[float, int]:
    """How many of the rows have the most frequent width above one, and that width."""
    widths = Counter[int]()
    try:
        lines = sample.splitlines(keepends=True)[:200]
        for cells in csv.reader(lines, delimiter=delimiter):
            if any(cells):
                widths[len(cells)] += 1
    except csv.Error:
        return (0, 0)
    wide = {width: count for width, count in widths.items() if width > 1}
    if not wide:
        return (0, 0)
    width = max(wide, key=lambda each: (wide[each], each))
    return (round(wide[width] / sum(widths.values()), 1), width)


def _records(file: IO[str], delimiter: str, *, begin: int) -> Iterator[Record]:
    before = csv.field_size_limit(LARGEST_CELL)
    number = begin - 1
    try:
        for number, cells in enumerate(csv.reader(file, delimiter=delimiter), begin):
            yield number, cells
    except csv.Error as error:
        if "field limit" in str(error):
            reason = f"a cell has more than {LARGEST_CELL} characters; a quote that opens it may lack its end"
        else:
            reason = str(error)
        raise InvalidError(f"Row {number + 1} cannot be read: {reason}.", path=f"row {number + 1}") from None
    except UnicodeDecodeError as error:
        raise InvalidError(
            f"The file is not written in {error.encoding}: row {number + 1} or one soon after holds other bytes.",
            path="encoding",
        ) from None
    finally:
        csv.field_size_limit(before)


def _text(path: Path, encoding: str) -> IO[str]:
    # Every byte means a letter in Windows' encodings but a few, which stand for nothing anybody misses.
    errors = "replace" if encoding.startswith("windows") else "strict"
    return path.open(encoding=encoding, errors=errors, newline="")


def _sample(path: Path, encoding: str) -> str:
    with path.open("rb") as file:
        start = file.read(SAMPLE)
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    return decoder.decode(start).removeprefix("\ufeff")


def _known(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name if not encoding.lower().startswith("windows-") else encoding.lower()
    except LookupError:
        raise InvalidError(f"There is no encoding {encoding!r}.", path="encoding") from None


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _windows(start: bytes) -> str:
    written = start.decode("windows-1258", errors="replace")
    toned = len(TONED.findall(written))
    return "windows-1258" if toned and toned * 2 > len(TONES.findall(written)) else "windows-1252"
