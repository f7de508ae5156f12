"""Letters without their marks: `Đặng Thị Lệ` and its decomposed twin both fold to `dang thi le`.

One `str.translate` folds precomposed and decomposed text alike, so nothing needs to be normalised first.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

# Letters that Unicode does not decompose; the rest of the table is made from its own decompositions.
_WHOLE = {
    **{"đ": "d", "ð": "d", "ø": "o", "ł": "l", "ħ": "h", "ı": "i", "ŧ": "t", "ß": "ss", "æ": "ae", "œ": "oe"},
    **{"þ": "th", "ŋ": "n", "ƀ": "b", "ɓ": "b", "ɗ": "d", "ƙ": "k"},
}
_BLOCKS = (range(0xC0, 0x250), range(0x1E00, 0x1F00))  # Latin-1 to Latin Extended-B; Latin Extended Additional
_MARKS = range(0x300, 0x370)  # combining diacritical marks


def _bare(letter: str) -> str:
    low = letter.lower()
    if low in _WHOLE:
        return _WHOLE[low]
    return "".join(sign for sign in unicodedata.normalize("NFKD", low) if not unicodedata.combining(sign))


_TABLE: dict[int, str | None] = {
    **{code: _bare(chr(code)) for block in _BLOCKS for code in block},
    **dict.fromkeys(_MARKS),
    **{ord(sign): "'" for sign in "\u2018\u2019\u02bc\u0060\u00b4"},
}
MEMORY = 1 << 15


@lru_cache(MEMORY)
def fold(text: str) -> str:
    """Any text → lower case without diacritics, `đ` as `d`, typographic apostrophes as `'`. Spaces stay as they are."""
    if text.isascii():
        return text.lower()
    found = text.translate(_TABLE).lower()
    return found if found.isascii() else found.translate(_TABLE)
