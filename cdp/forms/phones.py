"""Phone numbers in one written form, E.164: `+84905123456`.

Vietnamese numbers are read by rules of our own, an order of magnitude faster than the general library and kinder to how
people write them; every other number is read by `phonenumbers`. Refused are numbers that reach no single person: short
codes, hotlines (1900, 1800, toll-free, premium) and placeholders.
"""

from __future__ import annotations

import re

from phonenumbers import (
    NumberParseException,
    PhoneNumberFormat,
    PhoneNumberType,
    format_number,
    is_possible_number,
    number_type,
    parse,
)

VIETNAM = "VN"

# Since September 2018 the eleven-digit mobile numbers have ten digits: old prefix → new one (the leading 0 left out).
MIGRATED = {
    **{"120": "70", "121": "79", "122": "77", "126": "76", "128": "78"},  # MobiFone
    **{"123": "83", "124": "84", "125": "85", "127": "81", "129": "82"},  # VinaPhone
    **{"162": "32", "163": "33", "164": "34", "165": "35", "166": "36"},  # Viettel
    **{"167": "37", "168": "38", "169": "39"},
    **{"186": "56", "188": "58", "199": "59"},  # Vietnamobile, Gmobile
}
MOBILE = frozenset(MIGRATED.values()) | {
    *("52", "55", "86", "87", "88", "89"),
    *(f"9{digit}" for digit in "012346789"),
}
LANDLINE = re.compile(r"2\d{9}")

NOT_DIGITS = re.compile(r"[^\d+]")
EXTENSION = re.compile(r"(?:ext|x|#|;|máy lẻ).*$", re.IGNORECASE)
# Seven equal digits at the end, or digits in a row: what is typed when a form insists on a number.
REPEATED = re.compile(r"(\d)\1{6}$")
COUNTED = frozenset({"+84987654321", "+84912345678"})

PERSONAL = frozenset(
    {
        PhoneNumberType.MOBILE,
        PhoneNumberType.FIXED_LINE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
        PhoneNumberType.PERSONAL_NUMBER,
        PhoneNumberType.VOIP,
        PhoneNumberType.PAGER,
    }
)


def canonical(raw: str, region: str) -> str | None:
    """A number as people write it → E.164; None when it is none or reaches nobody in particular.

    `region` (ISO 3166, two letters) is the country of numbers written without a country code.
    """
    written = EXTENSION.sub("", raw)
    marks = NOT_DIGITS.sub("", written)
    digits = marks.replace("+", "")
    international = marks.startswith("+") or digits.startswith("00")
    if digits.startswith("00"):
        digits = digits[2:]
    if len(digits) < 7:
        return None
    if region == VIETNAM if not international else digits.startswith("84"):
        national = _vietnamese(digits, international=international)
        found = f"+84{national}" if national else None
    else:
        found = _elsewhere(digits, region, international=international)
    return None if found is None or _is_placeholder(found) else found


def is_bare_mobile(digits: str) -> bool:
    """Whether these are a Vietnamese mobile number's nine digits, without anything in front."""
    return len(digits) == 9 and digits[:2] in MOBILE and digits.isascii() and digits.isdigit()


def _vietnamese(digits: str, *, international: bool) -> str | None:
    """The national number without its leading 0. `84` in front is a country code only where enough digits follow."""
    if digits.startswith("84") and (international or len(digits) >= 11):
        digits = digits[2:]
    digits = digits[1:] if digits.startswith("0") else digits
    if len(digits) == 10 and (prefix := MIGRATED.get(digits[:3])):
        digits = prefix + digits[3:]
    if len(digits) == 9 and digits[:2] in MOBILE:
        return digits
    return digits if LANDLINE.fullmatch(digits) else None


def _elsewhere(digits: str, region: str, *, international: bool) -> str | None:
    try:
        number = parse("+" + digits, None) if international else parse(digits, region)
    except NumberParseException:
        return None
    kind = number_type(number)
    # A number with a country code counts even where its range is not assigned yet; one without must be valid.
    unassigned = kind == PhoneNumberType.UNKNOWN and international and is_possible_number(number)
    return str(format_number(number, PhoneNumberFormat.E164)) if kind in PERSONAL or unassigned else None


def _is_placeholder(number: str) -> bool:
    return number in COUNTED or REPEATED.search(number) is not None
