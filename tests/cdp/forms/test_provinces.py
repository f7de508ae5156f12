"""Provinces: every writing of each of them, before and after the mergers of 2025."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.forms.letters import fold
from cdp.forms.provinces import NAMES, TODAY, canonical, compatible, named, of_town, today

PROVINCE = st.sampled_from(sorted(NAMES))


def test_the_table_is_whole() -> None:
    """Sixty-three provinces became thirty-four: eleven stay, fifty-two make twenty-three; each keeps one old name."""
    assert len(TODAY) == 63
    assert len(set(TODAY.values())) == 34
    assert set(TODAY.values()) <= TODAY.keys()
    alone = [name for name in TODAY if list(TODAY.values()).count(TODAY[name]) == 1]
    assert len(alone) == 11


@given(PROVINCE)
def test_every_writing_of_a_name_is_one(province: str) -> None:
    """With diacritics or without, in capitals, in one word, behind what it is called: the same province."""
    name = NAMES[province]
    for written in (name, fold(name), name.upper(), fold(name).replace(" ", ""), f"Tỉnh {name}", f"TP. {name}"):
        assert canonical(written) == province
        assert canonical(unicodedata.normalize("NFD", written)) == province
        assert canonical(f"{written} City") == canonical(f"  {written}, Việt Nam") == province
    assert today(today(province)) == today(province)


@pytest.mark.parametrize(
    ("writings", "province"),
    [
        (("HCM", "TP.HCM", "Tp HCM", "TPHCM", "Sài Gòn", "Saigon", "SG", "Ho Chi Minh City"), "ho chi minh"),
        (("HN", "Hanoi", "TP Hà Nội", "Hà Tây"), "ha noi"),
        (("ĐN", "Da Nang", "Danang"), "da nang"),
        (("BD", "Bình Dương"), "binh duong"),
        (("BĐ", "Quy Nhơn"), "binh dinh"),
        (("Thừa Thiên Huế", "TT Huế", "Hue", "Thừa Thiên - Huế"), "hue"),
        (("BRVT", "BR-VT", "Vũng Tàu", "Bà Rịa Vũng Tàu"), "ba ria vung tau"),
        (("Nha Trang",), "khanh hoa"),
        (("Đà Lạt", "dalat"), "lam dong"),
        (("Hoà Bình", "Hòa Bình"), "hoa binh"),
    ],
)
def test_short_forms_and_towns(writings: tuple[str, ...], province: str) -> None:
    """Short forms and well-known towns stand for their province."""
    assert {canonical(written) for written in writings} == {province}


def test_towns_are_no_names() -> None:
    """A town tells where it lies and is not the province itself."""
    assert named("Biên Hòa") is None
    assert of_town("Biên Hòa") == "dong nai"


@pytest.mark.parametrize("raw", ["", "California", "Quận 1", "Springfield", "x" * 100])
def test_other_places_are_unknown(raw: str) -> None:
    """What lies elsewhere is no province."""
    assert canonical(raw) is None


def test_old_and_new_names_may_be_one_place() -> None:
    """Who lives in what was Bình Dương may write Hồ Chí Minh now, but never Vũng Tàu."""
    assert today("binh duong") == "ho chi minh"
    assert compatible("binh duong", "ho chi minh")
    assert not compatible("binh duong", "ba ria vung tau")
    assert not compatible("ha noi", "ho chi minh")


@given(PROVINCE, PROVINCE)
def test_compatibility_is_mutual(one: str, other: str) -> None:
    """Who is asked first makes no difference."""
    assert compatible(one, other) == compatible(other, one)
    assert compatible(one, one)
    assert compatible(one, today(one))
