"""What values of JSON look like: their type, the format of texts, and the paths under which they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

Path = tuple[str, ...]

ITEMS = "[]"
# How far a value is followed, and how many items of a list.
DEPTH = 6
MOST_ITEMS = 20

FORMATS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("date-time", re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")),
    ("date", re.compile(r"\d{4}-\d{2}-\d{2}")),
    ("uuid", re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")),
    ("email", re.compile(r"[^\s@]+@[^\s@]+\.[^\s@.]+")),
    ("uri", re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s]+")),
)


def type_of(value: Any) -> str:
    """The type of a decoded value, as JSON Schema names it."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case dict():
            return "object"
    return "array"


def format_of(text: str) -> str:
    """The format of a text, as JSON Schema names it; empty for plain text."""
    return next((name for name, pattern in FORMATS if pattern.fullmatch(text)), "")


def places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value inside an object, with the names that lead to it; `[]` stands for the items of a list.

    No deeper than DEPTH levels, and of a list the first MOST_ITEMS items.
    """
    if path:
        yield path, value
    if len(path) >= DEPTH:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*path, name))
    elif isinstance(value, list):
        for inner in islice(value, MOST_ITEMS):
            yield from places(inner, (*path, ITEMS))


def text_of(path: Path) -> str:
    """A path as text: `products[].price`."""
    return ".".join(path).replace(f".{ITEMS}", ITEMS)
