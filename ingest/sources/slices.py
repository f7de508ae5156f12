"""Cuts a batch apart by its structure alone, when a JSON parser refuses it: one bad event must not harm its neighbours.

Only strings, brackets and commas are looked at, so each piece may still be anything; whoever takes it reads it alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

# Possessive quantifiers: no input makes these go back over what they have read.
TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
NAME = re.compile(TEXT, re.DOTALL)
TOKEN = re.compile(TEXT + rb"|[\[{]++|[\]}]++|,", re.DOTALL)
QUOTE, COMMA, OPENING = ord('"'), ord(","), b"[{"
WHITE = b" \t\r\n"

# A body with more tokens is given up before it costs more than a tenth of a second.
MOST_TOKENS = 600_000


class CutError(ValueError):
    """The body's structure cannot be told: it is no JSON object, is cut off, or its brackets do not match."""


class TooManyError(CutError):
    """The array has more elements than were asked for."""


class TooManyTokensError(CutError):
    """There is too much in it to cut it apart."""


def members(body: bytes) -> dict[str, bytes]:
    """The members of the object that `body` is, by name, uncut. Raises `CutError`. Of equal names the last counts."""
    found: dict[str, bytes] = {}
    for piece in _pieces(body, b"{", b"}"):
        key = NAME.match(piece)
        if key is None:
            raise CutError("a member has no name")
        colon = piece[key.end() :].lstrip(WHITE)
        if colon[:1] != b":":
            raise CutError("a member has no value")
        found[_name(key[0])] = colon[1:].strip(WHITE)
    return found


def elements(array: bytes, *, most: int) -> list[bytes]:
    """The elements of the array that `array` is, uncut. Raises `CutError`, and `TooManyError` beyond `most`."""
    found: list[bytes] = []
    for piece in _pieces(array, b"[", b"]"):
        if len(found) == most:
            raise TooManyError(f"more than {most} elements")
        found.append(piece)
    return found


def _pieces(text: bytes, opening: bytes, closing: bytes) -> Iterator[bytes]:
    """What lies between the commas of the outermost brackets."""
    text = text.strip(WHITE)
    if text[:1] != opening or text[-1:] != closing:
        raise CutError("the outer brackets are missing")
    depth, start = 0, 1
    for count, token in enumerate(TOKEN.finditer(text)):
        at = token.start()
        mark = text[at]
        if count == MOST_TOKENS:
            raise TooManyTokensError("too much in it to cut it apart")
        if mark == QUOTE:
            continue
        if mark == COMMA:
            if depth == 1:
                yield text[start:at].strip(WHITE)
                start = at + 1
        elif mark in OPENING:
            depth += token.end() - at
        else:
            depth -= token.end() - at
            if depth < 0 or (depth == 0 and token.end() != len(text)):
                raise CutError("the brackets do not match")
    if depth != 0:
        raise CutError("the brackets do not match")
    last = text[start:-1].strip(WHITE)
    if last or start > 1:
        yield last


def _name(quoted: bytes) -> str:
    try:
        return msgspec.json.decode(quoted, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return quoted.decode(errors="backslashreplace")
