"""What else an event says of a person, in one written form: name, birthday, gender, address.

Traits come in camelCase or snake_case. Text keeps its diacritics, for they tell people apart, but loses its case and
its spare spaces. What says nothing (`Khách lẻ`, a lone title) is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any

from identity.identifiers import scalar

LONGEST = 300
NAME_OF_NOBODY = re.compile(
    r"""khách|khach|khách\ lẻ|khach\ le|khách\ hàng|khach\ hang|khách\ vãng\ lai|khach\ vang\ lai|
    anh|chị|chi|anh\ chị|anh\ chi|không\ tên|khong\ ten|no\ ?name|guest|customer|user|admin|test|tester|
    unknown|anonymous|none|null|undefined|nan|n/?a""",
    re.VERBOSE,
)
GENDERS = {
    **dict.fromkeys(("m", "male", "man", "nam", "ông", "mr", "anh"), "male"),
    **dict.fromkeys(("f", "female", "woman", "nữ", "nu", "nữ giới", "bà", "mrs", "ms", "chị"), "female"),
}
ADDRESS = {
    "street": ("street", "address1", "line1", "address_line_1"),
    "city": ("city", "district", "ward"),
    "state": ("state", "province", "region"),
    "postal_code": ("postalCode", "postal_code", "zip", "zipcode"),
    "country": ("country", "country_code"),
}
DATES = (
    re.compile(r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?:[T ].*)?"),
    re.compile(r"(?P<day>\d{1,2})[-/.](?P<month>\d{1,2})[-/.](?P<year>\d{4})"),
)
OLDEST_BIRTH = 1900


def attributes(traits: Mapping[str, Any]) -> dict[str, str]:
    """The traits of a person → the attributes that are in them, by name."""
    found = {
        "name": _name(traits),
        "birthday": birthday(
            _first(traits, "birthday", "birthDate", "birth_date", "dateOfBirth", "date_of_birth", "dob")
        ),
        "gender": GENDERS.get(text(traits.get("gender"))),
    }
    address = traits.get("address")
    if isinstance(address, Mapping):
        found |= {part: text(_first(address, *names)) for part, names in ADDRESS.items()}
    elif address:
        found["street"] = text(address)
    return {name: value for name, value in found.items() if value}


def text(raw: Any) -> str:
    """A JSON value → its text in NFC, lower case, single spaces; empty when it is no text or too long."""
    folded = " ".join(unicodedata.normalize("NFC", scalar(raw)).lower().split())
    return folded if len(folded) <= LONGEST else ""


def birthday(raw: Any) -> str | None:
    """`1990-02-01`, `1990-02-01T00:00:00Z` or `01/02/1990` (day first) → `1990-02-01`; None if it is no date."""
    written = scalar(raw).strip()
    for pattern in DATES:
        if match := pattern.fullmatch(written):
            try:
                born = date(*(int(match[part]) for part in ("year", "month", "day")))
            except ValueError:
                return None
            return born.isoformat() if born.year >= OLDEST_BIRTH else None
    return None


def _name(traits: Mapping[str, Any]) -> str:
    whole = text(_first(traits, "name", "fullName", "full_name", "displayName"))
    if not whole:
        parts = (_first(traits, "firstName", "first_name"), _first(traits, "lastName", "last_name"))
        whole = " ".join(part for part in map(text, parts) if part)
    says_something = any(sign.isalpha() for sign in whole) and not NAME_OF_NOBODY.fullmatch(whole)
    return whole if says_something else ""


def _first(traits: Mapping[str, Any], *names: str) -> Any:
    return next((value for name in names if (value := traits.get(name)) not in (None, "")), None)
