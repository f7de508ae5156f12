"""Tests of `cdp identity resolve` and `cdp identity evaluate`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cdp.cli.commands import app
from cdp.errors import InvalidError

TABLE = """\
rec_id,Họ tên,SĐT,Email,Ngày sinh,who
r1,Trần Thị Lan,0905 123 456,lan.tran@gmail.com,01/02/1990,lan
r2,Lan Trần,+84905123456,,1990-02-01,lan
r3,tran thi lan,,lantran@gmail.com,,lan
r4,Nguyễn Văn Bình,0912 000 111,binh@shop.vn,20/11/1985,binh
r5,Lê Hoàng,0987 654 321,hoang.le@shop.vn,03/03/1979,hoang
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A little customer list with a truth."""
    file = tmp_path / "customers.csv"
    file.write_text(TABLE, encoding="utf-8")
    return file


def run(*arguments: object) -> Any:
    """What a command prints as JSON."""
    result = CliRunner().invoke(app, ["identity", *map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_list_of_customers_is_resolved(table: Path, tmp_path: Path) -> None:
    """Without a service, a label or a rule; the rows come out again, each with the row its person is first in."""
    output = tmp_path / "people.csv"
    summary = run("resolve", table, "--output", output)

    assert summary["columns"] == {
        "Họ tên": "name", "SĐT": "phone", "Email": "email", "Ngày sinh": "birth", "who": "text",
    }  # fmt: skip
    assert (summary["records"], summary["people"], summary["largest"]) == (5, 3, 3)
    with output.open(encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["person_id"] for row in rows] == ["1", "1", "1", "4", "5"]
    assert rows[1]["Họ tên"] == "Lan Trần"


def test_a_labelled_list_is_evaluated(table: Path) -> None:
    """The truth is not looked at while resolving."""
    figures = run("evaluate", table, "--truth", "who")

    assert figures["pairwise"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert (figures["people_in_truth"], figures["most_people_in_a_cluster"], figures["over_merged"]) == (3, 1, [])


def test_what_others_found_is_evaluated(tmp_path: Path) -> None:
    """Two columns are enough."""
    file = tmp_path / "found.csv"
    file.write_text("found,cluster\n1,lan\n1,lan\n1,an\n2,an\n", encoding="utf-8")

    figures = run("evaluate", file, "--found", "found")

    assert figures["pairs_found"] == 3
    assert figures["over_merged"] == ["1: lan (2), an (1)"]


def test_people_read_words(table: Path) -> None:
    """Without --json nothing looks like JSON, and it is said how to get the rows."""
    result = CliRunner().invoke(app, ["identity", "resolve", str(table)], catch_exceptions=False)

    assert "Họ tên: name; SĐT: phone; Email: email" in result.stdout
    assert "{" not in result.stdout
    assert "--output" in result.stderr


def test_rows_without_a_label_are_not_judged(tmp_path: Path) -> None:
    """They are not all one person; and who was not found is nobody else's."""
    file = tmp_path / "found.csv"
    file.write_text("found,cluster\n1,lan\n,lan\n1,\n,an\n7,\n", encoding="utf-8")

    figures = run("evaluate", file, "--found", "found")

    assert (figures["records"], figures["clusters"], figures["pairs_in_truth"], figures["pairs_found"]) == (3, 3, 1, 0)


def test_what_is_wrong_is_said(table: Path) -> None:
    """Unknown columns and roles, a missing truth, what is no NAME=ROLE, no rows; and the file that is read is kept."""
    header, unlabelled = table.with_name("header.csv"), table.with_name("unlabelled.csv")
    header.write_text("Họ tên,SĐT\n", encoding="utf-8")
    unlabelled.write_text("Họ tên,cluster\nLan,\n", encoding="utf-8")
    for arguments in (
        ("resolve", header),
        ("evaluate", unlabelled),
        ("resolve", table, "--output", table),
        ("resolve", table, "--output", table.parent),
        ("resolve", table, "--column", "phone=nobody"),
        ("resolve", table, "--column", "SĐT=nobody"),
        ("resolve", table, "--column", "SĐT"),
        ("evaluate", table),
        ("evaluate", table, "--truth", "whose"),
        ("resolve", table, "--output", table / "under" / "a.csv"),
    ):
        with pytest.raises(InvalidError):
            CliRunner().invoke(app, ["identity", *map(str, arguments)], catch_exceptions=False)
    assert table.read_text(encoding="utf-8") == TABLE
