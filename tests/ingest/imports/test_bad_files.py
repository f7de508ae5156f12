"""Tests of files that are broken, hostile, or not what they are called: each is refused in words, none does harm."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cdp.errors import InvalidError, MisconfiguredError
from ingest.imports import parquet, spreadsheets
from ingest.imports.mapping import Mapping
from ingest.imports.reading import Task, read
from ingest.imports.tables import LONGEST_CELL, open_table
from tests.ingest.imports.files import as_csv, as_parquet, as_xlsx, kept

ROWS = [["Họ tên", "SĐT"], *([f"Lan {number}", f"09051{number:05d}"] for number in range(50))]


def task(name: str = "file.csv") -> Task:
    """What reads a file of customers."""
    return Task(name=name, source="pos", region="VN", currency="VND", timezone="+07:00")


def bomb() -> bytes:
    """An XLSX whose sheet would unpack into a gigabyte of spaces."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/workbook.xml", "<workbook/>")
        with book.open("xl/worksheets/sheet1.xml", "w") as sheet:
            for _ in range(150):
                sheet.write(b" " * 1_000_000)
    return packed.getvalue()


def zipped(name: str, content: str) -> bytes:
    """A zip with one file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as book:
        book.writestr(name, content)
    return packed.getvalue()


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "empty"),
    "only a mark": (lambda: b"\xef\xbb\xbf\r\n\r\n", "empty"),
    "only delimiters": (lambda: b",,,\n,,,\n", "no rows"),
    "only a heading": (lambda: "Họ tên,SĐT\n".encode(), "no rows below its heading"),
    "old spreadsheet": (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "save it as .xlsx"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(100), "unpack it first"),
    "image": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "image"),
    "web page": (lambda: b"<html><table><tr><td>1</td></tr></table></html>", "web page"),
    "array": (lambda: b'[{"a": 1}]', "one object a line"),
    "binary": (lambda: bytes(range(1, 32)) * 50, "binary"),
    "zip": (lambda: zipped("a.txt", "a"), "no XLSX file"),
    "half a spreadsheet": (lambda: as_xlsx(ROWS)[:2_000], "cannot|can be read"),
    "no sheet in it": (lambda: zipped("xl/workbook.xml", "<x"), "can be read"),
    "bomb": (bomb, "too many for a spreadsheet"),
    "half a parquet": (lambda: as_parquet(ROWS)[:200], "cut off"),
    "broken parquet": (lambda: b"PAR1" + bytes(300) + b"PAR1", "no Parquet file"),
    "parquet without pages": (lambda: b"PAR1" + bytes(200) + as_parquet(ROWS)[-400:], "Parquet|cannot be read"),
    "open quote": (lambda: as_csv(ROWS[:3]) + b'"' + b"x" * 21_000_000, "a quote that opens it"),
    "no objects": (lambda: b'{"a": \n{"b": \n', "No line of the file"),
    "too wide": (lambda: b",".join(b"c%d" % number for number in range(600)) + b"\n1\n", "600 columns"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_in_words(tmp_path: Path, name: str) -> None:
    """It says what is wrong and, where something helps, what to do."""
    make, words = REFUSED[name]
    kept(tmp_path, make())

    with pytest.raises(InvalidError, match=words):
        read(tmp_path, task())


def test_a_told_encoding_must_fit(tmp_path: Path) -> None:
    """Else names would be garbled without anybody's knowledge."""
    content = as_csv([*ROWS, ["Trần", "1"]], encoding="windows-1258")
    path = kept(tmp_path, content)

    with pytest.raises(InvalidError, match="not written in utf-8"):
        list(open_table(path, Mapping(encoding="utf-8", header=0, delimiter=",")).rows())
    with pytest.raises(InvalidError, match="no encoding"):
        open_table(path, Mapping(encoding="klingon"))


def test_a_huge_cell_harms_its_row_only(tmp_path: Path) -> None:
    """Ten megabytes in one cell: the row is set aside with its beginning, its neighbours go in."""
    rows = [*ROWS[:5], ["x" * 10_000_000, "0905999999"], *ROWS[5:8]]
    kept(tmp_path, as_csv(rows))
    report = read(tmp_path, task())["report"]

    assert report["rows"] == 8
    assert report["quarantine"]["cell_too_long"]["rows"] == [
        {
            "row": 6,
            "column": "Họ tên",
            "reason": f"10000000 characters; a cell may have {LONGEST_CELL}. The rest was cut.",
        }
    ]


def test_nothing_of_a_cell_is_nul(tmp_path: Path) -> None:
    """Programs that count letters wrong leave NULs behind them."""
    kept(tmp_path, "Họ tên,SĐT\nLan\0\0,0905123457\n".encode())

    assert read(tmp_path, task())["report"]["values"]["phone"]["bad"] == 0


def test_a_wrong_name_does_not_matter(tmp_path: Path) -> None:
    """The content tells what a file is; that its name says something else is mentioned."""
    kept(tmp_path, as_xlsx(ROWS))
    result = read(tmp_path, task("khach.csv"))

    assert result["mapping"]["format"] == "xlsx"
    assert "The file is called 'khach.csv', but it is XLSX." in result["report"]["notes"]


def test_a_broken_line_harms_no_other(tmp_path: Path) -> None:
    """Of JSON lines each stands alone."""
    kept(tmp_path, b'{"phone": "0905123457"}\n{"phone": oops}\n[1]\n{"phone": "0905123458"}\n')
    report = read(tmp_path, task("a.jsonl"))["report"]

    assert (report["rows"], report["events"]) == (4, 4)
    assert [one["row"] for one in report["quarantine"]["invalid_json"]["rows"]] == [2, 3]


def test_a_line_without_end_is_not_read_whole(tmp_path: Path) -> None:
    """It is one bad line, and the next one is a line again."""
    kept(tmp_path, b'{"phone": "0905123457"}\n{"phone": "' + b"9" * 11_000_000 + b'"}\n{"phone": "0905123458"}\n')
    report = read(tmp_path, task("a.jsonl"))["report"]

    assert (report["rows"], report["quarantine"]["invalid_json"]["count"]) == (3, 1)


def test_formulas_are_text(tmp_path: Path) -> None:
    """Nothing is computed: what spreadsheets would run stays what was written."""
    kept(tmp_path, "Họ tên,SĐT,Ghi chú\nLan,0905123457,\"=cmd|'/C calc'!A0\"\nBình,0905123458,@SUM(1)\n".encode())
    read(tmp_path, task())

    from ingest.imports.stage import Stage

    with Stage(tmp_path / "rows.sqlite") as stage:
        assert b"=cmd|'/C calc'!A0" in stage.waiting(10, 0)[0].body


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what installs it, and what does without."""
    path = kept(tmp_path, as_xlsx(ROWS))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    with pytest.raises(MisconfiguredError, match=r"openpyxl: pip install 'streamcdp\[files\]'"):
        spreadsheets.open_table(path, Mapping())
    with pytest.raises(MisconfiguredError, match=r"pyarrow: pip install 'streamcdp\[files\]'"):
        parquet.open_table(kept(tmp_path, b"PAR1"), Mapping())


def test_rows_without_end_in_a_sheet_end(tmp_path: Path) -> None:
    """A sheet that claims a last row far away costs no more than its rows."""
    kept(tmp_path, as_csv([*ROWS, *[["", ""]] * 2_000]))

    assert read(tmp_path, task())["report"]["rows"] == 50
