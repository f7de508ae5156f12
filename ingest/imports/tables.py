"""A file as a table: columns with names, and rows that come one after the other, however long the file is.

What kind of file it is its content tells; its name is only looked at for what to say. Row numbers are those that a
spreadsheet program shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cdp.errors import InvalidError
from ingest.imports.cells import text
from ingest.imports.heading import Heading, heading_of
from ingest.imports.mapping import MOST_COLUMNS, Format, Mapping

# A cell beyond this many characters is cut, and its row set aside.
LONGEST_CELL = 100_000
LOOKED_AT = 4_096
LONGEST_NAME = 500
# Rows in which the heading is looked for.
HEAD = 40

Record = tuple[int, Sequence[Any]]


class Trouble(NamedTuple):
    """What is wrong with a row: it is set aside. `column` is where; empty for the row as a whole."""

    code: str
    reason: str
    column: str = ""


class Row(NamedTuple):
    """A row. `cells` are as many as the columns; `raw` is what stood there, where it cannot be read at all."""

    number: int
    cells: Sequence[Any]
    trouble: Trouble | None = None
    raw: bytes = b""


class Table(Protocol):
    """An opened file. `layout` is how it was read, in the words of a mapping; `notes` are worth to be told."""

    columns: list[str]
    layout: dict[str, Any]
    notes: list[str]

    def rows(self) -> Iterator[Row]:
        """Every row, from the first; can be asked for again. Raises `InvalidError` where the file is broken."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Grid:
    """A table of a file that knows rows of cells only: its heading is found among the first of them."""

    def __init__(
        self,
        records: Callable[[], Iterator[Record]],
        layout: dict[str, Any],
        mapping: Mapping,
        *,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._records = records
        self.close = close
        self.notes: list[str] = []
        first = [(number, _short(cells)) for (number, cells), _ in zip(records(), range(HEAD), strict=False)]
        if not any(text(cell) for _, cells in first for cell in cells):
            raise InvalidError("The file has no rows.", code="empty_file")
        heading = heading_of(first, mapping.header, mapping.kind)
        self.columns = checked(heading.names)
        self._after = heading.last
        self.layout = {**layout, "header": heading.first}
        self._note(heading)

    def rows(self) -> Iterator[Row]:
        """See `Table`."""
        width = len(self.columns)
        for number, cells in self._records():
            if number <= self._after or not any(cell is not None and cell != "" for cell in cells):
                continue
            trouble = None
            if len(cells) != width:
                if any(text(cell) for cell in cells[width:]):
                    reason = f"{len(cells)} cells in {width} columns: is a cell that holds the delimiter unquoted?"
                    trouble = Trouble("ragged_row", reason)
                cells = [*cells[:width], *([None] * (width - len(cells)))]
            yield Row(number, *bounded(cells, self.columns, trouble))

    def _note(self, heading: Heading) -> None:
        if not heading.first:
            self.notes.append("No row names the columns: they were told by their values.")
        elif heading.first > 1:
            self.notes.append(f"The columns are named in row {heading.first}; what stands above was left out.")


def _short(cells: Sequence[Any]) -> list[Any]:
    """Enough of each cell to tell whether it names a column."""
    return [cell[:LONGEST_NAME] if isinstance(cell, str) else cell for cell in cells]


def bounded(
    cells: Sequence[Any], columns: Sequence[str], trouble: Trouble | None = None
) -> tuple[Sequence[Any], Trouble | None]:
    """The cells, those that are too long cut."""
    for place, cell in enumerate(cells):
        if isinstance(cell, str) and len(cell) > LONGEST_CELL:
            reason = f"{len(cell)} characters; a cell may have {LONGEST_CELL}. The rest was cut."
            trouble = trouble or Trouble("cell_too_long", reason, columns[place])
            cells = [*cells[:place], cell[:LONGEST_CELL], *cells[place + 1 :]]
    return cells, trouble


def checked(names: Sequence[str]) -> list[str]:
    """Names of columns, each once: a second `SĐT` is called `SĐT (2)`. Raises `InvalidError` for too many."""
    if len(names) > MOST_COLUMNS:
        raise InvalidError(f"The file has {len(names)} columns; {MOST_COLUMNS} can be read.", code="too_many_columns")
    found: dict[str, None] = {}
    for place, given in enumerate(names, 1):
        name = text(given)[:200] or f"column {place}"
        unique, count = name, 1
        while unique in found:
            count += 1
            unique = f"{name} ({count})"
        found[unique] = None
    return list(found)


def format_of(path: Path) -> Format:
    """What kind of file its content says it is. Raises `InvalidError` for what cannot be read, saying what to do."""
    with path.open("rb") as file:
        start = file.read(LOOKED_AT)
        file.seek(max(0, path.stat().st_size - 4))
        end = file.read(4)
    if not start.strip(b"\0\xef\xbb\xbf\xff\xfe \t\r\n"):
        raise InvalidError("The file is empty.", code="empty_file")
    for mark, sentence in REFUSED.items():
        if start.startswith(mark):
            raise InvalidError(sentence, code="unreadable_file")
    if start.startswith(b"PK"):
        return "xlsx"
    if start.startswith(b"PAR1"):
        if end != b"PAR1":
            raise InvalidError("The Parquet file is cut off: its end is missing.", code="unreadable_file")
        return "parquet"
    bare = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if bare.startswith(b"{"):
        return "jsonl"
    if bare.startswith(b"[") and (b"{" in bare[:20] or bare.startswith(b"[]")):
        raise InvalidError(
            "The file is one JSON array: write one object a line (`jq -c '.[]' file.json > file.jsonl`).",
            code="unreadable_file",
        )
    return "csv"


REFUSED = {
    b"\xd0\xcf\x11\xe0": "This is an old .xls file, or one with a password: save it as .xlsx without a password.",
    b"\x1f\x8b": "The file is gzipped: unpack it first.",
    b"%PDF": "This is a PDF: export the table as .xlsx or .csv.",
    b"\x89PNG": "This is an image.",
    b"\xff\xd8\xff": "This is an image.",
    b"<html": "This is a web page: some programs save one as .xls. Save it as .xlsx or .csv.",
    b"<!DOCTYPE": "This is a web page: some programs save one as .xls. Save it as .xlsx or .csv.",
    b"<?xml": "This is XML: save it as .xlsx or .csv.",
}


def open_table(path: Path, mapping: Mapping) -> Table:
    """Open a file as the mapping says, or as it looks. Raises `InvalidError`, `MisconfiguredError`."""
    from ingest.imports import delimited, lines, parquet, spreadsheets

    openers: dict[str, Callable[[Path, Mapping], Table]] = {
        "csv": delimited.open_table,
        "xlsx": spreadsheets.open_table,
        "jsonl": lines.open_table,
        "parquet": parquet.open_table,
    }
    return openers[mapping.format or format_of(path)](path, mapping)
