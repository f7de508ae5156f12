"""Tests that columns of a table are taken for what they are."""

from __future__ import annotations

import pytest

from cdp.errors import InvalidError
from identity.matching.columns import NAMES, infer
from identity.matching.schema import ROLES


def roles(header: list[str], rows: list[list[str]], **given: str) -> dict[str, str]:
    """The role of each column that counts."""
    return {column.field.name: column.field.kind for column in infer(header, rows, given=given).columns}


def test_every_role_that_is_named_exists() -> None:
    """A misspelt role in the table of names would hide a column."""
    assert set(NAMES) <= {*ROLES, "year", "month", "day", "ignore"}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("given_name", "given"),
        ("GivenName", "given"),
        ("first name", "given"),
        ("surname", "family"),
        ("lname_c1", "family"),
        ("date_of_birth", "birth"),
        ("DOB", "birth"),
        ("soc_sec_id", "document"),
        ("street_number", "house"),
        ("address_1", "street"),
        ("suburb", "town"),
        ("postcode_fake", "postcode"),
        ("Họ tên", "name"),
        ("Tên khách hàng", "name"),
        ("SĐT", "phone"),
        ("Số điện thoại", "phone"),
        ("Ngày sinh", "birth"),
        ("Địa chỉ", "street"),
        ("Tỉnh/Thành", "region"),
        ("Email", "email"),
        ("customer_email", "email"),
        ("Số CCCD", "document"),
        ("loyalty_card", "card"),
        ("race_ethnicity", "descent"),
    ],
)
def test_names_in_english_and_vietnamese_are_known(name: str, role: str) -> None:
    """However they are capitalised, joined and accented."""
    assert roles([name], [["12"], ["34"]]) == {name: role}


@pytest.mark.parametrize("name", ["rec_id", "unique_id", "ID", "cluster", "entity_id", "STT", "created_at"])
def test_what_gives_the_answer_away_is_left_out(name: str) -> None:
    """A row's own number, or a label, is no evidence."""
    layout = infer([name, "email"], [["rec-1-org", "lan@shop.vn"], ["rec-1-dup-0", "an@shop.vn"]])

    assert [column.field.name for column in layout.columns] == ["email"]
    assert name in layout.ignored


@pytest.mark.parametrize(
    ("cells", "role"),
    [
        ([f"lan{n}@shop.vn" for n in range(60)], "email"),
        ([f"{n % 28 + 1:02d}/{n % 12 + 1:02d}/19{n % 60 + 30}" for n in range(60)], "birth"),
        ([f"0905{n:06d}" for n in range(60)] * 2, "phone"),
        (["red", "green", "blue"] * 60, "category"),
        ([f"{n}" for n in range(60)] * 2, "number"),
        ([f"a plain sentence of words, {n}" for n in range(60)], "text"),
    ],
)
def test_a_name_that_says_nothing_is_made_up_for_by_the_cells(cells: list[str], role: str) -> None:
    """By how they look and how often they are repeated."""
    assert roles(["x7"], [[cell] for cell in cells]) == {"x7": role}


@pytest.mark.parametrize(
    "cells", [[f"f3a9{n:04x}" for n in range(60)], [f"2026-05-{n % 28 + 1:02d}" for n in range(60)], []]
)
def test_keys_recent_dates_and_nothing_are_no_evidence(cells: list[str]) -> None:
    """What no two rows have in common, when a row was written, and an empty column say nothing of who somebody is."""
    assert roles(["x7", "email"], [[cell, "lan@shop.vn"] for cell in cells] or [["", "lan@shop.vn"]]) == {
        "email": "email"
    }


def test_dates_are_read_in_the_order_of_their_column() -> None:
    """One day above the twelfth tells which comes first."""
    american = infer(["dob"], [["05/13/1994"], ["05/06/1994"]])
    vietnamese = infer(["dob"], [["13/05/1994"], ["05/06/1994"]])

    assert american.values(["05/06/1994"]) == ("19940506",)
    assert vietnamese.values(["05/06/1994"]) == ("19940605",)


def test_a_birthday_in_three_columns_is_one() -> None:
    """Year, month and day, wherever they stand."""
    layout = infer(["bd", "by", "bm", "fname_c1"], [["7", "1949", "2", "carsten"], ["27", "1968", "11", "gerd"]])

    assert {column.field.name: column.field.kind for column in layout.columns} == {
        "fname_c1": "given",
        "birth": "birth",
    }
    assert layout.values(["7", "1949", "2", "CARSTEN"]) == ("carsten", "19490207")


def test_the_second_given_name_and_the_name_as_a_whole_say_less() -> None:
    """What is said twice is not counted twice."""
    header = ["full name", "first name", "forename", "last name"]

    assert roles(header, [["lan tran", "lan", "anh", "tran"]]) == {
        "first name": "given",
        "forename": "middle",
        "last name": "family",
    }


def test_what_is_given_beats_what_is_guessed() -> None:
    """A role can be named, and a column left out."""
    assert roles(["a", "b"], [["lan", "tran"]], a="given", b="ignore") == {"a": "given"}
    with pytest.raises(InvalidError, match="no column 'c'"):
        roles(["a"], [["lan"]], c="given")
    with pytest.raises(InvalidError, match="no role 'firstname'"):
        roles(["a"], [["lan"]], a="firstname")
    with pytest.raises(InvalidError, match="No column says anything"):
        roles(["id"], [["1"]])


def test_a_short_row_lacks_its_last_cells() -> None:
    """And a blank or blocked cell says nothing."""
    layout = infer(["first name", "email"], [["lan", "lan@shop.vn"]])

    assert layout.values(["Lan"]) == ("lan", None)
    assert layout.values(["N/A", " "]) == (None, None)
