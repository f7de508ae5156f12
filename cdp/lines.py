"""JSON that stays on one line, whoever splits it.

JSON escapes the line ends of ASCII, but three of Unicode's it leaves as they are, and many readers (`str.splitlines`,
httpx) split there.
"""

from __future__ import annotations

from typing import Any

from cdp.records import encode

# U+0085, U+2028 and U+2029 in UTF-8: inside JSON they occur within strings only, where they can be escaped.
ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def encode_line(value: Any) -> bytes:
    """The value as JSON, without its line end; it holds no other."""
    line = encode(value)
    for end, escaped in ENDS:
        if end in line:
            line = line.replace(end, escaped)
    return line
