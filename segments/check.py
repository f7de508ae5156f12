"""What a definition may say: each check takes a piece of JSON and its path, and gives back the piece, or refuses it.

Every refusal is an `InvalidError` that names the place (`conditions.all[1].within`) and what is allowed there.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from cdp.clock import DAY, HOUR, MINUTE, SECOND
from cdp.errors import InvalidError
from segments import moments
from segments.nodes import MILLIONTHS, Scalar

Json = Any

MOST_CONDITIONS = 100
LARGEST_DEFINITION = 30_000
DEEPEST = 20
MOST_FILTERS = 20
MOST_VALUES = 500
LONGEST_TEXT = 500
LONGEST_PATH = 10
LONGEST_WINDOW = 3_660 * DAY
LARGEST_COUNT = 10**9
LARGEST_SUM = 10**18

UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
WINDOW = r"^[1-9][0-9]{0,9}[smhdw]$"


def an_object(given: Json, path: str, *, allowed: Collection[str]) -> dict[str, Json]:
    """A JSON object with no other keys than these."""
    if not isinstance(given, dict):
        raise InvalidError(f"An object is needed here, with some of: {', '.join(allowed)}.", path=path)
    for key in given:
        if key not in allowed:
            raise InvalidError(f"`{key}` is not known here{_meant(key, allowed)}.", path=f"{path}.{key}")
    return given


def a_choice(given: Json, path: str, *, allowed: Collection[str]) -> str:
    """One of these words."""
    if not isinstance(given, str) or given not in allowed:
        raise InvalidError(f"{_shown(given)} is not known here{_meant(given, allowed)}.", path=path)
    return given


def a_list(given: Json, path: str, *, most: int, of: str) -> list[Json]:
    """A list with one to `most` items."""
    if not isinstance(given, list) or not 1 <= len(given) <= most:
        raise InvalidError(f"A list of 1 to {most} {of} is needed here.", path=path)
    return given


def a_text(given: Json, path: str) -> str:
    """A text of Unicode characters that is not too long."""
    if not isinstance(given, str) or len(given) > LONGEST_TEXT:
        raise InvalidError(f"A text of up to {LONGEST_TEXT} characters is needed here.", path=path)
    try:
        given.encode()
    except UnicodeEncodeError:
        raise InvalidError("This text holds half a Unicode character.", path=path) from None
    return given


def a_name(given: Json, path: str) -> str:
    """A text that is not empty."""
    if not a_text(given, path):
        raise InvalidError("A name is needed here; it is empty.", path=path)
    return str(given)


def a_path(given: Json, path: str) -> tuple[str, ...]:
    """A name, dotted to reach into objects and lists (`address.city`, `products.0.sku`), or a list of names."""
    parts = given.split(".") if isinstance(given, str) else given
    if not isinstance(parts, list) or not 1 <= len(parts) <= LONGEST_PATH:
        raise InvalidError(
            f"A name like `country`, `address.city` or `products.0.sku` of up to {LONGEST_PATH} parts is needed here; "
            "where a name has a dot in it, write a list of names.",
            path=path,
        )
    return tuple(a_name(part, path if isinstance(given, str) else f"{path}[{n}]") for n, part in enumerate(parts))


def a_number(given: Json, path: str) -> float:
    """A finite number, as JSON has them: a 64-bit floating-point number."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InvalidError(f"A number is needed here, not {_shown(given)}.", path=path)
    try:
        number = float(given)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidError("This number is too large.", path=path)
    return number


def a_window(given: Json, path: str) -> int:
    """A length of time like `30d`, in milliseconds."""
    length = int(given[:-1]) * UNITS[given[-1]] if isinstance(given, str) and re.fullmatch(WINDOW[1:-1], given) else 0
    if not 0 < length <= LONGEST_WINDOW:
        raise InvalidError(
            "A length of time is needed here: a whole number and s, m, h, d or w, like `90m`, `24h` or `30d`; at most "
            f"{LONGEST_WINDOW // DAY}d.",
            path=path,
        )
    return length


