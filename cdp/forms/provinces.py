"""Provinces of Vietnam: the 63 that were, the 34 that are since 1 July 2025, and how people write them.

The table is Resolution 202/2025/QH15 of the National Assembly, 12 June 2025: eleven provinces stay as they were, the
others were merged into twenty-three. Old names will be written for years, and say more (`Bình Dương` is one part of
today's Ho Chi Minh City), so the canonical value is the old province; `today` says what it is part of now.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from cdp.forms.letters import fold

LONGEST = 80
MEMORY = 1 << 12

# Province since July 2025 = those it was made of, each with other writings: short forms, and its towns behind a `+`.
# A writing with diacritics counts before one without, so that `BĐ` and `BD` are two.
_TABLE = """
Hà Nội          = Hà Nội: hn, hni, hanoi, thu do ha noi, hà tây, +hà đông
Huế             = Huế: thừa thiên huế, tt huế, tth
Lai Châu        = Lai Châu
Điện Biên       = Điện Biên: +điện biên phủ
Sơn La          = Sơn La
Lạng Sơn        = Lạng Sơn
Quảng Ninh      = Quảng Ninh: +hạ long, +cẩm phả, +uông bí, +móng cái
Thanh Hóa       = Thanh Hóa: +sầm sơn
Nghệ An         = Nghệ An: +vinh, +cửa lò
Hà Tĩnh         = Hà Tĩnh
Cao Bằng        = Cao Bằng
Tuyên Quang     = Tuyên Quang; Hà Giang
Lào Cai         = Lào Cai: lao kay, +sa pa; Yên Bái
Thái Nguyên     = Thái Nguyên: +sông công; Bắc Kạn: bac can
Phú Thọ         = Phú Thọ: +việt trì; Vĩnh Phúc: +vĩnh yên, +phúc yên; Hòa Bình
Bắc Ninh        = Bắc Ninh: +từ sơn; Bắc Giang
Hưng Yên        = Hưng Yên; Thái Bình
Hải Phòng       = Hải Phòng: hp, hpg; Hải Dương: hd, +chí linh
Ninh Bình       = Ninh Bình: +tam điệp; Hà Nam: +phủ lý; Nam Định: nđ, nd
Quảng Trị       = Quảng Trị: +đông hà; Quảng Bình: +đồng hới
Đà Nẵng         = Đà Nẵng: đn, dn, dng, dnang; Quảng Nam: +hội an, +tam kỳ
Quảng Ngãi      = Quảng Ngãi; Kon Tum
Gia Lai         = Gia Lai: +pleiku, +play cu; Bình Định: bđ, bdinh, +quy nhơn, +qui nhon
Khánh Hòa       = Khánh Hòa: +nha trang, +cam ranh; Ninh Thuận: +phan rang, +phan rang tháp chàm
Lâm Đồng        = Lâm Đồng: +đà lạt, +bảo lộc; Đắk Nông: dac nong, +gia nghĩa; Bình Thuận: +phan thiết
Đắk Lắk         = Đắk Lắk: dac lac, dak lac, +buôn ma thuột, +ban me thuot, +bmt; Phú Yên: +tuy hòa
Hồ Chí Minh     = Hồ Chí Minh: hcm, hcmc, sg, sài gòn, +thủ đức;
                  Bình Dương: bd, bdg, bduong, +thủ dầu một, +dĩ an, +thuận an;
                  Bà Rịa - Vũng Tàu: brvt, +bà rịa, +vũng tàu
Đồng Nai        = Đồng Nai: đnai, dnai, +biên hòa, +long khánh; Bình Phước: +đồng xoài
Tây Ninh        = Tây Ninh; Long An: +tân an
Cần Thơ         = Cần Thơ: ct; Sóc Trăng; Hậu Giang: +vị thanh
Vĩnh Long       = Vĩnh Long; Bến Tre; Trà Vinh
Đồng Tháp       = Đồng Tháp: +cao lãnh, +sa đéc; Tiền Giang: +mỹ tho
Cà Mau          = Cà Mau; Bạc Liêu
An Giang        = An Giang: +long xuyên, +châu đốc; Kiên Giang: kg, +rạch giá, +phú quốc, +hà tiên
"""
PREFIX = re.compile(r"^(?:thành phố|thanh pho|tp\.?|t\.p\.?|tỉnh|tinh|t\.|city of|province of)\s*(?=\w)")
SUFFIX = re.compile(r"\s+(?:city|province|vietnam|viet nam|vn)$")
SIGNS = re.compile(r"[\W_]+")


def _rows() -> Iterator[tuple[str, str, list[str]]]:
    """Province today, province before, other writings."""
    for line in re.split(r"\n(?=\S)", _TABLE.strip()):
        today, _, before = line.partition("=")
        for entry in before.split(";"):
            name, _, others = entry.partition(":")
            yield today.strip(), name.strip(), [other.strip() for other in others.split(",") if other.strip()]


def _plain(text: str) -> str:
    return " ".join(SIGNS.sub(" ", text).split())


# Canonical value of each of the 63 → of the one of the 34 that it is part of today.
TODAY: dict[str, str] = {fold(_plain(name)): fold(_plain(today)) for today, name, _ in _rows()}
NAMES: dict[str, str] = {fold(_plain(name)): name for _, name, _ in _rows()}
_WRITTEN: dict[str, str] = {}
_TOWNS: dict[str, str] = {}
for _, _name, _others in _rows():
    for _other in (_name, *_others):
        _known = _TOWNS if _other.startswith("+") else _WRITTEN
        for _form in (_plain(_other).lower(), fold(_plain(_other)).replace(" ", "")):
            _known.setdefault(_form, fold(_plain(_name)))
# Where folding makes two writings one, the commoner wins.
_WRITTEN |= {"bd": "binh duong", "dn": "da nang"}


def canonical(raw: str) -> str | None:
    """A province, its short form, one of its towns → the province among the 63, folded (`ho chi minh`); else None.

    Names are read with and without diacritics and spaces, and behind `tỉnh`, `TP.` and the like.
    """
    return named(raw) or of_town(raw)


def named(raw: str) -> str | None:
    """The province that this is a name of, as `canonical`."""
    return _look_up(raw, towns=False)


def of_town(raw: str) -> str | None:
    """The province in which the town of this name lies, as `canonical`."""
    return _look_up(raw, towns=True)


@lru_cache(MEMORY)
def _look_up(raw: str, *, towns: bool) -> str | None:
    if len(raw) > LONGEST:
        return None
    text, known = unicodedata.normalize("NFC", raw).strip().lower(), _TOWNS if towns else _WRITTEN
    for form in (text, PREFIX.sub("", text)):
        plain = _plain(form)
        folded = fold(plain)
        for written in (plain, folded.replace(" ", ""), SUFFIX.sub("", folded).replace(" ", "")):
            if found := known.get(written):
                return found
    return None


def today(province: str) -> str:
    """A canonical province → that of the 34 which it belongs to since July 2025; anything else stays as it is."""
    return TODAY.get(province, province)


def compatible(one: str, other: str) -> bool:
    """Whether two canonical provinces may be one place: equal, or one is the old and one the new name of it."""
    return one == other or (today(one) == today(other) and (one in _MERGED or other in _MERGED))


# Names that mean the old province or the larger one of today, as the writer likes.
_MERGED = frozenset(TODAY.values())
