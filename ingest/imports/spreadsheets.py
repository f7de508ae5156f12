"""XLSX files, row by row. A formula counts with the value that its program stored; nothing is ever computed here."""

from __future__ import annotations

import contextlib
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from cdp.errors import CdpError, InvalidError, MisconfiguredError
from ingest.imports.cells import text
from ingest.imports.mapping import MOST_COLUMNS, Mapping
from ingest.imports.tables import Grid, Record

# A spreadsheet is a zip of XML; the longest has 1,048,576 rows.
LARGEST = 4_000_000_000
LARGEST_STRINGS = 400_000_000
RATIO, RATIO_FROM = 300, 100_000_000
BROKEN = (
    zipfile.BadZipFile,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    ParseError,
    OSError,
    EOFError,
)


def open_table(path: Path, mapping: Mapping) -> Grid:
    """A sheet of an XLSX file as a table. Raises `InvalidError`; `MisconfiguredError` where the package is missing."""
    _refuse_bombs(path)
    opened = contextlib.ExitStack()
    try:
        # Once: reading the strings that the cells share costs as much as reading the cells.
        workbook = opened.enter_context(_opened(path))
        names = [sheet.title for sheet in workbook.worksheets if sheet.sheet_state == "visible"] or workbook.sheetnames
        name = _sheet(workbook, names, mapping.sheet)
        layout = {"format": "xlsx", "sheet": name}
        table = Grid(lambda: _records(workbook[name]), layout, mapping, close=opened.close)
    except BaseException:
        opened.close()
        raise
    if others := [each for each in names if each != name]:
        table.notes.append(f"The sheet {name!r} was read; others are {', '.join(map(repr, others))}.")
    return table


def _records(sheet: Any) -> Iterator[Record]:
    # What a sheet says of its own size is often wrong, and cuts rows off.
    sheet.reset_dimensions()
    number = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about decorations that are of no interest here
            for number, cells in enumerate(sheet.iter_rows(values_only=True, max_col=MOST_COLUMNS + 1), 1):
                yield number, cells
    except CdpError:
        raise
    except BROKEN as error:
        raise InvalidError(f"Row {number + 1} cannot be read: {error}.", path=f"row {number + 1}") from None


def _sheet(workbook: Any, names: list[str], told: str) -> str:
    """The sheet that was named, else the first that has a table in it."""
    if told:
        if told not in workbook.sheetnames:
            raise InvalidError(f"There is no sheet {told!r}; there are {', '.join(map(repr, names))}.", path="sheet")
        return told
    for name in names:
        if sum(1 for _, cells in _few(workbook[name]) if sum(bool(text(cell)) for cell in cells) > 1) > 1:
            return name
    return names[0]


def _few(sheet: Any) -> Iterator[Record]:
    for record, _ in zip(_records(sheet), range(50), strict=False):
        yield record


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise MisconfiguredError(
            "XLSX files need the package openpyxl: pip install 'streamcdp[files]', or save the sheet as CSV."
        ) from None
    with path.open("rb") as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                workbook = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        except BROKEN as error:
            raise InvalidError(f"This is no XLSX file that can be read: {error}.", code="unreadable_file") from None
        try:
            yield workbook
        finally:
            workbook.close()


def _refuse_bombs(path: Path) -> None:
    """Refuse what would unpack into far more than any spreadsheet holds. Raises `InvalidError`."""
    try:
        with zipfile.ZipFile(path) as packed:
            parts = packed.infolist()
    except zipfile.BadZipFile as error:
        raise InvalidError(f"This is no XLSX file that can be read: {error}.", code="unreadable_file") from None
    names = {part.filename for part in parts}
    if "xl/workbook.xml" not in names:
        raise InvalidError("This is a zip, but no XLSX file: unpack it, or save as .xlsx.", code="unreadable_file")
    total = sum(part.file_size for part in parts)
    strings = sum(part.file_size for part in parts if "sharedStrings" in part.filename)
    swollen = total > RATIO_FROM and total > RATIO * path.stat().st_size
    if total > LARGEST or strings > LARGEST_STRINGS or swollen:
        raise InvalidError(
            f"Unpacked the file would have {total} bytes: too many for a spreadsheet. Save it as CSV.",
            code="file_too_large",
        )
