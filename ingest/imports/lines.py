"""JSONL files: an object a line. The columns are the names of all its objects; a line that is none is set aside."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from cdp.errors import InvalidError
from ingest.imports.delimited import encoding_of
from ingest.imports.mapping import Mapping
from ingest.imports.tables import Row, Trouble, bounded, checked

LONGEST_LINE = 5_000_000
# Of a line that cannot be read so much is kept.
KEPT = 100_000

_decode = msgspec.json.Decoder().decode


class Lines:
    """A JSONL file as a table."""

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self._path = path
        self._encoding = mapping.encoding or encoding_of(path)
        names: dict[str, None] = {}
        for _, _, value in self._values():
            if value is not None and not value.keys() <= names.keys():
                names |= dict.fromkeys(value)
        if not names:
            raise InvalidError("No line of the file is a JSON object.", code="unreadable_file")
        self._names = list(names)
        self.columns = checked(self._names)
        self.layout: dict[str, Any] = {"format": "jsonl", "encoding": self._encoding}
        self.notes: list[str] = []

    def rows(self) -> Iterator[Row]:
        """See `Table`."""
        for number, line, value in self._values():
            if value is None:
                yield Row(number, [], Trouble("invalid_json", "The line is no JSON object."), line[:KEPT])
            else:
                yield Row(number, *bounded([value.get(name) for name in self._names], self.columns))

    def close(self) -> None:
        """See `Table`: it is open only while rows are read."""

    def _values(self) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
        for number, line in enumerate(self._lines(), 1):
            if line.strip():
                yield number, line, _object(line) if len(line) < LONGEST_LINE else None

    def _lines(self) -> Iterator[bytes]:
        if self._encoding.startswith("utf-16"):
            with self._path.open(encoding=self._encoding, errors="replace") as written:
                while text := written.readline(LONGEST_LINE):
                    yield text.encode(errors="replace")
            return
        with self._path.open("rb") as file:
            begin = True
            while line := file.readline(LONGEST_LINE):
                yield line.removeprefix(codecs.BOM_UTF8) if begin else line
                begin = False
                while len(line) >= LONGEST_LINE and not line.endswith(b"\n"):
                    line = file.readline(LONGEST_LINE)


def open_table(path: Path, mapping: Mapping) -> Lines:
    """A JSONL file as a table. Raises `InvalidError`."""
    return Lines(path, mapping)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
