"""What must not be shown of the data: names of fields that hold personal data, and values that look like it.

Used where examples of what was sent are kept or told: there, a value too much that is masked harms nobody.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MASKED = "***"
ANY_KEY = "*"
LONGEST_SHOWN = 64
# So much of a text is looked at: the patterns below take long over what is much longer.
LONGEST_READ = 500

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Words of a field's name that tell of a person or a secret, whatever else it says.
PERSONAL = _words(
    "email mail phone mobile cell tel telephone sdt fax zalo whatsapp address addr street ward ip ipv ipaddress "
    "lat latitude lng lon longitude geo birthday birthdate birth dob passport ssn cccd cmnd cmt token password "
    "passwd pwd secret auth authorization bearer cookie jwt otp pin card cvv cvc iban bic signature avatar photo "
    "selfie username login nickname surname firstname lastname fullname middlename hoten recipient receiver payee "
    "contact note notes comment comments message feedback remark remarks diachi sodienthoai dienthoai ngaysinh "
    "ghichu nguoinhan"
)
# Names that are personal when written as one word, whatever their spelling: `Họ tên`, `so_dien_thoai`, `full_name`.
COMPACT = re.compile(
    r"hoten|hovaten|^ten$|tenkhach|sodienthoai|dienthoai|diachi|ngaysinh|nguoinhan|ghichu"
    r"|(first|last|full|middle|family|given|maiden|nick|user|sur|customer|client|contact|buyer|owner|holder|display)names?$"
)
# A `name` is a person's unless these words say of what it is.
THINGS = _words(
    "product products item items variant brand category categories event page screen campaign utm coupon promotion "
    "promotions promo store shop branch list plan app os device browser file form button segment province city "
    "country region district currency library collection course content banner experiment variation flow step "
    "status type tier"
)
# An `id` of these is a person's or a device's.
PEOPLE = _words(
    "user customer client member anonymous device visitor session person contact profile buyer advertising idfa "
    "idfv gaid external previous account lead subscriber"
)

ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?( ?(Z|[+-]\d{2}:?\d{2}))?)?")
EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]")
# Digits as in phone, card and document numbers, with what people write between them.
DIGITS = re.compile(r"(?<!\d)\d(?:[ .()/-]{0,2}\d){7,18}(?!\d)")
IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")
IPV6 = re.compile(r"(?:[0-9a-fA-F]{0,4}:){3,}[0-9a-fA-F]{0,4}")
TOKEN = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[A-Za-z0-9_+/=.~-]{20,}")
ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*://)([^/\s?#]*@)?([^/\s?#]+)\S*", re.IGNORECASE)
# Two to six capitalised words, as people's names are written.
CAPITALISED = re.compile(r"[^\W\d_a-z][^\W\d_]*(?:[ '’.-]+[^\W\d_a-z][^\W\d_]*){1,5}")
# A Vietnamese mobile number as a JSON number: the leading 0 is lost, or 84 stands for it.
MOBILE = re.compile(r"(84)?[35789]\d{8}")
LONG_DIGITS = re.compile(r"\d{3,}")


def is_personal(path: Sequence[str]) -> bool:
    """Whether a field holds personal data or a secret by its name. `path`: the names that lead to it, its own last."""
    plain = _folded(path[-1]) if path else ""
    words = {word.lower() for word in WORD.findall(plain)}
    compact = "".join(character for character in plain.lower() if character.isalnum())
    if words & PERSONAL or compact in PERSONAL or (words & {"id", "ids", "uuid", "guid"} and words & PEOPLE):
        return True
    if words & THINGS:
        return False
    if COMPACT.search(compact):
        return True
    return bool(words & {"name", "names"}) and not any(
        {word.lower() for word in WORD.findall(_folded(one))} & THINGS for one in path[:-1]
    )


def looks_personal(text: str) -> bool:
    """Whether a text holds what looks like an e-mail address, a number of a phone or card, an IP or a token."""
    if ISO_TIME.fullmatch(text):
        return False
    return any(pattern.search(text[:LONGEST_READ]) for pattern in (EMAIL, DIGITS, IPV4, IPV6, TOKEN))


def looks_like_a_name(text: str) -> bool:
    """Whether a text is written as people's names are."""
    return CAPITALISED.fullmatch(unicodedata.normalize("NFC", text[:LONGEST_READ])) is not None


def example(path: Sequence[str], value: Any, *, of_a_person: bool = False) -> str:
    """A value as it may be kept as an example: as it is where it is harmless, else `***`; only an address' host.

    `of_a_person`: the field describes a person (a trait), so that what looks like a name is one.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if is_personal(path):
        return MASKED
    if isinstance(value, int | float):
        return MASKED if _is_number_of_a_phone(value) else repr(value)
    text = str(value)
    if found := ADDRESS.match(text[:LONGEST_READ]):
        return MASKED if looks_personal(found[3]) else f"{found[1]}{found[3]}/…"
    if len(text) > LONGEST_SHOWN:
        return f"… ({len(text)} characters)"
    return MASKED if looks_personal(text) or (of_a_person and looks_like_a_name(text)) else text


def key(name: str) -> str:
    """The name of a field as it may be shown: a name that is itself data becomes `*`, and numbers in it `#`."""
    if len(name) > LONGEST_SHOWN or looks_personal(name):
        return ANY_KEY
    return LONG_DIGITS.sub("#", name)


def _is_number_of_a_phone(value: float) -> bool:
    return isinstance(value, int) and value % 1_000 != 0 and MOBILE.fullmatch(str(value)) is not None


def _folded(name: str) -> str:
    """Without diacritics: `Số điện thoại` → `So dien thoai`."""
    plain = name[:LONGEST_READ].replace("đ", "d").replace("Đ", "D")
    return "".join(one for one in unicodedata.normalize("NFD", plain) if not unicodedata.combining(one))
