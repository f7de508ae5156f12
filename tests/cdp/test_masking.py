"""What is personal is masked, by its name or by what it looks like; what people need to read stays readable."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.masking import ANY_KEY, LONGEST_SHOWN, MASKED, example, is_personal, key, looks_personal

PERSONAL = [
    *("email", "Email", "user_email", "customerEmail", "phone", "phoneNumber", "mobile_phone", "sdt", "Số điện thoại"),
    *("name", "firstName", "last_name", "full_name", "Họ tên", "ho_va_ten", "customer_name", "nickname", "username"),
    *("address", "shipping_address", "Địa chỉ", "street", "ip", "IP", "ipAddress", "birthday", "dob", "Ngày sinh"),
    *("password", "access_token", "authToken", "card_number", "cvv", "cccd", "user_id", "customerId", "anonymousId"),
    *("device_id", "recipient", "note", "lat", "longitude", "avatar"),
]
OPEN = [
    *("total", "currency", "order_id", "product_id", "sku", "quantity", "price", "category", "product_name", "brand"),
    *(
        "item_name",
        "campaign_name",
        "utm_source",
        "plan",
        "status",
        "city",
        "country",
        "shipping",
        "tip",
        "zip",
        "coupon",
    ),
    *("store_name", "event_name", "tax", "discount", "step", "tier", "color", "size"),
]


@pytest.mark.parametrize("name", PERSONAL)
def test_personal_names(name: str) -> None:
    """Whatever the value."""
    assert is_personal([name])
    assert example(["customer", name], "VND") == example([name], 7) == MASKED


@pytest.mark.parametrize("name", OPEN)
def test_open_names(name: str) -> None:
    """Values of these are read by people who plan events."""
    assert not is_personal([name])
    assert example([name], "VND") == "VND"


def test_a_name_of_a_thing_is_no_persons() -> None:
    """What a name is of is told by what it stands in."""
    assert not is_personal(["products", "[]", "name"])
    assert is_personal(["buyer", "name"])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("lan@shop.vn", MASKED),
        ("gọi 0912 345 678 nhé", MASKED),
        ("+84 (0) 912-345-678", MASKED),
        ("4111 1111 1111 1111", MASKED),
        ("10.1.2.3", MASKED),
        ("2001:db8::1:2", MASKED),
        ("sk_live_51H8abcdEFGH", MASKED),
        ("5f0e9a7d-3b4c-2e8f-6a1b-0c9d8e7f6012", MASKED),
        (84912345678, MASKED),
        ("https://shop.vn/u/lan?email=lan@shop.vn", "https://shop.vn/…"),
        ("https://lan:secret@shop.vn/", "https://shop.vn/…"),
        ("x" * 65, "… (65 characters)"),
        ("VND", "VND"),
        ("Áo dài lụa", "Áo dài lụa"),
        ("2026-11-21T08:30:00.000Z", "2026-11-21T08:30:00.000Z"),
        ("2026-11-21", "2026-11-21"),
        (1_850_000_000, "1850000000"),
        (0.5, "0.5"),
        (True, "true"),
        (None, "null"),
    ],
)
def test_values(value: Any, shown: str) -> None:
    """Numbers, moments, words and truths stay; what looks like a person's goes, and of an address all but the host."""
    assert example(["thing"], value) == shown


def test_what_looks_like_a_name_is_one_where_a_person_is_described() -> None:
    """A trait may be called anything."""
    assert example(["biệt danh"], "Nguyễn Thị Lan", of_a_person=True) == MASKED
    assert example(["headline"], "Order Completed") == "Order Completed"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("total", "total"),
        ("sku-123456", "sku-#"),
        ("lan@shop.vn", ANY_KEY),
        ("0912345678", ANY_KEY),
        ("x" * 70, ANY_KEY),
    ],
)
def test_names_that_are_data(name: str, shown: str) -> None:
    """A table of things keyed by their numbers is one field; one keyed by people shows none of them."""
    assert key(name) == shown


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30), st.from_regex(r"[a-z]{1,9}@[a-z]{1,9}\.[a-z]{2,3}", fullmatch=True), st.text(max_size=30))
def test_no_address_gets_through(before: str, email: str, after: str) -> None:
    """Wherever it stands in a text."""
    text = f"{before} {email} {after}"
    assert looks_personal(text)
    assert email not in example(["thing"], text)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text", ["a" * 400_000, "a1" * 200_000, "1" * 400_000, ":" * 400_000, "a@" * 200_000, "A " * 200_000]
)
def test_no_text_takes_long(text: str) -> None:
    """However long it is, and whatever it is made of."""
    assert len(example([text], text, of_a_person=True)) < LONGEST_SHOWN
    assert key(text) == ANY_KEY
    assert looks_personal(text) in (True, False)
