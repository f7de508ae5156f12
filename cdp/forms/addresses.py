"""Postal addresses in one written form, with what Vietnamese ones are made of: house, street, ward, district, province.

    `Số 12/3 đường Lê Lợi, P. Bến Nghé, Q.1, TP.HCM`
        house 12/3 · street le loi · ward ben nghe · city 1 · province ho chi minh
        canonical: `12/3 le loi, p ben nghe, q 1, ho chi minh`

Addresses are folded: diacritics are left out as often as they are written. Abroad nothing is read into them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from cdp.forms import provinces
from cdp.forms.letters import fold

LONGEST = 300
MEMORY = 1 << 14


class Address(NamedTuple):
    """An address, read: folded text, empty where nothing is said.

    `house`: the number with what belongs to it (`12/3b`). `city`: the district in Vietnam, else the city. `province`:
    of Vietnam as `cdp.forms.provinces` has it, else the state.
    """

    house: str = ""
    street: str = ""
    ward: str = ""
    city: str = ""
    province: str = ""
    postal_code: str = ""
    country: str = ""

    @property
    def line(self) -> str:
        """House and street as one line."""
        return f"{self.house} {self.street}".strip()

    @property
    def text(self) -> str:
        """All of it as one line, in Vietnamese order."""
        ward, city = f"p {self.ward}" if self.ward else "", f"q {self.city}" if self.city else ""
        return ", ".join(part for part in (self.line, ward, city, self.province) if part)


VIETNAM = frozenset(("vn", "vnm", "vietnam", "viet nam", "vnam"))
COUNTRIES = {
    **dict.fromkeys(VIETNAM, "vn"),
    **dict.fromkeys(("usa", "united states", "united states of america", "my", "hoa ky"), "us"),
    **dict.fromkeys(("uk", "gbr", "united kingdom", "great britain"), "gb"),
}
# What stands in front of a part and says what it is. Folded; a district's number may follow at once.
DISTRICT = re.compile(r"(?:quan|q|huyen|h|thi xa|tx|thanh pho|tp|district|dist|d)(?:\.\s*|\s+|(?=\d))(?P<name>\w.*)")
WARD = re.compile(r"(?:phuong|p|xa|x|thi tran|tt|ward|w)(?:\.\s*|\s+|(?=\d))(?P<name>\w.*)")
STREET = re.compile(r"(?:duong|d|pho|street|str|st)(?:\.\s*|\s+)(?=\w)")
HOUSE = re.compile(
    r"(?:(?:so nha|so|nha|no|s)(?:\.\s*|\s+|(?=\d)))?"
    r"(?P<house>(?:[a-z]{1,2}-?)?\d+[a-z]{0,2}(?:\s*[/-]\s*[a-z]?\d+[a-z]{0,2})*)(?![\w.])"
)
CODE = re.compile(r"\s+\d{5,6}$")  # a postal code behind the province
NUMBER = re.compile(r"0*(\d+)")
SPACES = re.compile(r"\s+")
SIGNS = re.compile(r"[^\w/]+")
# Where one part of an address ends and the next begins when commas are missing.
BOUNDARY = re.compile(
    r"\s+(?=(?:phuong|quan|huyen|thi xa|thi tran|thanh pho|tinh)\s+\w"
    r"|(?:p|q|tp|tx|tt)\.\s*\w|[pq]\.?\s?\d{1,2}\b|tp ?hcm$)"
)


@lru_cache(MEMORY)
def read(line: str) -> Address:
    """An address in one line, as people write it in Vietnam → its parts; what cannot be told is part of the street."""
    if len(line) > LONGEST:
        return Address()
    parts = [part.strip() for part in re.split(r"[,;\n]|\s[-–]\s", _folded(line)) if part.strip(" .-")]
    parts = [piece for part in parts for piece in BOUNDARY.split(part)]
    found: dict[str, str] = {}
    while parts and (kind := _kind(parts, found)):
        found[kind[0]] = kind[1]
        parts.pop()
    house, street = _house_and_street(", ".join(parts))
    return Address(house, street, **found)


@lru_cache(MEMORY)
def of_parts(
    street: str = "", ward: str = "", city: str = "", province: str = "", postal_code: str = "", country: str = ""
) -> Address:
    """An address in parts, any of them empty → its parts in canonical form.

    The province may stand in place of the city. The street may hold the whole address.
    """
    land = _folded(country)
    land = COUNTRIES.get(land, land)
    code = SPACES.sub("", _folded(postal_code))
    if land not in ("", "vn"):
        return Address("", _signless(street), _signless(ward), _signless(city), _signless(province), code, land)
    line = read(street) if street else Address()
    own = provinces.named(province) or provinces.of_town(province)
    of_city = provinces.named(city) or (provinces.of_town(city) if not province else None)
    town = "" if provinces.named(city) and (not own or of_city == own) else _unit(city, DISTRICT)
    return Address(
        line.house,
        line.street,
        _unit(ward, WARD) or line.ward,
        town or line.city,
        own or _signless(province) or of_city or line.province,
        code or line.postal_code,
        land or line.country,
    )


def canonical(line: str) -> str | None:
    """An address in one line → house, street, ward, city, province as one text; None when it says nothing."""
    return read(line).text or None


def _folded(text: str) -> str:
    return SPACES.sub(" ", fold(unicodedata.normalize("NFC", text))).strip()


def _signless(text: str) -> str:
    return " ".join(SIGNS.sub(" ", _folded(text)).split()) if len(text) <= LONGEST else ""


def _kind(parts: Sequence[str], found: Mapping[str, str]) -> tuple[str, str] | None:
    """Which part of an address the last is, and its form; None when it is none that is still missing."""
    part = parts[-1]
    if not found and COUNTRIES.get(part) == "vn":
        return "country", "vn"
    if "postal_code" not in found and re.fullmatch(r"\d{5,6}", part):
        return "postal_code", part
    if not found.keys() & {"province", "city", "ward"} and (province := provinces.named(CODE.sub("", part))):
        return "province", province
    if "ward" not in found and (match := WARD.fullmatch(part)):
        return "ward", _name(match["name"])
    if not found.keys() & {"city", "ward"} and (match := DISTRICT.fullmatch(part)):
        return "city", _name(match["name"])
    # Without a word that says so, what stands between the street and the province is the district, then the ward.
    if len(parts) > 1 and "province" in found and not any(sign.isdigit() for sign in part):
        name = "city" if "city" not in found else "ward"
        return None if "ward" in found else (name, _signless(part))
    return None


def _unit(text: str, pattern: re.Pattern[str]) -> str:
    folded = _folded(text)
    match = pattern.fullmatch(folded)
    return _name(match["name"] if match else folded)


def _name(text: str) -> str:
    """`01` and `1` are one district."""
    plain = _signless(text)
    return match[1] if (match := NUMBER.fullmatch(plain)) else plain


def _house_and_street(text: str) -> tuple[str, str]:
    house = ""
    if match := HOUSE.match(text):
        house, text = SPACES.sub("", match["house"]), text[match.end() :].strip(" ,.-")
    street = STREET.sub("", text, count=1) if STREET.match(text) else text
    return house, _signless(street)
