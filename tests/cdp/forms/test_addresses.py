"""Addresses: every writing of one gives the same parts."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.forms.addresses import Address, canonical, of_parts, read
from cdp.forms.letters import fold

NUMBER = st.builds("{}{}".format, st.integers(1, 400), st.sampled_from(["", "A", "B", "/7", "/12/3"]))
STREET = st.sampled_from(
    ["Lê Lợi", "Nguyễn Huệ", "Hai Bà Trưng", "Cách Mạng Tháng Tám", "Điện Biên Phủ", "Âu Cơ", "Kim Mã"]
)
WARD = st.sampled_from(["Bến Nghé", "Đa Kao", "5", "12", "Tân Định"])
DISTRICT = st.sampled_from(["1", "10", "Bình Thạnh", "Gò Vấp", "Hoàn Kiếm"])
PLACE = st.sampled_from(["TP.HCM", "Hồ Chí Minh", "Sài Gòn", "tphcm", "Ho Chi Minh City"])


@given(NUMBER, STREET, WARD, DISTRICT, PLACE)
def test_every_writing_of_an_address_is_one(number: str, street: str, ward: str, district: str, place: str) -> None:
    """Short words, long words or none before each part, with and without diacritics, in one line or in parts."""
    expected = Address(fold(number), fold(street), fold(ward), fold(district), "ho chi minh")
    for written in (
        f"{number} {street}, Phường {ward}, Quận {district}, {place}",
        f"Số {number} đường {street}, P. {ward}, Q. {district}, {place}",
        f"số nhà {number}, Đ. {street} - P.{ward} - Q.{district} - {place}",
        f"{number} {street}, phường {ward}, quận {district}, tp. Hồ Chí Minh, Việt Nam",
        f"{number} {street} phường {ward} quận {district}, {place}",
    ):
        for form in (written, fold(written), written.upper(), unicodedata.normalize("NFD", written)):
            assert read(form)._replace(country="") == expected, form
    for parts in (
        {"street": f"số {number} đường {street}", "ward": f"P. {ward}", "city": f"Q.{district}", "province": place},
        {"street": f"{number} {street}", "ward": ward, "city": f"quận {district}", "province": place, "country": ""},
        {"street": f"{number} {street}, P.{ward}, Q.{district}, {place}"},
    ):
        assert of_parts(**parts) == expected, parts


@given(NUMBER, STREET, WARD, DISTRICT)
def test_a_written_form_is_its_own(number: str, street: str, ward: str, district: str) -> None:
    """Reading what was read changes nothing."""
    found = canonical(f"{number} {street}, P. {ward}, Q. {district}, Hà Nội")
    assert found is not None
    assert canonical(found) == found


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("12/3 Lê Lợi, Bến Nghé, Quận 1, Hồ Chí Minh, Việt Nam", "12/3 le loi, p ben nghe, q 1, ho chi minh"),
        ("12/3 Đ. Lê Lợi P.Bến Nghé Q1 TPHCM", "12/3 le loi, p ben nghe, q 1, ho chi minh"),
        ("45 phố Kim Mã, quận Ba Đình, Hà Nội 100000", "45 kim ma, q ba dinh, ha noi"),
        ("45 Kim Mã, Ba Đình, HN", "45 kim ma, q ba dinh, ha noi"),
        ("12 đường 3/2, P. 11, Q. 10, HCM", "12 3/2, p 11, q 10, ho chi minh"),
        ("12 đường số 7, Thủ Đức, HCM", "12 so 7, q thu duc, ho chi minh"),
        ("thôn 3, xã Hòa Thắng, TP Buôn Ma Thuột, Đắk Lắk", "thon 3, p hoa thang, q buon ma thuot, dak lak"),
        ("K12/34 Điện Biên Phủ, Thanh Khê, Đà Nẵng", "k12/34 dien bien phu, q thanh khe, da nang"),
        ("P.05, Q.01", "p 5, q 1"),
        ("Hà Nội", "ha noi"),
        ("221B Baker Street", "221b baker street"),
    ],
)
def test_lines(raw: str, text: str) -> None:
    """What is left out is left out, and what stands in between without a word for it is found by its place."""
    assert canonical(raw) == text


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"city": "Ho Chi Minh City"}, Address(province="ho chi minh")),
        ({"city": "TP Huế", "province": "Thừa Thiên Huế"}, Address(province="hue")),
        ({"city": "Biên Hòa"}, Address(city="bien hoa", province="dong nai")),
        ({"city": "Nha Trang", "province": "Khanh Hoa"}, Address(city="nha trang", province="khanh hoa")),
        (
            {"city": "q 10", "province": "HCM", "country": "Việt Nam"},
            Address("", "", "", "10", "ho chi minh", "", "vn"),
        ),
        (
            {"street": "5 Main St.", "city": "New York", "province": "NY", "postal_code": "100 01", "country": "USA"},
            Address("", "5 main st", "", "new york", "ny", "10001", "us"),
        ),
        (
            {"street": "Rue d’Été 5", "city": "Đông Hà", "country": "FR"},
            Address("", "rue d ete 5", "", "dong ha", "", "", "fr"),
        ),
        ({}, Address()),
    ],
)
def test_parts(parts: dict[str, str], expected: Address) -> None:
    """A province may stand in the city's place, a town tells its province, and abroad nothing is read into it."""
    assert of_parts(**parts) == expected


@given(st.text(max_size=60), st.text(max_size=20))
def test_no_text_raises(raw: str, other: str) -> None:
    """Any text is an address of some kind, in folded letters."""
    assert all(fold(part) == part for part in read(raw))
    assert all(fold(part) == part for part in of_parts(raw, other, other, raw, other, raw))
