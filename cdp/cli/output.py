"""What a command prints: tables for people, JSON with `--json`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

Row = Mapping[str, Any]

# Width of what is piped: wide enough that nothing is cut or wrapped.
UNBROKEN = 1_000


class Output:
    """Prints answers. Nothing but the answer goes to stdout, so that it can be piped."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def document(self, value: Any) -> None:
        """Print the whole answer as JSON."""
        sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())

    def say(self, sentence: str) -> None:
        """Tell a person what happened; silent with --json."""
        if not self.as_json:
            print(sentence)

    def done(self, answer: Any, sentence: str) -> None:
        """Tell what happened: the service's answer as JSON, or a sentence."""
        if self.as_json:
            self.document({} if answer is None else answer)
        else:
            print(sentence)

    def table(self, rows: Sequence[Row], columns: Sequence[str], *, empty: str) -> None:
        """Print rows; with --json whole, for people these columns, or the sentence `empty`."""
        if self.as_json:
            self.document(list(rows))
        elif rows:
            self._draw(rows, columns)
        else:
            print(empty)

    def record(self, value: Row) -> None:
        """Print one thing: its simple fields line by line, the others as JSON below their name."""
        if self.as_json:
            self.document(value)
            return
        width = max((len(name) for name in value), default=0)
        for name, field in value.items():
            print(f"{name:<{width}}  {text_of(field)}")

    def _draw(self, rows: Sequence[Row], columns: Sequence[str]) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(text_of(field(row, column))) for column in columns))
        Console(width=None if sys.stdout.isatty() else UNBROKEN).print(table)


def field(row: Row, path: str) -> Any:
    """A field of a row; a dot leads inside."""
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def text_of(value: Any) -> str:
    """A value for people."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case list() if all(isinstance(one, str) for one in value):
            return ", ".join(value) or "-"
        case list() | dict():
            return orjson.dumps(value).decode()
        case _:
            return str(value)


def clock_of(moment: int) -> str:
    """Milliseconds since the epoch → the local time of day."""
    return datetime.fromtimestamp(moment / 1000, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
