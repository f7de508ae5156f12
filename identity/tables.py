"""Files that hold a table: CSV, JSON lines, Parquet and XLSX, read row by row as text."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from cdp.errors import InvalidError, MisconfiguredError

SNIFFED = 1 << 16  # characters in which a delimiter is looked for
DELIMITERS = ",;\t|"
LARGEST_CELL = 1 << 24
REMEDY = "Reading {} needs a package that is not installed: pip install 'streamcdp[files]'."


class Table(NamedTuple):
    """A table: what its columns are called, and its rows as text, once."""

    header: list[str]
    rows: Iterator[Sequence[str]]

    def sampled(self, count: int) -> tuple[list[Sequence[str]], Table]:
        """The first rows, and the table with all of them still to come."""
        first = list(islice(self.rows, count))
        return first, Table(self.header, chain(first, self.rows))


@contextmanager
def opened(file: Path) -> Iterator[Table]:
    """The table in a file, which has a header.

    Raises `InvalidError` when it cannot be read, then or while its rows are; `MisconfiguredError` when a package lacks.
    """
    name = file.name.lower().removesuffix(".gz")
    read = next((reader for suffix, reader in READERS.items() if name.endswith(suffix)), _csv)
    with ExitStack() as stack:
        with _told(file):
            raw: Any = stack.enter_context(file.open("rb"))
            if file.name.lower().endswith(".gz"):
                raw = stack.enter_context(gzip.open(raw))
            if read is _csv:
                raw = stack.enter_context(_text_of(io.BufferedReader(raw)))
            table = read(raw)
        if not any(table.header):
            raise InvalidError(f"{file} is empty.")
        yield Table(table.header, _told_of(file, table.rows))


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """What is wrong with a file is the reader's to correct."""
    try:
        yield
    except OSError as error:
        raise InvalidError(f"{file} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        told = f"{file} is not UTF-8 text: {error.reason} at byte {error.start}."
        raise InvalidError(f"{told} Save it as UTF-8; a spreadsheet calls that CSV UTF-8.") from error
    except (csv.Error, EOFError, ValueError, KeyError, AttributeError) as error:
        raise InvalidError(f"{file} is no table that can be read: {error}.") from error


def _told_of(file: Path, rows: Iterator[Sequence[str]]) -> Iterator[Sequence[str]]:
    with _told(file):
        yield from rows


def _text_of(raw: io.BufferedReader) -> TextIO:
    """Its text: UTF-8, or UTF-16 where the mark at its beginning says so, as some spreadsheets write it."""
    sixteen = raw.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return io.TextIOWrapper(raw, encoding="utf-16" if sixteen else "utf-8-sig", newline="")


def _csv(text: TextIO) -> Table:
    csv.field_size_limit(LARGEST_CELL)
    rows = csv.reader(text, delimiter=_delimiter(text))
    header = next((row for row in rows if row), [])
    return Table(header, (row for row in rows if row))


def _delimiter(text: TextIO) -> str:
    """What parts the cells of the first line that is not blank."""
    first = next((line for line in iter(lambda: text.readline(SNIFFED), "") if line.strip()), "")
    text.seek(0)  # to before the byte order mark, which is read away again
    return max(DELIMITERS, key=first.count)


def _json(raw: Any) -> Table:
    """An array of objects, all at once."""
    return _of_objects(iter(json.load(raw)))


def _json_lines(raw: Any) -> Table:
    return _of_objects(json.loads(line) for line in raw if line.strip())


def _of_objects(objects: Iterator[dict[str, Any]]) -> Table:
    first = list(islice(objects, 1_000))
    if not all(isinstance(one, dict) for one in first):
        raise ValueError("it holds something else than objects")
    header = list(dict.fromkeys(name for one in first for name in one))
    return Table(header, ([_text(one.get(name)) for name in header] for one in chain(first, objects)))


def _parquet(raw: Any) -> Table:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MisconfiguredError(REMEDY.format("Parquet")) from error
    file = parquet.ParquetFile(raw)
    header = list(file.schema_arrow.names)
    batches = (batch.to_pydict() for batch in file.iter_batches())
    return Table(header, (list(map(_text, row)) for batch in batches for row in zip(*batch.values(), strict=True)))


def _xlsx(raw: Any) -> Table:
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise MisconfiguredError(REMEDY.format("XLSX")) from error
    sheet = load_workbook(raw, read_only=True, data_only=True).active
    rows = (list(map(_text, row)) for row in sheet.iter_rows(values_only=True))
    header = next(rows, [])
    return Table(header, (row for row in rows if any(row)))


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


READERS: dict[str, Callable[[Any], Table]] = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
    ".xlsx": _xlsx,
}
