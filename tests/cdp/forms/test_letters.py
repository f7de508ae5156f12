"""Letters without their marks."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from cdp.forms.letters import fold

VIETNAMESE = st.text(
    "aăâbcdđeêghiklmnoôơpqrstuưvxyàáảãạằắẳẵặầấẩẫậèéẻẽẹềếểễệìíỉĩịòóỏõọồốổỗộờớởỡợùúủũụừứửữựỳýỷỹỵ ", max_size=30
)


def slowly(text: str) -> str:
    """The same by decomposing."""
    bare = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return "".join(sign for sign in bare if not unicodedata.combining(sign))


@given(VIETNAMESE)
def test_vietnamese_folds_as_by_decomposing(text: str) -> None:
    """Composed, decomposed, in capitals: one bare form in plain letters."""
    expected = slowly(text)
    assert expected.isascii()
    for form in ("NFC", "NFD", "NFKC"):
        written = unicodedata.normalize(form, text)
        assert fold(written) == fold(written.upper()) == expected


@given(st.text(max_size=40))
def test_folding_twice_is_folding_once(text: str) -> None:
    """Whatever the script, what is folded stays."""
    assert fold(fold(text)) == fold(text)


def test_letters_that_do_not_decompose() -> None:
    """Strokes and ligatures fold too."""
    assert fold("Đặng Søren Łukasz Straße Æsir O’Connor") == "dang soren lukasz strasse aesir o'connor"
