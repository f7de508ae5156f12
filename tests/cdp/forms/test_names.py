"""Names: whatever the order, the diacritics and the titles, the same person's name reads the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.forms.letters import fold
from cdp.forms.names import FAMILIES, NOBODY, canonical, read

FAMILY = st.sampled_from(["Nguyễn", "Trần", "Lê", "Phạm", "Huỳnh", "Phan", "Võ", "Bùi", "Đỗ", "Hồ", "Ngô", "Trịnh"])
MIDDLE = st.sampled_from(["", "Văn", "Thị", "Hữu", "Ngọc", "Thị Thu", "Minh", "Quốc"])
GIVEN = st.sampled_from(["Lan", "Hùng", "Hương", "Thủy", "Hòa", "Dũng", "Trang", "Khánh", "Uyên", "Quý", "Mai", "Tuấn"])
VOCABULARY = ["Nguyễn", "Trần", "Lê", "Văn", "Thị", "Lan", "Mai", "Hùng", "Anna", "Smith", "Bi", "O'Connor", "’"]
WORDS = st.lists(st.sampled_from(VOCABULARY), max_size=5)


def shuffled(words: list[str]) -> st.SearchStrategy[str]:
    """The words in some order."""
    return st.permutations(words).map(" ".join)


@given(FAMILY, MIDDLE, GIVEN)
def test_a_vietnamese_name_is_one_in_every_writing(family: str, middle: str, given_: str) -> None:
    """Family name first or last, with a title, decomposed or in capitals, the written form is the same."""
    full = " ".join(f"{family} {middle} {given_}".split())
    expected = canonical(full)
    assert expected == unicodedata.normalize("NFC", full).lower()
    for written in (
        " ".join(f"{middle} {given_} {family}".split()),
        " ".join(f"{given_} {family} {middle}".split()),
        full.upper(),
        f"  {full}.  ",
        unicodedata.normalize("NFD", full),
        f"Chị {full}",
        f"MR. {full}",
        f"anh {full}",
        f"{full} (khách quen)",
    ):
        assert canonical(written) == expected, written


@given(FAMILY, MIDDLE, GIVEN)
def test_diacritics_make_no_difference_to_what_is_compared(family: str, middle: str, given_: str) -> None:
    """A name typed without diacritics has the same words, key, telling words, family and given name."""
    full = " ".join(f"{family} {middle} {given_}".split())
    one, other = read(full), read(fold(full))
    assert one is not None
    assert other is not None
    assert one[1:] == other[1:]
    assert one.family == fold(family)
    assert one.given == fold(given_)


@given(WORDS.filter(len), st.data())
def test_order_makes_no_difference_to_what_is_compared(words: list[str], data: st.DataObject) -> None:
    """Key and telling words are those of the set of words."""
    one, other = read(" ".join(words)), read(data.draw(shuffled(words)))
    if one and other:
        assert (one.key, one.telling) == (other.key, other.telling)


@given(st.text(max_size=40) | WORDS.map(" ".join) | st.sampled_from(sorted(NOBODY)))
def test_a_written_form_is_its_own(raw: str) -> None:
    """No text raises, and reading what was read changes nothing."""
    found = read(raw)
    if found:
        assert read(found.text) == found
        assert found.tokens
        assert found.telling <= set(found.tokens)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Anh Hùng", "hùng"),
        ("A. Hùng", "hùng"),
        ("Anh Nguyễn", "nguyễn anh"),  # a given name, for nobody says Mr Nguyễn
        ("Anh Tuấn Nguyễn", "nguyễn anh tuấn"),
        ("Anh Nguyễn Thị", "nguyễn thị anh"),
        ("Chị Lan Anh", "lan anh"),
        ("BS. Trần Văn Đức", "trần văn đức"),
        ("Nguyễn Thị Hoà", "nguyễn thị hòa"),
        ("Lê Thuý Quý", "lê thúy quý"),
        ("Smith, John", "john smith"),
        ("Smith, John Jr.", "john smith jr"),
        ("John Smith, Jr", "john smith jr"),
        ("Dr. William O’Connor III", "william oconnor iii"),
        ("John Smith, PhD", "john smith"),
        ("Jean-François Lefèvre", "jean françois lefèvre"),
        ("Anna Mai Smith", "anna mai smith"),
        ("李明", "李明"),
        ("สมชาย ใจดี", "สมชาย ใจดี"),
        ("🌸 Lan 🌸", "lan"),
        ("Lan 0905123456", "lan"),
        ("Hùng' 'béo'", "hùng béo"),
    ],
)
def test_written_forms(raw: str, text: str) -> None:
    """Titles, signs and numbers go; suffixes come last; a Vietnamese family name comes first, others stay."""
    assert canonical(raw) == text


@pytest.mark.parametrize(
    "raw",
    [
        *("", " ", "...", "Khách lẻ", "KHACH LE", "khách hàng", "Khách vãng lai", "Anh", "Chị", "guest", "Test", "N/A"),
        *("chị khách lẻ", "aaaa", "12345", "lan@example.com", "null", "Nguyễn Văn A", "Không có tên", "x" * 301),
    ],
)
def test_nobodys_names(raw: str) -> None:
    """What is written where a name is missing names nobody."""
    assert read(raw) is None


@pytest.mark.parametrize(
    ("raw", "telling", "family", "given_"),
    [
        ("Nguyễn Thị Mai", {"mai"}, "nguyen", "mai"),
        ("Mai", {"mai"}, "", "mai"),
        ("Nguyễn Bảo Trân", {"bao", "tran"}, "nguyen", "tran"),
        ("Trân Nguyễn", {"tran"}, "tran", "nguyen"),
        ("Bi Nguyễn", set(), "nguyen", "bi"),
        ("J. Smith", {"smith"}, "smith", "j"),
        ("Anna Park", {"anna", "park"}, "park", "anna"),
    ],
)
def test_what_tells_people_apart(raw: str, telling: set[str], family: str, given_: str) -> None:
    """Family names that half the country bears, initials and names used at home tell nobody apart."""
    found = read(raw)
    assert found is not None
    assert (set(found.telling), found.family, found.given) == (telling, family, given_)


def test_a_suffix_is_known_by_itself() -> None:
    """Father and son differ in nothing else."""
    father, son = read("John Smith Sr."), read("SMITH, John Junior")
    assert father is not None
    assert son is not None
    assert (father.key, father.suffix, son.suffix) == (son.key, "sr", "jr")


def test_the_commonest_family_is_the_first() -> None:
    """Where two words may be the family name, the more frequent one is taken."""
    assert list(FAMILIES)[:4] == ["nguyen", "tran", "le", "pham"]
    found = read("Lệ Võ")
    assert found is not None
    assert found.telling == {"vo"}
