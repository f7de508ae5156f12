"""The file connector: the contract, and cells that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from activation.connector import Batch
from activation.connectors.file import FIXED, File, FileSettings, cell, cells
from activation.requests import FileRequest
from activation.testing import ODD_CHANGES, ConnectorContract, sample_change


class TestJsonLines(ConnectorContract):
    """JSON Lines."""

    connector = File()
    cases = Path(__file__).parent / "cases"


class TestCsv(ConnectorContract):
    """CSV with chosen columns."""

    connector = File()
    settings: ClassVar[dict[str, Any]] = {
        "path": "{segment}-{date}.csv",
        "format": "csv",
        "columns": ["identifiers.email.0", "traits.name", "traits"],
    }


def built(settings: FileSettings, *changes: Any) -> list[FileRequest]:
    """The requests for some changes."""
    return list(File().build(settings, Batch("export", changes, 0)))


def test_a_line_says_who_and_what() -> None:
    """A JSON line begins with its id, where the transport looks for it."""
    [request] = built(FileSettings(), sample_change(3))
    [line] = request.lines

    assert request.path == "export-vip.jsonl"
    assert line.text[request.id_at :].startswith(line.id.encode())
    assert json.loads(line.text)["type"] == "segment.entered"
    assert json.loads(line.text)["data"]["identifiers"]["email"] == ["an3@example.com"]


def test_the_path_depends_on_the_change_alone() -> None:
    """A change goes to the file of its own day, on whatever day it is sent; each file gets one request."""
    day = 24 * 3600 * 1000
    changes = [sample_change(number, at=sample_change().at + (number % 2) * day) for number in range(4)]
    requests = built(FileSettings(path="x/{segment}/{date}.jsonl"), *changes)

    assert [(request.path, request.members) for request in requests] == [
        ("x/vip/2026-11-21.jsonl", (0, 2)),
        ("x/vip/2026-11-22.jsonl", (1, 3)),
    ]


def test_what_was_attempted_before_is_doubtful() -> None:
    """Only repeated attempts are looked for in the file."""
    [request] = built(FileSettings(), sample_change(1), sample_change(2, attempt=2))

    assert request.doubtful == {sample_change(2).id}


@pytest.mark.parametrize("path", ["{profile_id}.jsonl", "{segment.__class__}", "{}", "{segment", "a{b", ""])
def test_unknown_placeholders_are_refused(path: str) -> None:
    """Only the three placeholders may stand in braces."""
    with pytest.raises(ValidationError):
        FileSettings(path=path)


FORMULAS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "\u00a0=1+1",
    "\x00=1+1",
    "＝1+1",
    "＋1",
    "－1",
    "＠A1",
    "+84901234567;=1",
    "\tplain",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text: str) -> None:
    """What a spreadsheet would run is written with a quote before it, in one line."""
    assert cell(text).startswith("'")
    assert "\n" not in cell(text) and "\r" not in cell(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (-5, "-5"),
        (1.5, "1.5"),
        (2**70, "1180591620717411303424"),
        ("+84901234567", "+84901234567"),
        ("-12.50", "-12.50"),
        ("Nguyễn", "Nguyễn"),
        ("a=b", "a=b"),
        ("two\r\nlines", "two lines"),
        ({"a": [1]}, '{"a":[1]}'),
        ("", ""),
    ],
)
def test_harmless_values_stay_as_they_are(value: object, text: str) -> None:
    """Numbers, phone numbers and plain text are not touched."""
    assert cell(value) == text


@given(st.text())
def test_no_text_can_begin_a_formula(text: str) -> None:
    """After escaping, no cell begins like a formula unless it is a plain number, and none spans lines."""
    written = cell(text)

    assert len(written.splitlines()) <= 1
    first = written.lstrip()[:1]
    assert first not in set("=@＝＋－＠") and (first not in set("+-") or written[1:].replace(".", "").isdecimal())


def test_escaping_can_be_switched_off() -> None:
    """A file for machines may hold the text as it is."""
    assert cell("=1+1", escape=False) == "=1+1"


def test_csv_reads_back() -> None:
    """Python's csv reads the heading and one row a change, whatever is in them; the id stands first."""
    settings = FileSettings(path="a.csv", format="csv", columns=("identifiers.email.0", "traits.text", "traits"))
    [request] = built(settings, *ODD_CHANGES)
    text = b"\n".join([request.heading, *(line.text for line in request.lines)]).decode()
    heading, *rows = list(csv.reader(io.StringIO(text, newline="")))

    assert heading == [*FIXED, *settings.columns]
    assert [row[0] for row in rows] == [change.id for change in ODD_CHANGES]
    assert all(line.text.startswith(line.id.encode()) for line in request.lines)
    assert cells(["a,b", 'c"d']) == b'"a,b","c""d"'
