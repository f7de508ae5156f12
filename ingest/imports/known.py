"""What the warehouse knows of a file: events that are stored already, and people who have its identifiers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cdp.warehouse.base import Warehouse
from cdp.warehouse.sql import load
from ingest.imports.rows import PREFIX
from ingest.imports.stage import Stage, Staged

QUERIES = load("ingest.imports")
# Asking costs a look through a column of the warehouse, however few are asked about; and a question is one request.
TOGETHER = 5_000


class Stored:
    """Which events of one import an earlier one stored. Where none ever did, nothing more is asked."""

    def __init__(self, warehouse: Warehouse, source: str, trace_id: str) -> None:
        self._warehouse = warehouse
        self._scope = {"source": source, "trace": trace_id}
        self._any: bool | None = None

    async def among(self, staged: Sequence[Staged]) -> dict[str, str]:
        """Of the messages that are stored, the content's digest (empty where the messageId tells the content)."""
        if self._any is None:
            found = await self._warehouse.rows(QUERIES["any_imported"], {**self._scope, "prefix": PREFIX})
            self._any = bool(found)
        if not self._any:
            return {}
        ids = [one.message_id for one in staged] + [one.updated_id for one in staged if one.updated_id]
        rows = await self._warehouse.rows(QUERIES["stored"], {**self._scope, "ids": ids})
        return dict(rows)


async def count_known(warehouse: Warehouse, stage: Stage) -> int:
    """How many of a stage's events are of people who are known already."""
    after = ""
    while values := await asyncio.to_thread(stage.values, TOGETHER, after):
        after = values[-1]
        bare = [value.partition(":")[2] for value in values]
        rows = await warehouse.rows(QUERIES["known"], {"values": bare})
        known = {value for (value,) in rows}
        await asyncio.to_thread(stage.mark_known, [value for value in values if value in known])
    return await asyncio.to_thread(stage.known_rows)
