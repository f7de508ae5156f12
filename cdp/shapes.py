"""What values of JSON look like: their type, the format of texts, and the paths under which they stand."""

from __future__ import annotations

import re
from typing import Any

Path = tuple[str, ...]

ITEMS = "[]"
TYPES: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    dict: "object",
}
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
    return TYPES.get(type(value), "array")


def format_of(text: str) -> str:
    """The format of a text, as JSON Schema names it; empty for plain text."""
    return next((name for name, pattern in FORMATS if pattern.fullmatch(text)), "")


def places(value: Any, path: Path = ()) -> list[tuple[Path, Any]]:
    """Every value inside an object, with the names that lead to it; `[]` stands for the items of a list.

    No deeper than DEPTH levels, and of a list the first MOST_ITEMS items.
    """
    found: list[tuple[Path, Any]] = []
    level = [(path, value)]
    for _ in range(DEPTH):
        inner = []
        for place, one in level:
            if isinstance(one, dict):
                inner += [((*place, name), each) for name, each in one.items()]
            elif isinstance(one, list):
                items = (*place, ITEMS)
                inner += [(items, each) for each in one[:MOST_ITEMS]]
        if not inner:
            break
        found += inner
        level = inner
    return found


def text_of(path: Path) -> str:
    """A path as text: `products[].price`."""
    return ".".join(path).replace(f".{ITEMS}", ITEMS)
