"""Rows → files, in every format: what tests of imports bring."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Sequence[Any]]

# How windows-1258 writes Vietnamese: the base letter, then its tone as a letter of its own.
TONES = "\u0300\u0301\u0303\u0309\u0323"


def as_csv(rows: Rows, *, encoding: str = "utf-8", delimiter: str = ",") -> bytes:
    """A CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    written = text.getvalue()
    return (split_tones(written) if encoding == "windows-1258" else written).encode(encoding)


def as_xlsx(rows: Rows, *, merged: Sequence[str] = ()) -> bytes:
    """An XLSX file."""
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(list(row))
    for cells in merged:
        sheet.merge_cells(cells)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def as_jsonl(rows: Rows) -> bytes:
    """A JSONL file; the first row names the columns."""
    head, *rest = rows
    return "".join(json.dumps(dict(zip(head, row, strict=True)), ensure_ascii=False) + "\n" for row in rest).encode()


def as_parquet(rows: Rows) -> bytes:
    """A Parquet file; the first row names the columns."""
    import pyarrow
    import pyarrow.parquet

    head, *rest = rows
    columns = {name: [row[place] for row in rest] for place, name in enumerate(head)}
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def split_tones(text: str) -> str:
    """Vietnamese as windows-1258 can write it."""
    letters = []
    for sign in unicodedata.normalize("NFC", text):
        parts = unicodedata.normalize("NFD", sign)
        tones = "".join(part for part in parts if part in TONES)
        base = unicodedata.normalize("NFC", "".join(part for part in parts if part not in TONES))
        letters.append(base + tones if tones else sign)
    return "".join(letters)


def kept(folder: Path, content: bytes, name: str = "file") -> Path:
    """The content as a file."""
    path = folder / name
    path.write_bytes(content)
    return path
