"""The functions of the path language. Pure and total: what cannot be made is None, and nothing here raises.

Each is given a value that says something, then its arguments.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from ingest.sources.segment import moment_text, whole_characters

# Currencies without minor units, and those with thousandths, as Stripe counts them (docs.stripe.com/currencies). ISK
# and UGX have no minor unit by ISO 4217, but Stripe writes them in hundredths, for compatibility with its past.
ZERO_DECIMAL = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
THREE_DECIMAL = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))

NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?")
NOT_DIALLED = re.compile(r"[^\d+]")
WIDEST = 1e15


class Function(NamedTuple):
    """A function, and how many arguments it takes beside the value."""

    work: Callable[..., Any]
    least: int = 0
    most: int = 0


def scalar_text(value: Any) -> str:
    """A text, number or truth value as text; "" for everything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < WIDEST:
        return str(int(value))
    if isinstance(value, int | float):
        try:
            return str(value)
        except ValueError:  # Python writes no number of more than 4,300 digits
            return ""
    return ""


def number(value: Any) -> int | float | None:
    """`"199000.00"` → 199000, `"12.5"` → 12.5. A comma is no decimal point: that would be a guess."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = float(value.strip()) if NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < WIDEST:
        return int(value)
    return value if isinstance(value, int | float) else None


def minor(value: Any, currency: Any) -> int | float | None:
    """An amount in the smallest unit of a currency → in the currency: 1999 USD → 19.99, 199000 VND → 199000."""
    amount, code = number(value), scalar_text(currency).upper()
    if amount is None or not code or abs(amount) > WIDEST:
        return None
    return number(amount / (1 if code in ZERO_DECIMAL else 1_000 if code in THREE_DECIMAL else 100))


def phone(value: Any) -> str | None:
    """A number as platforms write it, with a plus where the country code stands without one: 84912345678."""
    text = NOT_DIALLED.sub("", scalar_text(value))
    if text.isdecimal() and text[0] != "0" and 11 <= len(text) <= 15:
        return f"+{text}"
    return text or None


def moment(value: Any) -> str | None:
    """A time as platforms write it (ISO 8601, or seconds or milliseconds since the epoch) → ISO 8601."""
    return moment_text(value) or None


def join(value: Any, separator: Any) -> str | None:
    """The texts of a list as one."""
    listed = value if isinstance(value, list) else [value]
    return scalar_text(separator).join(text for one in listed if (text := scalar_text(one).strip())) or None


def split(value: Any, separator: Any) -> list[str]:
    """A text as a list; what is between separators is trimmed, and left out when it is empty."""
    mark = scalar_text(separator)
    parts = scalar_text(value).split(mark) if mark else [scalar_text(value)]
    return [part.strip() for part in parts if part.strip()]


def minus(value: Any, other: Any) -> int | float | None:
    """The difference of two numbers; what is no number at the right counts as 0."""
    left, right = number(value), number(other) or 0
    return None if left is None or abs(left) > WIDEST or abs(right) > WIDEST else number(left - right)


def named(value: Any, name: Any) -> dict[str, Any] | None:
    """A value as an object of one field, whose name may stand in the payload too."""
    key = scalar_text(name)
    return {key: value} if key else None


def total(value: Any) -> int | float | None:
    """The sum of a list's numbers."""
    found = [amount for one in value if (amount := number(one)) is not None] if isinstance(value, list) else []
    return number(math.fsum(found)) if found and all(abs(one) < WIDEST for one in found) else None


def table(value: Any, name: Any, content: Any) -> dict[str, Any] | None:
    """`[{"name": "city", "values": ["Huế"]}]` → `{"city": "Huế"}`, by the names of the two fields."""
    if not isinstance(value, list):
        return None
    rows = [one for one in value if isinstance(one, dict)]
    pairs = [(scalar_text(row.get(scalar_text(name))), row.get(scalar_text(content))) for row in rows]
    return {key: _only(inner) for key, inner in pairs if key and inner is not None} or None


def without(value: Any, *names: Any) -> Any:
    """An object without some of its fields."""
    left_out = {scalar_text(name) for name in names}
    return {key: inner for key, inner in value.items() if key not in left_out} if isinstance(value, dict) else None


def decoded(value: Any) -> Any:
    """A JSON text, decoded; None when it is none."""
    if not isinstance(value, str):
        return None
    try:
        return msgspec.json.decode(whole_characters(value.encode(errors="replace")))
    except (msgspec.DecodeError, RecursionError):
        return None


def mapped(value: Any, *pairs: Any) -> Any:
    """`map('paid', 'yes', 'void', 'no')`: what stands after the value; None when it is not there."""
    found = dict(zip(map(scalar_text, pairs[::2]), pairs[1::2], strict=False))
    return found.get(scalar_text(value))


def unless(value: Any, *unwanted: Any) -> Any:
    """The value; None when it is one of those that mean nothing, such as customer 0."""
    return None if scalar_text(value) in set(map(scalar_text, unwanted)) else value


def digest(value: Any) -> str | None:
    """The SHA-256 of a text, in hex."""
    text = scalar_text(value)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest() if text else None


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _text(value: Any) -> str | None:
    return scalar_text(value) or None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


FUNCTIONS: dict[str, Function] = {
    "text": Function(_text),
    "lower": Function(lambda value: scalar_text(value).lower() or None),
    "upper": Function(lambda value: scalar_text(value).upper() or None),
    "trim": Function(lambda value: scalar_text(value).strip() or None),
    "number": Function(number),
    "minor": Function(minor, 1, 1),
    "minus": Function(minus, 1, 1),
    "named": Function(named, 1, 1),
    "phone": Function(phone),
    "time": Function(moment),
    "first": Function(lambda value: _listed(value)[0]),
    "last": Function(lambda value: _listed(value)[-1]),
    "count": Function(lambda value: len(value) if isinstance(value, list) else 1),
    "sum": Function(total),
    "join": Function(join, 1, 1),
    "split": Function(split, 1, 1),
    "table": Function(table, 2, 2),
    "without": Function(without, 1, 50),
    "json": Function(decoded),
    "map": Function(mapped, 2, 50),
    "unless": Function(unless, 1, 20),
    "sha256": Function(digest),
}
