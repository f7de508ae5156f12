"""Tests of files as tables: rows go in, and the same rows come out, whatever the format and the letters."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from cdp.errors import InvalidError
from ingest.imports import delimited, heading
from ingest.imports.cells import text
from ingest.imports.delimited import encoding_of
from ingest.imports.mapping import Mapping
from ingest.imports.tables import open_table
from tests.ingest.imports.files import Rows, as_csv, as_jsonl, as_parquet, as_xlsx, kept

HEAD = ["Họ tên", "SĐT", "Ghi chú"]
VIETNAMESE = "aăâbcdđeêghiklmnoôơpqrstuưvxy ÁáÀàẢảẠạẤấẾếỐốỚớỨứỹỴ0123456789"
PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Cn", "Co", "Mn"]), min_size=1, max_size=12)
WORD = st.one_of(
    st.text(VIETNAMESE, min_size=1, max_size=12), PLAIN, st.sampled_from(['a "b"', "a,b;c", "hai\ndòng", "=1+1"])
)
SAID = WORD.filter(lambda word: text(word) != "" and "\x85" not in word)
SHEETS = st.lists(st.tuples(SAID, SAID, SAID), min_size=1, max_size=8)
WRITABLE = st.lists(st.tuples(*[st.text(VIETNAMESE, min_size=1, max_size=12).filter(text)] * 3), min_size=1, max_size=8)
FEW = examples(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
QUICK = examples(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(folder: Path, content: bytes, **mapping: Any) -> tuple[list[str], list[list[str]]]:
    """The columns and the rows of a file, as text."""
    with closing(open_table(kept(folder, content), Mapping(**mapping))) as table:
        return table.columns, [[text(cell) for cell in row.cells] for row in table.rows()]


def expected(rows: Rows) -> list[list[str]]:
    return [[text(cell) for cell in row] for row in rows]


@QUICK
@given(SHEETS, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]), st.sampled_from([",", ";", "\t", "|"]))
def test_csv_gives_the_same_rows(tmp_path: Path, rows: Rows, encoding: str, delimiter: str) -> None:
    """Quoted delimiters and line ends included; letters and delimiter are found out where they are not told."""
    content = as_csv([HEAD, *rows], encoding=encoding, delimiter=delimiter)

    assert read(tmp_path, content, header=1, encoding=encoding, delimiter=delimiter) == (HEAD, expected(rows))
    assert encoding_of(kept(tmp_path, content)) == {"utf-16": "utf-16"}.get(encoding, encoding)


@QUICK
@given(WRITABLE)
def test_windows_letters_give_the_same_rows(tmp_path: Path, rows: Rows) -> None:
    """Vietnamese as old programs write it: tones are letters of their own."""
    content = as_csv([HEAD, *rows], encoding="windows-1258")

    assert read(tmp_path, content, header=1, encoding="windows-1258") == (HEAD, expected(rows))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "windows-1258"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_letters_and_delimiter_are_found_out(tmp_path: Path, encoding: str, delimiter: str) -> None:
    """Nobody has to know how a program exports."""
    rows = [["Nguyễn Thị Lan, Hà Nội", "0905123457", "khách quen"], ["Trần Văn Bình", "0905123458", "ở; xa"]] * 5
    content = as_csv([HEAD, *rows], encoding=encoding, delimiter=delimiter)

    assert read(tmp_path, content) == (HEAD, expected(rows))


def test_western_letters_are_told_from_vietnamese_ones(tmp_path: Path) -> None:
    """The same bytes are tones in one and letters in the other."""
    content = "name,city\nJosé Peña,São Paulo\nFrançois Müller,Besançon\n".encode("windows-1252")

    assert read(tmp_path, content)[1] == [["José Peña", "São Paulo"], ["François Müller", "Besançon"]]


def test_excel_says_its_delimiter_in_a_first_line(tmp_path: Path) -> None:
    """Which is no row, and counts as one."""
    table = open_table(kept(tmp_path, b"sep=;\nHo ten;SDT\nLan;0905123457\n"), Mapping())

    assert [(row.number, list(row.cells)) for row in table.rows()] == [(3, ["Lan", "0905123457"])]


@FEW
@given(SHEETS)
def test_xlsx_gives_the_same_rows(tmp_path: Path, rows: Rows) -> None:
    """And a text that looks like a formula stays a text."""
    plain = [[cell if not cell.startswith("=") else "f" for cell in row] for row in rows]

    assert read(tmp_path, as_xlsx([HEAD, *plain]), header=1) == (HEAD, expected(plain))


@QUICK
@given(SHEETS)
def test_jsonl_gives_the_same_rows(tmp_path: Path, rows: Rows) -> None:
    """A column is every name in any line."""
    assert read(tmp_path, as_jsonl([HEAD, *rows])) == (HEAD, expected(rows))


@QUICK
@given(SHEETS)
def test_parquet_gives_the_same_rows(tmp_path: Path, rows: Rows) -> None:
    """In batches."""
    assert read(tmp_path, as_parquet([HEAD, *rows])) == (HEAD, expected(rows))


def test_lines_may_have_names_of_their_own(tmp_path: Path) -> None:
    """What a line does not have is empty; nested values stay what they are."""
    table = open_table(kept(tmp_path, b'{"a":1}\n\n{"b":{"c":[2]}}\n'), Mapping())

    assert table.columns == ["a", "b"]
    assert [(row.number, list(row.cells)) for row in table.rows()] == [(1, [1, None]), (3, [None, {"c": [2]}])]


def test_a_heading_below_titles_is_found(tmp_path: Path) -> None:
    """Shops put their name above their lists."""
    rows = [["CỬA HÀNG LAN", "", ""], ["Danh sách khách hàng", "", ""], ["", "", ""], HEAD, ["Lan", "0905123457", "x"]]

    assert read(tmp_path, as_csv(rows)) == (HEAD, [["Lan", "0905123457", "x"]])


def test_a_heading_on_two_rows_becomes_one(tmp_path: Path) -> None:
    """Merged cells name groups; a name that is not clear alone gets its group."""
    rows = [
        ["BÁO CÁO BÁN HÀNG", None, None, None, None],
        ["STT", "Khách hàng", None, "Đơn hàng", None],
        [None, "Họ tên", "SĐT", "Mã", "Tổng tiền"],
        [1, "Lan", 905123457, "DH1", 100_000],
    ]
    content = as_xlsx(rows, merged=["A1:E1", "A2:A3", "B2:C2", "D2:E2"])
    columns, found = read(tmp_path, content)

    assert columns == ["STT", "Họ tên", "SĐT", "Mã Đơn hàng", "Tổng tiền"]
    assert found == [["1", "Lan", "905123457", "DH1", "100000"]]


def test_a_file_without_a_heading_has_numbered_columns(tmp_path: Path) -> None:
    """Its first row is a row."""
    columns, rows = read(tmp_path, b"Lan,0905123457,lan@example.com\nBinh,0905123458,binh@example.com\n")

    assert columns == ["column 1", "column 2", "column 3"]
    assert len(rows) == 2


def test_a_column_that_comes_twice_has_two_names(tmp_path: Path) -> None:
    """The second one is numbered."""
    assert read(tmp_path, b"SDT,SDT,Ten\n1,2,3\n")[0] == ["SDT", "SDT (2)", "Ten"]


def test_a_row_with_too_many_cells_is_wrong(tmp_path: Path) -> None:
    """Its cells may have moved; one with too few is short of the last ones."""
    table = open_table(kept(tmp_path, b"Ten,SDT\nLan,1,2\nBinh\nNam,3,\n"), Mapping())
    rows = list(table.rows())

    assert [row.trouble.code if row.trouble else "" for row in rows] == ["ragged_row", "", ""]
    assert [list(row.cells) for row in rows] == [["Lan", "1"], ["Binh", None], ["Nam", "3"]]


def test_the_sheet_with_a_table_is_read(tmp_path: Path) -> None:
    """A cover is passed over; another sheet can be named, and one that is not there is told."""
    from openpyxl import Workbook

    book = Workbook()
    cover, first, second = book.active, book.create_sheet("Khách"), book.create_sheet("Khác")
    assert cover is not None
    cover.append(["Bìa"])
    for sheet, name in ((first, "Lan"), (second, "Bình")):
        sheet.append(HEAD)
        sheet.append([name, "0905123457", ""])
    book.save(tmp_path / "file")
    content = (tmp_path / "file").read_bytes()

    assert read(tmp_path, content)[1] == [["Lan", "0905123457", ""]]
    assert read(tmp_path, content, sheet="Khác")[1] == [["Bình", "0905123457", ""]]
    with pytest.raises(InvalidError, match="There is no sheet 'X'"):
        read(tmp_path, content, sheet="X")


def test_the_best_delimiter_cuts_alike() -> None:
    """Not the one that occurs most."""
    assert delimited.delimiter_of("a;b\n1,5;2,5\n3,7;4,1\n") == ";"
    assert delimited.delimiter_of("just\nwords\n") == ","


def test_values_are_no_heading() -> None:
    """A row of telephone numbers, addresses, dates or amounts names nothing."""
    assert heading.heading_of([(1, ["a@b.vn", "5"]), (2, ["c@d.vn", "6"])]).first == 0
