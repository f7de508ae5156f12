"""Telephone numbers and e-mail addresses in files: whether they are any, and the form under which people are known.

Spreadsheets take numbers for numbers: the zero in front gets lost (`912345678`), and is put back. What is stored is
normalised by identity resolution; this says beforehand what it will make of it.
"""

from __future__ import annotations

import re

from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType, format_number, number_type, parse

# Old eleven-digit Vietnamese mobile prefixes → those that replaced them in 2018, without the 0 in front.
MOVED = {
    **{"120": "70", "121": "79", "122": "77", "126": "76", "128": "78"},
    **{"123": "83", "124": "84", "125": "85", "127": "81", "129": "82"},
    **{"162": "32", "163": "33", "164": "34", "165": "35", "166": "36"},
    **{"167": "37", "168": "38", "169": "39", "186": "56", "188": "58", "199": "59"},
}
MOBILE = re.compile(r"(?:3[2-9]|5[25689]|7[06-9]|8[1-9]|9[0-46-9])\d{7}")
LANDLINE = re.compile(r"2\d{9}")
REPEATED = re.compile(r"(\d)\1{6}$")
COUNTED = ("987654321", "912345678")
NOT_DIGITS = re.compile(r"[^\d+]")
TELEPHONE = re.compile(r"[+(]?\d[\d\s.()/-]{5,19}\d(?:\s*(?:ext|x|#|máy lẻ).*)?", re.IGNORECASE)
SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?e\+?\d+", re.IGNORECASE)

# What reaches one person; hotlines and short numbers do not.
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

ADDRESS = re.compile(r"[^\s@\"(),:;<>\[\]\\]+@[^\s@\"(),:;<>\[\]\\.]+(?:\.[^\s@\"(),:;<>\[\]\\.]+)+")
GMAIL = ("gmail.com", "googlemail.com")


def restored(written: str, region: str) -> str:
    """A number that a spreadsheet took the zero of gets it back; any other stays as it is. Vietnam's only."""
    bare = written.replace(" ", "")
    return f"0{bare}" if region == "VN" and MOBILE.fullmatch(bare) else written


def telephone(written: str, region: str) -> str | None:
    """A number as people write it → E.164; None when it is none, or a placeholder. `region` is ISO 3166."""
    digits = NOT_DIGITS.sub("", written)
    if not TELEPHONE.fullmatch(written.strip()) or len(digits) < 7:
        return None
    international = digits.startswith(("+", "00"))
    bare = digits.removeprefix("+").removeprefix("00")
    if bare.startswith("84") if international else region == "VN":
        national = _vietnamese(bare, international=international)
        return f"+84{national}" if national and not _is_made_up(national) else None
    try:
        number = parse(f"+{bare}" if international else bare, region)
    except NumberParseException:
        return None
    found = str(format_number(number, PhoneNumberFormat.E164))
    return found if number_type(number) in PERSONAL and not _is_made_up(found) else None


def trouble(written: str) -> str:
    """Why a number is none, in words."""
    if SCIENTIFIC.fullmatch(written.strip()):
        return "The spreadsheet cut its digits: format the column as text."
    return "This is no telephone number."


def mailbox(written: str) -> str | None:
    """An address as people write it → the mailbox it reaches; None when it is none."""
    address = written.strip().strip("<>.,;").lower().removeprefix("mailto:")
    if len(address) > 254 or not ADDRESS.fullmatch(address):
        return None
    local, _, domain = address.rpartition("@")
    if domain in GMAIL:
        local, domain = local.partition("+")[0].replace(".", ""), GMAIL[0]
    return f"{local}@{domain}" if local else None


def masked(written: str) -> str:
    """What can be shown of a value: its shape, and just enough to find it again."""
    if "@" in written:
        local, _, domain = written.partition("@")
        return f"{local[:1]}•••@{domain[:1]}•••{domain[domain.rfind('.') :] if '.' in domain else ''}"
    if sum(sign.isdigit() for sign in written) >= 6:
        return f"{written[:3]}{'•' * min(max(1, len(written) - 5), 8)}{written[-2:]}"
    words = (word if len(word) < 2 else f"{word[0]}{'•' * min(len(word) - 1, 4)}" for word in written.split()[:4])
    return " ".join(words)


def _vietnamese(bare: str, *, international: bool) -> str:
    """The national number without its leading 0; empty for none."""
    if bare.startswith("84") and (international or len(bare) >= 11):
        bare = bare[2:]
    bare = bare.removeprefix("0")
    if len(bare) == 10 and (prefix := MOVED.get(bare[:3])):
        bare = prefix + bare[3:]
    return bare if MOBILE.fullmatch(bare) or LANDLINE.fullmatch(bare) else ""


def _is_made_up(number: str) -> bool:
    return number in COUNTED or REPEATED.search(number) is not None
