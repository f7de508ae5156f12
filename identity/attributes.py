"""What else an event says of a person, in one written form: name, birthday, gender, address.

Traits come in camelCase or snake_case. The forms are those of `cdp.forms`: names keep their diacritics, for they tell
people apart; addresses lose them. What says nothing (`Khách lẻ`, a lone title, `1900-01-01`) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdp.forms import addresses, dates, names
from cdp.forms.letters import fold
from identity.identifiers import scalar

LONGEST = 300
WHOLE_NAME = ("name", "fullName", "full_name", "displayName")
GIVEN_NAME, FAMILY_NAME = ("firstName", "first_name"), ("lastName", "last_name")
BIRTHDAY = ("birthday", "birthDate", "birth_date", "dateOfBirth", "date_of_birth", "dob")
GENDERS = {
    **dict.fromkeys(("m", "male", "man", "nam", "nam gioi", "ong", "mr", "anh"), "male"),
    **dict.fromkeys(("f", "female", "woman", "nu", "nu gioi", "ba", "mrs", "ms", "miss", "chi"), "female"),
}
ADDRESS = {
    "street": ("street", "address1", "line1", "address_line_1"),
    "ward": ("ward",),
    "city": ("district", "city"),
    "province": ("state", "province", "region"),
    "postal_code": ("postalCode", "postal_code", "zip", "zipcode"),
    "country": ("country", "country_code", "countryCode"),
}
# The traits that are read here.
TRAITS = (*WHOLE_NAME, *GIVEN_NAME, *FAMILY_NAME, *BIRTHDAY, "gender", "address")


def attributes(traits: Mapping[str, Any], region: str = "VN") -> dict[str, str]:
    """The traits of a person → the attributes that are in them, by name. `region` (ISO 3166) reads doubtful dates."""
    found = {
        "name": _name(traits),
        "birthday": dates.canonical(scalar(_first(traits, *BIRTHDAY)), region),
        "gender": GENDERS.get(fold(_text(traits.get("gender")))),
    } | _address(traits.get("address"))
    return {name: value for name, value in found.items() if value}


def _name(traits: Mapping[str, Any]) -> str | None:
    whole = _text(_first(traits, *WHOLE_NAME))
    if not whole:
        parts = (_first(traits, *GIVEN_NAME), _first(traits, *FAMILY_NAME))
        whole = " ".join(part for part in map(_text, parts) if part)
    return names.canonical(whole)


def _address(given: Any) -> dict[str, str]:
    """An address, in parts or in one line → its parts; house and street are one."""
    if isinstance(given, Mapping):
        parts = {part: _text(_first(given, *written)) for part, written in ADDRESS.items()}
        if not parts["province"] and given.get("district"):
            parts["province"] = _text(given.get("city"))
        read = addresses.of_parts(**parts)
    else:
        read = addresses.read(_text(given))
    return {"street": read.line, **{part: getattr(read, part) for part in list(ADDRESS)[1:]}}


def _text(raw: Any) -> str:
    """A JSON value → its text; empty when it is no text or too long."""
    text = scalar(raw).strip()
    return text if len(text) <= LONGEST else ""


def _first(traits: Mapping[str, Any], *names: str) -> Any:
    return next((value for name in names if (value := traits.get(name)) not in (None, "")), None)
