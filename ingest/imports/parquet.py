"""Parquet files, some thousand rows at a time, whatever the size of their row groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cdp.errors import InvalidError, MisconfiguredError
from ingest.imports.mapping import Mapping
from ingest.imports.tables import Row, bounded, checked

BATCH = 2_000
BUFFER = 1 << 20


class Parquet:
    """A Parquet file as a table."""

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self._path = path
        with self._opened() as file:
            self._names = list(file.schema_arrow.names)
        self.columns = checked(self._names)
        self.layout: dict[str, Any] = {"format": "parquet"}
        self.notes: list[str] = []

    def rows(self) -> Iterator[Row]:
        """See `Table`."""
        number = 0
        with self._opened() as file:
            try:
                for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
                    columns = [column.to_pylist() for column in batch.columns]
                    for cells in zip(*columns, strict=True):
                        number += 1
                        yield Row(number, *bounded(cells, self.columns))
            except (OSError, ValueError, OverflowError) as error:
                raise InvalidError(f"Row {number + 1} cannot be read: {error}.", path=f"row {number + 1}") from None

    def close(self) -> None:
        """See `Table`: it is open only while rows are read."""

    def _opened(self) -> Any:
        try:
            from pyarrow.parquet import ParquetFile
        except ImportError:
            raise MisconfiguredError(
                "Parquet files need the package pyarrow: pip install 'streamcdp[files]', or save the file as CSV."
            ) from None
        try:
            # Read in pieces as they are needed: a row group may be the whole file.
            return ParquetFile(self._path, pre_buffer=False, buffer_size=BUFFER)
        except (OSError, ValueError) as error:
            raise InvalidError(f"This is no Parquet file that can be read: {error}.", code="unreadable_file") from None


def open_table(path: Path, mapping: Mapping) -> Parquet:
    """A Parquet file as a table. Raises `InvalidError`; `MisconfiguredError` where the package is missing."""
    return Parquet(path, mapping)
