"""Tests that cells and observations become comparable values."""

from __future__ import annotations

import pytest

from identity.matching.readings import observed, reader_of
from identity.matching.schema import CUSTOMERS


@pytest.mark.parametrize(
    ("role", "cell", "value"),
    [
        ("given", "  Jörg-Peter ", "jorg peter"),
        ("name", "Chị Trần Thị Lan", "tran thi lan"),
        ("name", "Khách lẻ", None),
        ("birth", "1990-02-01", "19900201"),
        ("birth", "01/02/1990", "19900201"),
        ("birth", "19241398", "19241398"),
        ("birth", "1/13x/1994", "19941301"),
        ("birth", "1900-01-01", None),
        ("phone", "0905 123 456", "+84905123456"),
        ("phone", "555-0134", "5550134"),
        ("phone", "000000", None),
        ("email", "Lan.Tran+news@GMAIL.com", "lantran@gmail.com"),
        ("email", "lan@", "lan@"),
        ("email", "test@test.com", None),
        ("postcode", "TQ13 8DF", "tq13 8df"),
        ("document", "698-80 48", "6988048"),
        ("region", "TP.HCM", "ho chi minh"),
        ("region", "Queensland", "queensland"),
        ("town", "null", None),
        ("street", "12/3 Đường Lê Lợi", "12 3 duong le loi"),
    ],
)
def test_cells_are_read_by_their_role(role: str, cell: str, value: str | None) -> None:
    """A mistyped cell keeps its letters and digits; a placeholder is nobody's."""
    assert reader_of(role, "VN")(cell) == value


def test_an_observation_says_what_it_has() -> None:
    """Its identifiers by type, its attributes in one form, its devices beside."""
    values = observed(
        [("email", "lan@shop.vn"), ("phone", "+84905123456"), ("crm_id", "C1"), ("zalo_id", "z")],
        {"name": "trần thị lan", "birthday": "1990-02", "street": "12 le loi", "province": "hue"},
        [("anonymous_id", "a1")],
    )

    assert {field.name: value for field, value in zip(CUSTOMERS, values, strict=True) if value} == {
        "name": "tran thi lan",
        "phone": "+84905123456",
        "email": "lan@shop.vn",
        "birthday": "19900200",
        "street": "12 le loi",
        "province": "hue",
        "crm_id": "C1",
        "anonymous_id": "a1",
    }
