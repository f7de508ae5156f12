"""Names of people: one written form, and the words in it that can be compared whatever their order.

Vietnamese names put the family name first, forms made abroad put it last, and nobody says which order was used. So what
is meant to be compared (`tokens`, `key`, `telling`) does not depend on it, and the written form puts a Vietnamese
family name first. Titles (`anh`, `Mrs`) are no part of a name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from cdp.forms.letters import fold
from cdp.forms.nicknames import HOME

LONGEST = 300
MEMORY = 1 << 15


def _list(text: str, separators: str = " \n") -> list[str]:
    return [word for part in re.split(f"[{separators}]", text) if (word := part.strip())]


class Name(NamedTuple):
    """A name, read.

    - `text`: the canonical form: NFC, lower case, diacritics kept, without titles and signs, family name first where it
      is Vietnamese, the suffix at the end.
    - `tokens`: its words folded, in that order, without the suffix.
    - `key`: the tokens sorted and joined by spaces: the same for every order.
    - `telling`: the tokens that tell people apart: without the family name, `thị`, `văn`, initials and names used at
      home. Empty when none is left. Does not depend on the order either.
    - `family`, `given`: the best guess of both, folded. Of a single word only `given` is set.
    - `suffix`: `jr`, `sr`, `ii`, `iii`, `iv`, or empty.
    """

    text: str
    tokens: tuple[str, ...]
    key: str
    telling: frozenset[str]
    family: str
    given: str
    suffix: str


# Vietnamese family names that nine in ten bear, folded, the most frequent first. Figures: Lê Trung Hoa, "Họ và tên
# người Việt Nam", 2005. Rarer ones (Mai, Hà, Lâm …) are given names just as often, and count as such.
FAMILIES = {
    word: rank
    for rank, word in enumerate(
        _list("nguyen tran le pham hoang huynh phan vu vo dang bui do ho ngo dinh truong trinh doan")
    )
}
# Those that can hardly be mistaken for a given name, as they are written with and without diacritics.
PLAIN_FAMILIES = frozenset(
    _list(
        """
        nguyễn nguyen trần tran lê le phạm pham huỳnh huynh phan võ vo đặng bùi bui đỗ do hồ ho ngô ngo đinh trương
        trịnh trinh đoàn doan
        """
    )
)
# Words of Vietnamese given names, folded: who has one of them has not mistyped another.
GIVEN = frozenset(
    _list(
        """
        an anh ai ba bac bach bang bao bich bien binh buu ca cam can canh chau chi chien chinh chung chuong chuyen co
        cong cuc cuong da dai dan dang danh dao dat diem dien dieu dinh doan dong du duc dung duong duy duyen gam giang
        giao ha hai han hang hanh hao hau hien hieu hiep hoa hoai hoan hoang hong hop hue hung huong huu huy huyen kha
        khai khang khanh khiem khoa khoi khue khuyen kien kiet kieu kim ky la lam lan lanh lap lien lieu linh loan loc
        loi long luan luc luong luu luyen ly mai man manh mau men mi mien minh mo my nam nga ngan nghi nghia ngoc
        nguyet nha nhan nhat nhi nhien nhu nhung ninh nu nuong oanh phat phi phong phu phuc phung phuoc phuong quan
        quang que quoc quy quyen quyet quynh sang sau sen sinh son song suong sy tai tam tan thach thai tham thang thanh
        thao the thi thien thiet thieu thinh tho thoa thoai thom thong thu thua thuan thuc thuong thuy thuyen tien tin
        tinh toai toan toi ton tra tram trang tri trieu trong truc trung truong tu tuan tue tung tuoi tuong tuyen tuyet
        ty uyen van vi vien viet vinh vu vui vuong vy xuan xuyen yen
        """
    )
)
# Words of a name that only say whether it is a woman's or a man's.
MIDDLE = frozenset(("thi", "van"))

# Always a title when it stands in front of something; written with diacritics, or not to be mistaken for a name.
TITLES = frozenset(
    _list(
        """
        chị cô chú bà ông bác dì cậu mợ thím em cháu thầy sếp bé cụ bs ts ths gs pgs ks ls kh khách mr mrs ms miss mx
        dr prof sir madam mister missus mme mlle monsieur madame herr frau sr sra
        """
    )
)
# Titles that are also words of names, or look so without their diacritics.
DOUBTFUL = frozenset(_list("anh chi co chu ba ong bac khach a c e"))
SUFFIXES = {
    **{"jr": "jr", "jnr": "jr", "junior": "jr", "sr": "sr", "snr": "sr", "senior": "sr", "ii": "ii", "2nd": "ii"},
    **{"iii": "iii", "3rd": "iii", "iv": "iv"},
}
AFTER = frozenset(_list("phd md esq dds cpa mba"))  # what stands behind a name without belonging to it

# Names, folded, that people give who give none.
NOBODY = frozenset(
    _list(
        """
        khach|khach le|khach hang|khach hang le|khach vang lai|khach mua le|khach quen|khach moi|khach si|khach online
        khach app|khach web|kh le|vang lai|anh|chi|anh chi|a c|ac|chua co ten|khong|khong co|khong co ten|khong ten
        khong ro|chua ro|chua biet|an danh|nguoi mua|nguoi dung|nguoi nhan|no name|noname|guest|guest user
        guest customer|walk in|walkin|walk in customer|customer|user|admin|administrator|test|tester|test test|testing
        demo|unknown|anonymous|anonymous user|nguyen van a|nguyen thi a|nguyen thi b|nguyen van b|tran van b|tran thi b
        le van c|john doe|jane doe|none|null|nil|undefined|nan|n a|na|name|ten|ho ten|ho va ten|full name|first name
        last name|abc|asd|asdf|qwe|qwerty
        """,
        "|\n",
    )
)
# Letters, and the marks that scripts write above and below them.
MARKS = r"\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff\u0e31-\u0ebc"
WORD = re.compile(rf"[^\W\d_](?:[^\W\d_]|[{MARKS}])*")
BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
ORDINAL = re.compile(r"\b(2nd|3rd)\b")
APOSTROPHE = re.compile(r"(?<=[^\W\d_])['\u2019\u02bc](?=[^\W\d_])")
# A folded Vietnamese syllable.
SYLLABLE = re.compile(
    r"(?:ngh?|nh|gh?|gi|kh|ph|qu|th|tr|ch|[bcdhklmnprstvx])?[aeiouy]{1,3}(?:ng|nh|ch|[cmnpt])?", re.ASCII
)
# `hoà` and `hòa`, `thuý` and `thúy` are one spelling old and new; the older is taken, as most people type it.
NEW_TONE = re.compile(r"(o)([àáảãạèéẻẽẹ])(?!\w)|(?<!q)(u)([ỳýỷỹỵ])(?!\w)")
_TONES = {
    **dict(zip("àáảãạ", ((tone, "a") for tone in "òóỏõọ"), strict=True)),
    **dict(zip("èéẻẽẹ", ((tone, "e") for tone in "òóỏõọ"), strict=True)),
    **dict(zip("ỳýỷỹỵ", ((tone, "y") for tone in "ùúủũụ"), strict=True)),
}


@lru_cache(MEMORY)
def read(raw: str) -> Name | None:
    """A name as people write it → what it says; None when it names nobody (`Khách lẻ`, `test`, `...`)."""
    words, suffix = _parted(raw)
    tokens = [fold(word) for word in words]
    start = _start(words, tokens)
    if start == len(tokens) or _is_junk(tokens[start:]):
        return None
    words, tokens = words[start:], tokens[start:]
    vietnamese = all(token not in SUFFIXES and SYLLABLE.fullmatch(token) for token in tokens)
    if vietnamese and tokens[0] not in FAMILIES:
        start = next((place for place, word in enumerate(words) if word in PLAIN_FAMILIES), 0)
        words, tokens = words[start:] + words[:start], tokens[start:] + tokens[:start]
        if " ".join(tokens) in NOBODY:
            return None
    first, last = tokens[0], tokens[-1]
    family = "" if len(tokens) == 1 or (vietnamese and first not in FAMILIES) else first if vietnamese else last
    return Name(
        text=" ".join([*words, suffix] if suffix else words),
        tokens=tuple(tokens),
        key=" ".join(sorted(tokens)),
        telling=_telling(tokens),
        family=family,
        given=last if vietnamese else first,
        suffix=suffix,
    )


def canonical(raw: str) -> str | None:
    """A name as people write it → its written form (`Name.text`); None when it names nobody."""
    found = read(raw)
    return found.text if found else None


def _parted(raw: str) -> tuple[list[str], str]:
    """The words in NFC and lower case, `Last, First` the other way round, and the suffix that stands at the end."""
    if len(raw) > LONGEST or "@" in raw:
        return [], ""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", raw).lower())
    if "(" in text or "[" in text:
        text = BRACKETS.sub(" ", text)
    if not text.isascii():
        text = NEW_TONE.sub(_older, text)
    parts = [_unsuffixed(_words(part)) for part in text.split(",")]
    if len(parts) == 2 and parts[1][0]:
        parts.reverse()
    return [word for words, _ in parts for word in words], next((suffix for _, suffix in parts if suffix), "")


def _older(match: re.Match[str]) -> str:
    glide, vowel = match[1] or match[3], match[2] or match[4]
    return "".join(_TONES[vowel]) if glide else match[0]


def _words(text: str) -> list[str]:
    if "2nd" in text or "3rd" in text:
        text = ORDINAL.sub(lambda match: SUFFIXES[match[1]], text)
    if "'" in text or "\u2019" in text or "\u02bc" in text:
        text = APOSTROPHE.sub("", text)
    return WORD.findall(text)


def _unsuffixed(words: list[str]) -> tuple[list[str], str]:
    suffix = ""
    while words and (words[-1] in AFTER or (words[-1] in SUFFIXES and not suffix)):
        suffix = SUFFIXES.get(words.pop(), suffix)
    return words, suffix


def _start(words: Sequence[str], tokens: Sequence[str]) -> int:
    """Where the name begins behind its titles; at the end if it is nobody's."""
    for start, word in enumerate(words):
        if " ".join(tokens[start:]) in NOBODY:
            break
        if not _is_title(word, tokens[start + 1 :]):
            return start
    return len(words)


def _is_title(word: str, after: Sequence[str]) -> bool:
    if not after or word not in DOUBTFUL:
        return bool(after) and word in TITLES
    if len(after) == 1:  # `Anh Hùng`, but not `Anh Nguyễn`
        return after[0] not in PLAIN_FAMILIES and SYLLABLE.fullmatch(after[0]) is not None
    # `Anh Nguyễn Văn Hùng`, but not `Anh Nguyễn Thị` nor `Anh Tuấn Nguyễn`
    return after[0] in FAMILIES and after[-1] not in MIDDLE


def _telling(tokens: Sequence[str]) -> frozenset[str]:
    """Of several family names the most frequent is taken for the family's: `Hồ Nguyễn` and `Nguyễn Hồ` are `ho`."""
    words = {token for token in tokens if token not in MIDDLE}
    if len(words) > 1 and (families := [word for word in words if word in FAMILIES]):
        words.discard(min(families, key=FAMILIES.__getitem__))
    return frozenset(word for word in words if word not in HOME and not (len(word) == 1 and word.isascii()))


def _is_junk(tokens: Sequence[str]) -> bool:
    """One letter, repeated."""
    return len({letter for token in tokens for letter in token}) == 1 and sum(map(len, tokens)) > 2
