"""Numbers that no double can hold, in JSON that is otherwise only passed through.

One `1e400` in a document makes ClickHouse's JSON functions see all of it as empty, so an event with such a number must
be kept apart. To find one, a text is not decoded: it is reduced to what a number is made of, and searched.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

# A text reduced to what `fits` looks at: digits as 0, e, what may follow a number as a comma; all else is !.
SKELETON = bytes(
    next((new for new, old in ((48, b"0123456789.+"), (101, b"eE"), (44, b",}] \t\r\n")) if byte in old), 33)
    for byte in range(256)
)
# To exceed a double, a number needs an exponent of three digits, or very many digits.
LARGE = re.compile(rb"0e0{3,}(?:,|\Z)")
LONG = b"0" * 200

_any = msgspec.json.Decoder().decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_elements = msgspec.json.Decoder(list[Raw]).decode


def fits(text: bytes) -> bool:
    """Whether a JSON text surely holds no number beyond a double. It may say no for a text that merely looks so."""
    skeleton = text.translate(SKELETON)
    return LONG not in skeleton and LARGE.search(skeleton) is None


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


def _inside(text: bytes) -> list[tuple[str, Raw]]:
    if text[:1] == b"{":
        return [(f".{name}", raw) for name, raw in _members(text).items()]
    if text[:1] == b"[":
        return [(f"[{place}]", raw) for place, raw in enumerate(_elements(text))]
    return []
