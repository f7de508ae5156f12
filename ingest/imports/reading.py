"""Reads a file onto its stage, in a process of its own: what is in the file can harm neither live traffic nor memory.

    python -m ingest.imports.reading FOLDER

The folder holds the file and `task.json`; it gets `rows.sqlite` and `result.json`. Each line of output is a JSON object
that tells how far it is. Ends with 0, or with 1 and `{"error": …}` in the result.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from cdp.errors import CdpError, InvalidError
from cdp.records import encode
from ingest.imports.columns import Reading, read_columns
from ingest.imports.mapping import read_mapping
from ingest.imports.quality import Quality
from ingest.imports.rows import Cells, Reader
from ingest.imports.stage import Stage
from ingest.imports.tables import Row, Table, open_table

FILE, TASK, ROWS, RESULT = "file", "task.json", "rows.sqlite", "result.json"
# Rows after which it is told how far it is.
STEP = 5_000
NICE = 10
SUFFIXES = {
    "csv": (".csv", ".txt", ".tsv"),
    "xlsx": (".xlsx", ".xlsm"),
    "jsonl": (".jsonl", ".ndjson"),
    "parquet": (".parquet", ".pq"),
}

Told = Callable[[int], None]


class Task(Struct):
    """What is to be read, and how. `mapping` is what people told of it; the rest stands in where nothing tells."""

    name: str
    source: str
    region: str
    currency: str
    timezone: str
    mapping: dict[str, Any] = {}
    memory_bytes: int = 0


def read(folder: Path, task: Task, told: Told = lambda _: None) -> dict[str, Any]:
    """Read the file of a folder onto the stage. Returns the whole mapping and the report.

    Raises `InvalidError` for a file that cannot be read.
    """
    mapping = read_mapping(task.mapping)
    with contextlib.closing(open_table(folder / FILE, mapping)) as table:
        reading = read_columns(table, mapping, region=task.region, currency=task.currency, zone=task.timezone)
        form = table.layout["format"]
        if "." in task.name and not task.name.lower().endswith(SUFFIXES[form]):
            table.notes.append(f"The file is called {task.name!r}, but it is {form.upper()}.")
        report = _staged(folder, table, reading, task, told)
    return {"mapping": reading.mapping.model_dump(), "report": report}


def _staged(folder: Path, table: Table, reading: Reading, task: Task, told: Told) -> dict[str, Any]:
    """Take every row onto the stage, which is there when this returns. Returns the report."""
    reader = Reader(reading.mapping, table.columns, source=task.source, region=task.region)
    quality = Quality()
    part = folder / f"{ROWS}.part"
    with Stage(part, fresh=True) as stage:
        passage = Passage(reader, stage, quality)
        for row in table.rows():
            passage.row(row)
            if quality.rows % STEP == 0:
                told(quality.rows)
        if not quality.rows:
            raise InvalidError("The file has no rows below its heading.", code="empty_file")
        passage.orders()
        stage.finish()
        report = quality.report(reading, table, stage.shared(), reader.restored)
    part.replace(folder / ROWS)
    told(quality.rows)
    return report


class Passage:
    """Takes rows from the table to the stage."""

    def __init__(self, reader: Reader, stage: Stage, quality: Quality) -> None:
        self._reader = reader
        self._stage = stage
        self._quality = quality

    def row(self, row: Row) -> None:
        """Take one row."""
        if row.raw:
            self._quality.cells(Cells(row.number, {}, {}, row.trouble))
            made = self._reader.unreadable(row)
            self._quality.made(made, {}, added=self._stage.add(made))
            return
        cells = self._reader.cells(row)
        if not cells.fields and not cells.free:
            return
        self._quality.cells(cells)
        if self._reader.kind == "orders" and "order_id" in cells.fields:
            self._stage.add_line(str(cells.fields["order_id"]), cells)
        elif self._reader.kind == "orders":
            self._order([cells])
        else:
            made = self._reader.made(cells)
            self._quality.made(made, cells.fields, added=self._stage.add(made))

    def orders(self) -> None:
        """Take the orders whose lines have come together."""
        if self._reader.kind == "orders":
            for lines in self._stage.orders():
                self._order(lines)

    def _order(self, lines: list[Cells]) -> None:
        made = self._reader.order(lines)
        self._quality.made(made, lines[0].fields, added=self._stage.add(made))


def main(folder: Path) -> int:
    """Do the task of a folder; the result is on the disk when this returns."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    task = msgspec.json.decode((folder / TASK).read_bytes(), type=Task)
    if task.memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (task.memory_bytes, task.memory_bytes))
    try:
        result = read(folder, task, _told)
    except CdpError as error:
        result = {"error": {"code": error.code, "message": error.message, "path": getattr(error, "path", "")}}
    except MemoryError:
        words = "Reading it takes more memory than it may (CDP_IMPORTS__MEMORY_BYTES): save it as CSV, or in parts."
        result = {"error": {"code": "file_too_large", "message": words, "path": ""}}
    _write(folder / RESULT, encode(result))
    return 1 if "error" in result else 0


def _told(rows: int) -> None:
    sys.stdout.write(f'{{"rows": {rows}}}\n')
    sys.stdout.flush()  # whoever started this and is gone breaks the pipe, which ends it


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