def a_count(given: Json, path: str) -> int:
    """How many events."""
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= LARGEST_COUNT:
        raise InvalidError(f"A whole number from 0 to {LARGEST_COUNT} is needed here.", path=path)
    return given


def an_amount(given: Json, path: str) -> int:
    """A sum, in millionths."""
    if abs(amount := a_number(given, path)) > LARGEST_SUM:
        raise InvalidError(f"A sum cannot be larger than {LARGEST_SUM:.0e}.", path=path)
    return round(amount * MILLIONTHS)


class Accepts(NamedTuple):
    """What an operator takes as its `value`: in words, as JSON Schema, and how it is read. No schema: it takes none."""

    words: str
    schema: dict[str, Json] | None
    read: Callable[[Json, str], tuple[Scalar, ...]]


def _text(given: Json, path: str) -> tuple[Scalar, ...]:
    return (Scalar("text", a_text(given, path)),)


def _number(given: Json, path: str) -> tuple[Scalar, ...]:
    return (Scalar("number", a_number(given, path)),)


def _scalar(given: Json, path: str) -> tuple[Scalar, ...]:
    if isinstance(given, bool):
        return (Scalar("truth", given),)
    if isinstance(given, str):
        return _text(given, path)
    if isinstance(given, int | float):
        return _number(given, path)
    raise InvalidError(f"A text, a number, true or false is needed here, not {_shown(given)}.", path=path)


def _scalars(given: Json, path: str) -> tuple[Scalar, ...]:
    values = a_list(given, path, most=MOST_VALUES, of="values")
    return tuple(scalar for place, value in enumerate(values) for scalar in _scalar(value, f"{path}[{place}]"))


def _range(given: Json, path: str) -> tuple[Scalar, ...]:
    low, high = a_range(given, path, a_number)
    return Scalar("number", low), Scalar("number", high)


def _moment(given: Json, path: str) -> tuple[Scalar, ...]:
    if (moment := moments.read(given) if isinstance(given, str) else None) is None:
        raise InvalidError(
            "A date or time is needed here, like `2026-11-21` or `2026-11-21T08:30:00+07:00`.", path=path
        )
    return (Scalar("moment", moment),)


def _nothing(_: Json, path: str) -> tuple[Scalar, ...]:
    raise InvalidError("This operator takes no value.", path=path)


def a_range(given: Json, path: str, read: Callable[[Json, str], Any]) -> tuple[Any, Any]:
    """Two values, the smaller first."""
    if not isinstance(given, list) or len(given) != 2:
        raise InvalidError("A list of two numbers is needed here, the smaller first.", path=path)
    low, high = read(given[0], f"{path}[0]"), read(given[1], f"{path}[1]")
    if low > high:
        raise InvalidError("The smaller number comes first.", path=path)
    return low, high


_TEXT_SCHEMA = {"type": "string", "maxLength": LONGEST_TEXT}
_SCALAR_SCHEMA = {"anyOf": [_TEXT_SCHEMA, {"type": "number"}, {"type": "boolean"}]}

NOTHING = Accepts("nothing", None, _nothing)
TEXT = Accepts("a text", _TEXT_SCHEMA, _text)
NUMBER = Accepts("a number", {"type": "number"}, _number)
SCALAR = Accepts("a text, a number, true or false", _SCALAR_SCHEMA, _scalar)
SCALARS = Accepts(
    "a list of texts, numbers, true and false",
    {"type": "array", "minItems": 1, "maxItems": MOST_VALUES, "items": _SCALAR_SCHEMA},
    _scalars,
)
RANGE = Accepts(
    "a list of two numbers, the smaller first",
    {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
    _range,
)
MOMENT = Accepts("a date or time (ISO 8601)", {"type": "string", "pattern": moments.PATTERN}, _moment)


def _meant(given: Json, allowed: Collection[str]) -> str:
    close = difflib.get_close_matches(str(given), allowed, 1)
    return (
        f" (did you mean `{close[0]}`?); allowed: {', '.join(allowed)}" if close else f"; allowed: {', '.join(allowed)}"
    )


def _shown(given: Json) -> str:
    if isinstance(given, str):
        return f"`{given[:50]}`"
    words = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
    return words.get(type(given), str(given)[:50])
