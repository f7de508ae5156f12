"""JSON that stays on one line, whoever splits it.

Strings in JSON escape the line ends of ASCII, but not three of Unicode's, where many readers (`str.splitlines`, httpx)
split too; and what is passed through as its sender wrote it may be laid out on several lines.
"""

from __future__ import annotations

from typing import Any

from cdp.records import encode

# U+0085, U+2028 and U+2029 in UTF-8 occur within strings only, where they can be escaped; the others between tokens.
ENDS = (
    (b"\n", b" "),
    (b"\r", b" "),
    (b"\xc2\x85", b"\\u0085"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)


def encode_line(value: Any) -> bytes:
    """The value as JSON, without its line end; it holds no other."""
    line = encode(value)
    for end, instead in ENDS:
        if end in line:
            line = line.replace(end, instead)
    return line
