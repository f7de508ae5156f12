"""What people wrote → the values that are compared, by the role of their field.

What observations of events say is in canonical form already (`observed`). Cells of a table are read here; one in which
the forms find nothing keeps its letters and digits, for a mistyped value still resembles the right one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial

from cdp.forms import dates, emails, names, phones, provinces
from cdp.forms.letters import fold
from identity.identifiers import BLOCKED, Value
from identity.matching.records import Values
from identity.matching.schema import CUSTOMERS

MEMORY = 1 << 16
WORD = re.compile(r"[^\W_]+")
NUMBERS = re.compile(r"\d+")
FEWEST_DIGITS = 6  # of a telephone number that is none of the region's

Reader = Callable[[str], str | None]


def observed(identifiers: Iterable[Value], attributes: Mapping[str, str], devices: Iterable[Value] = ()) -> Values:
    """The identifiers and attributes of an observation, and the devices it came from → its values, of `CUSTOMERS`.

    Of several identifiers of a type the first counts.
    """
    found: dict[str, str | None] = {}
    for name, value in (*identifiers, *devices):
        found.setdefault(name, value)
    found |= {
        "name": whole_name(attributes.get("name", "")),
        "birthday": date(attributes.get("birthday", "")),
        "street": fold(attributes.get("street", "")) or None,
        "province": attributes.get("province") or None,
    }
    return tuple(found.get(field.name) for field in CUSTOMERS)


def reader_of(role: str, region: str) -> Reader:
    """How cells of a role are read. `region` (ISO 3166) tells how dates and local telephone numbers are written."""
    reader = READERS.get(role, text)
    if role in ("birth", "phone"):
        reader = partial(reader, region=region)
    return lru_cache(MEMORY)(partial(_read, reader))


def _read(reader: Reader, cell: str) -> str | None:
    bare = cell.strip()
    return None if not bare or BLOCKED.fullmatch(bare) else reader(bare)


def text(cell: str) -> str | None:
    """Its words, folded, without signs."""
    return " ".join(WORD.findall(fold(cell))) or None


def code(cell: str) -> str | None:
    """Its letters and digits alone, folded."""
    return "".join(WORD.findall(fold(cell))) or None


def whole_name(cell: str) -> str | None:
    """The words of a whole name, folded, a Vietnamese family name first; None when it is nobody's."""
    found = names.read(cell)
    return " ".join(found.tokens) if found else None


def date(cell: str, region: str = "VN") -> str | None:
    """A date as eight digits, year first, zeros for what is not known; of what is none the digits."""
    if found := dates.read(cell, region):
        return f"{found.year:04d}{found.month:02d}{found.day:02d}"
    parts = NUMBERS.findall(cell)
    if len(parts) == 3:
        if len(parts[0]) < 3 <= len(parts[2]):
            parts = [parts[2], *(parts[:2] if region in dates.MONTH_FIRST else parts[1::-1])]
        parts = [parts[0].rjust(4, "0"), parts[1].rjust(2, "0"), parts[2].rjust(2, "0")]
        if tuple(map(int, parts)) in dates.NO_DATE:
            return None
    return "".join(parts) or None


def email(cell: str) -> str | None:
    """A mailbox in canonical form; what is no address stays as it is, and a placeholder is nobody's."""
    found = emails.canonical(cell)
    if found or emails.ADDRESS.fullmatch(cell):
        return found
    return fold(cell)


def phone(cell: str, region: str = "VN") -> str | None:
    """A telephone number in canonical form, else its digits."""
    digits = "".join(NUMBERS.findall(cell))
    return phones.canonical(cell, region) or (digits if len(digits) >= FEWEST_DIGITS and len(set(digits)) > 2 else None)


def region(cell: str) -> str | None:
    """A province of Vietnam in canonical form; any other region as text."""
    return provinces.named(cell) or text(cell)


READERS: dict[str, Callable[..., str | None]] = {
    "name": whole_name,
    "birth": date,
    "email": email,
    "phone": phone,
    "region": region,
    **dict.fromkeys(("house", "document", "number", "account", "card", "device"), code),
}
