"""Identifiers: types, spellings, and values that identify nobody."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import InvalidError
from identity.identifiers import KNOWN, Identifiers, scalar, type_of

READ = Identifiers().read


@pytest.mark.parametrize(
    "raw",
    [
        *("", " ", "0", "000", "-", "0-0", "-1", "null", "NULL", "None", "nan", "NaN", "undefined", "true", "False"),
        *("anonymous", "Guest", "distinct_id", "distinctId", "id", "not_authenticated", "email", "[object Object]"),
        *('"null"', "'undefined'", "00000000-0000-0000-0000-000000000000", "unknown", "khách lẻ", "khach le", "..."),
        *("x" * 501, "khongco"),
    ],
)
@pytest.mark.parametrize("name", ["user_id", "crm_id", "zalo_id", "anonymous_id"])
def test_placeholders_identify_nobody(name: str, raw: str) -> None:
    """What stands where an id is missing is refused for every type."""
    assert READ(name, raw) is None


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("user_id", " u_1 ", ("user_id", "u_1")),
        ("user_id", "U_1", ("user_id", "U_1")),
        ("loyalty_card", "lc 031-317 1580", ("loyalty_card", "LC0313171580")),
        ("Loyalty_ID", "7", ("loyalty_card", "7")),
        ("phone_number", "0905 123 456", ("phone", "+84905123456")),
        ("email_address", "LAN@EXAMPLE.COM", ("email", "lan@example.com")),
        ("zalo_id", "z-1", ("zalo_id", "z-1")),
        ("crm", "C1", ("crm_id", "C1")),
    ],
)
def test_types_go_by_one_name_and_values_by_one_form(name: str, raw: str, expected: tuple[str, str]) -> None:
    """Other spellings of a type are the type, and each type writes its values in one way."""
    assert READ(name, raw) == expected


def test_what_is_composed_differently_is_the_same() -> None:
    """NFC and NFD of an id are the same id."""
    assert READ("user_id", unicodedata.normalize("NFD", "nguyễn")) == ("user_id", "nguyễn")


def test_settings_block_more_values() -> None:
    """An installation's own patterns are held against the normalised value, whole."""
    own = Identifiers("VN", [r"\+8428.*", "demo"])
    assert own.read("phone", "028 7300 1234") is None
    assert own.read("user_id", "demo") is None
    assert own.read("user_id", "demo2") == ("user_id", "demo2")
    assert own.blocking(["demo2"]).read("user_id", "demo2") is None


def test_a_pattern_must_be_one() -> None:
    """A pattern that is no regular expression is named."""
    with pytest.raises(InvalidError, match=r"\(\["):
        Identifiers("VN", ["(["])


def test_each_type_is_of_a_kind() -> None:
    """People have ids and contacts, devices bind events, aliases point back, traces say where an event came from."""
    assert {kind.kind for kind in KNOWN.values()} == {"person", "contact", "device", "alias", "trace"}
    assert type_of("whatever").kind == "person"


def test_a_type_refuses_what_is_none_of_its_values() -> None:
    """A made-up card number, the CRM's customer for everybody, an id that many telephones have by mistake."""
    for name, raw in (
        *(("loyalty_card", "1111 1111"), ("card", "123456789"), ("crm_id", "KHLE"), ("crm_id", "KL0")),
        *(("device_id", "9774d56d682e549c"), ("device_id", "02:00:00:00:00:00")),
        *(("phone", "1900 1234"), ("phone", "0900000000"), ("email", "khongco@shop.vn"), ("email", "test@test.vn")),
    ):
        assert READ(name, raw) is None
    assert READ("user_id", "123456789") == ("user_id", "123456789")
    assert READ("loyalty_card", "1111 1112") == ("loyalty_card", "11111112")


def test_a_pattern_may_be_of_one_type() -> None:
    """A type's name in front of a pattern keeps it from other types."""
    own = Identifiers("VN", [r"phone:\+8428.*", "user_id:demo"])
    assert own.read("phone", "028 7300 1234") is None
    assert own.read("user_id", "demo") is None
    assert own.read("crm_id", "demo") == ("crm_id", "demo")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("a", "a"), (7, "7"), (7.0, "7"), (1.5, "1.5"), (True, ""), (None, ""), ([], ""), ({}, ""), (1e300, "1e+300")],
)
def test_ids_may_be_numbers(raw: object, expected: str) -> None:
    """A number stands for its text; anything else that is no text is no id."""
    assert scalar(raw) == expected


@given(st.sampled_from(sorted(KNOWN)), st.text(max_size=60))
def test_a_value_stays_what_it_is(name: str, raw: str) -> None:
    """No text raises, and normalising twice is normalising once."""
    found = READ(name, raw)
    assert found is None or READ(*found) in (found, None)
