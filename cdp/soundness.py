"""What is wrong with JSON that has only been passed through: broken UTF-8, numbers no double can hold, deep nesting.

One `1e400` in a document makes ClickHouse's JSON functions see all of it as empty, and few readers take any depth, so
an event with such a part must be kept apart. To find one, a text is not decoded: it is reduced to what matters, and
searched.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

# A text reduced to what is looked at: digits as 0, e, what may follow a number as a comma, what opens as {; all else !.
REDUCED = {b"0123456789.+": b"0", b"eE": b"e", b",}] \t\r\n": b",", b"{[": b"{"}
SKELETON = bytes(next((new[0] for old, new in REDUCED.items() if byte in old), ord("!")) for byte in range(256))
# To exceed a double, a number needs an exponent of three digits, or very many digits.
LARGE = re.compile(rb"0e0{3,}(?:,|\Z)")
LONG = b"0" * 200

_any = msgspec.json.Decoder().decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_elements = msgspec.json.Decoder(list[Raw]).decode


class Flaw(NamedTuple):
    """Why a text cannot be kept. `path` leads there, each step with its dot or brackets."""

    code: str
    reason: str
    path: str = ""


def flaw(text: bytes, *, depth: int) -> Flaw | None:
    """What is wrong with a JSON text that may be nested `depth` levels deep (an object without objects: 1).

    Raises `DecodeError` for what is no JSON, `RecursionError` for what nobody can read.
    """
    if not text.isascii() and (broken := _broken(text)) is not None:
        return Flaw("invalid_utf8", f"Not valid UTF-8 from byte {broken} of it.")
    skeleton = text.translate(SKELETON)
    if not _fits(skeleton) and (path := misfit(text)) is not None:
        return Flaw("number_out_of_range", "A number that no double can hold.", path)
    if skeleton.count(b"{") > depth and measure(_any(text))[0] > depth:
        return Flaw("too_deep", f"Nested deeper than {depth} levels.")
    return None


def measure(value: Any) -> tuple[int, int]:
    """How deep a decoded value is nested (an object without objects: 1), and how many keys it has in all."""
    depth = keys = 0
    level = [value]
    while level := [inner for inner in level if isinstance(inner, dict | list)]:
        depth += 1
        keys += sum(len(inner) for inner in level if isinstance(inner, dict))
        level = [each for inner in level for each in (inner.values() if isinstance(inner, dict) else inner)]
    return depth, keys


def fits(text: bytes) -> bool:
    """Whether a JSON text surely holds no number beyond a double. It may say no for a text that merely looks so."""
    return _fits(text.translate(SKELETON))


def misfit(text: bytes, levels: int = 64) -> str | None:
    """The path to the first number beyond a double (each step with its dot or brackets), "" for the text itself.

    None when there is none after all. Raises `DecodeError` for what is no JSON.
    """
    try:
        _any(text)
    except msgspec.ValidationError:
        for step, inner in _inside(text.lstrip()) if levels else ():
            if (path := misfit(bytes(inner), levels - 1)) is not None:
                return step + path
        return ""
    return None


def _fits(skeleton: bytes) -> bool:
    return LONG not in skeleton and LARGE.search(skeleton) is None


def _broken(text: bytes) -> int | None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def _inside(text: bytes) -> list[tuple[str, Raw]]:
    if text[:1] == b"{":
        return [(f".{name}", raw) for name, raw in _members(text).items()]
    if text[:1] == b"[":
        return [(f"[{place}]", raw) for place, raw in enumerate(_elements(text))]
    return []
