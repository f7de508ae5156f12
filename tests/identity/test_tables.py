"""Tests of files that hold a table."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from cdp.errors import InvalidError
from identity.tables import opened

ROWS = [["name", "points"], ["Lan", "3"], ["Bình, An", ""]]


def csv(folder: Path) -> Path:
    """With a byte order mark, as spreadsheets write it."""
    file = folder / "a.csv"
    file.write_text('\ufeffname,points\nLan,3\n"Bình, An",\n\n', encoding="utf-8")
    return file


def semicolons(folder: Path) -> Path:
    """As spreadsheets of half the world write it, packed."""
    file = folder / "a.csv.gz"
    file.write_bytes(gzip.compress("name;points\nLan;3\nBình, An;\n".encode()))
    return file


def unicode_text(folder: Path) -> Path:
    """As spreadsheets save "Unicode text"."""
    file = folder / "a.txt"
    file.write_text("\nname\tpoints\nLan\t3\nBình, An\t\n", encoding="utf-16")
    return file


def array(folder: Path) -> Path:
    """One JSON array."""
    file = folder / "a.json"
    file.write_text(json.dumps([{"name": "Lan", "points": 3}, {"name": "Bình, An"}]))
    return file


def lines(folder: Path) -> Path:
    """A JSON object a line; a name may be absent."""
    file = folder / "a.jsonl"
    file.write_text("\n".join(json.dumps(one) for one in ({"name": "Lan", "points": 3}, {"name": "Bình, An"})))
    return file


def parquet(folder: Path) -> Path:
    """Typed columns."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = folder / "a.parquet"
    parquet.write_table(pyarrow.table({"name": ["Lan", "Bình, An"], "points": [3.0, None]}), file)
    return file


def xlsx(folder: Path) -> Path:
    """A workbook's first sheet."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["name", "points"], ["Lan", 3], ["Bình, An", None], [None, None]):
        book.active.append(row)
    book.save(folder / "a.xlsx")
    return folder / "a.xlsx"


@pytest.mark.parametrize("made", [csv, semicolons, unicode_text, array, lines, parquet, xlsx])
def test_the_same_table_in_any_format(made: object, tmp_path: Path) -> None:
    """Cells are text; what is missing is empty, blank rows are none."""
    with opened(made(tmp_path)) as table:  # type: ignore[operator]
        first, table = table.sampled(1)
        assert [table.header, *map(list, table.rows)] == ROWS
        assert list(map(list, first)) == ROWS[1:2]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", b"name\n\xff\xfe\n", "not UTF-8 text.* Save it as"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n\n", "is empty"),
        ("a.csv", b"name\n" + b"a" * (1 << 24) + b"a\n", "field larger"),
        ("a.csv.gz", b"name\n", "cannot be read"),
        ("a.jsonl", b"{\n", "no table"),
        ("a.jsonl", b"1\n", "no table"),
        ("a.json", b'{"name": "Lan"}', "no table"),
        ("a.parquet", b"PAR", "no table"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, content: bytes, why: str, tmp_path: Path) -> None:
    """A wrong file is the reader's to correct, not a crash."""
    file = tmp_path / name
    file.write_bytes(content)

    with pytest.raises(InvalidError, match=why), opened(file) as table:
        list(table.rows)
    with pytest.raises(InvalidError, match="cannot be read"), opened(tmp_path / "none.csv"):
        pass
