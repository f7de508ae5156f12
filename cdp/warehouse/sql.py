"""SQL lives in .sql files: `-- name: what_it_does`, a sentence, the statement. This loads them."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def load(package: str, file: str = "queries.sql") -> dict[str, str]:
    """The statements of a package's .sql file, by name. Raises `FileNotFoundError`."""
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    parts = HEADING.split(text)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def statements(text: str) -> list[str]:
    """The statements of a migration: each ends with a semicolon at the end of a line."""
    return [part.strip() for part in re.split(r";[ \t]*(?:\n|$)", text) if part.strip()]
